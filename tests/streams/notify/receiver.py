"""A webhook receiver on loopback with programmable responses, which records its requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from models.outputs.alert_record import alert_headers
from streams.engine.contract import Output
from streams.notify.delivery import Delivery
from streams.notify.routes import RetryPolicy, Route
from streams.notify.sender import Sender, new_session
from tests.streams.alert_values import life

QUICK = RetryPolicy(tries=4, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=30.0, concurrency=4)
KEY = b"k" * 32


class Receiver:
    """Records each request and responds with what `respond(request, count)` returns: a status or a response."""

    def __init__(self, respond: Callable[[web.Request, int], Any] = lambda request, count: 204) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.concurrent = self.max_concurrent = 0
        self.url = ""
        self._respond = respond

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((headers, await request.read()))
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        try:
            response = self._respond(request, len(self.requests))
            if asyncio.iscoroutine(response):
                response = await response
        finally:
            self.concurrent -= 1
        return web.Response(status=response) if isinstance(response, int) else response

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?a=1"
        try:
            yield self
        finally:
            await runner.cleanup()


def records(customer: str, offset: int = 0, **changes: Any) -> list[Any]:
    """Return the alert events of a customer as in the alerts topic: opened, acknowledged, snoozed, resolved."""
    return [
        SimpleNamespace(
            topic="churn-alerts",
            partition=1,
            offset=offset + number,
            timestamp=1_709_596_800_000,
            key=customer.encode(),
            value=value,
            headers=tuple(alert_headers(event, customer)),
        )
        for number, (event, value) in enumerate(life(customer, **changes))
    ]


@asynccontextmanager
async def delivering(
    url: str, retry: RetryPolicy = QUICK, **route: Any
) -> AsyncIterator[tuple[Delivery, list[Output]]]:
    """Open a delivery to a URL; yields it and the list of its dead letters."""
    dead_letters: list[Output] = []

    async def write_dead_letter(letter: Output) -> None:
        dead_letters.append(letter)

    to = Route("desk", url, **{"keys": (KEY,), "retry": retry, "allow_private": True, **route})
    async with new_session(to) as session:
        yield Delivery(to, Sender(to, session), "undelivered", write_dead_letter), dead_letters
