"""A receiver of webhooks on loopback that answers as it is told and remembers what it got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from models.outputs.records import alert_headers
from streams.engine.contract import Output
from streams.notify.delivery import Delivery
from streams.notify.routes import RetryPolicy, Route
from streams.notify.sender import Sender, new_session
from tests.streams.alert_values import life

QUICK = RetryPolicy(tries=4, first_wait_s=0.01, longest_wait_s=0.02, timeout_s=30.0, concurrency=4)
KEY = b"k" * 32


class Receiver:
    """Answers each request with what `answer` gives for it: a status, or a response."""

    def __init__(self, answer: Callable[[web.Request, int], Any] = lambda request, count: 204) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.at_once = self.most_at_once = 0
        self.url = ""
        self._answer = answer

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self._answer(request, len(self.got))
            if asyncio.iscoroutine(answer):
                answer = await answer
        finally:
            self.at_once -= 1
        return web.Response(status=answer) if isinstance(answer, int) else answer

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
    """What the alerts topic holds of a customer: opened, acknowledged, snoozed, resolved."""
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
async def delivering(url: str, pace: RetryPolicy = QUICK, **route: Any) -> AsyncIterator[tuple[Delivery, list[Output]]]:
    """A delivery to an address, and its dead letters."""
    letters: list[Output] = []

    async def bury(letter: Output) -> None:
        letters.append(letter)

    to = Route("desk", url, **{"keys": (KEY,), "pace": pace, **route})
    async with new_session(to) as session:
        yield Delivery(to, Sender(to, session), "undelivered", bury), letters
