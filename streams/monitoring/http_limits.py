"""Limits of an HTTP server: open connections, and the time for headers, body, response and idle connections.

Without limits, a client that opens connections and sends nothing uses up the file descriptors of the process, which the
local store and the Kafka clients need too. Tested by tests/streams/monitoring/test_http_limits.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.typedefs import Middleware

LIMIT: Final = "limit"
TIMEOUT: Final = "timeout"
CLOSED: Final = (LIMIT, TIMEOUT)
"""Why the server closed a connection of its own accord: label values of a metric."""


@dataclass(frozen=True)
class HttpLimits:
    """Limits of one server.

    Attributes:
        connections: open at the same time. One more closes the connection that has waited longest for a request. If
            all of them are being served, the new one is closed.
        header_s: from the connection to the end of the first request's headers.
        body_s: for the body of a request.
        idle_s: from one request's response to the end of the next one's headers, including the time in which the
            client reads the response.
    """

    connections: int
    header_s: float = 10.0
    body_s: float = 10.0
    idle_s: float = 30.0


class LimitedRunner(web.AppRunner):
    """Runs an application within limits.

    Args:
        app: gets a middleware that reads bodies within their time.
        limits: of this server.
        shutdown_timeout_s: for requests that are served when the server stops.

    Attributes:
        open: number of open connections.
        closed: connections that the server closed, by reason (`CLOSED`).
    """

    def __init__(self, app: web.Application, limits: HttpLimits, shutdown_timeout_s: float) -> None:
        app.middlewares.insert(0, _guard(limits))
        super().__init__(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=shutdown_timeout_s,
            lingering_time=1.0,
            keepalive_timeout=limits.idle_s,
        )
        self.closed: Counter[str] = Counter()
        self._limits = limits
        # In the order in which they began to wait for a request.
        self._connections: OrderedDict[_Connection, None] = OrderedDict()

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    @property
    def server(self) -> web.Server | None:
        """The factory of connections that `web.TCPSite` passes to the event loop."""
        inner = super().server
        return None if inner is None else cast(web.Server, lambda: _Connection(inner(), self))

    def admit(self, connection: _Connection) -> bool:
        """Make room for a new connection; returns whether there is any."""
        if self.open >= self._limits.connections:
            self.closed[LIMIT] += 1
            waiting = next((other for other in self._connections if not other.serving), None)
            if waiting is None:
                return False
            waiting.abort()
        self._connections[connection] = None
        return True

    def remove(self, connection: _Connection) -> None:
        """Forget a connection that was closed."""
        self._connections.pop(connection, None)

    def waits(self, connection: _Connection) -> None:
        """A connection begins to wait for a request."""
        if connection in self._connections:
            self._connections.move_to_end(connection)

    @property
    def limits(self) -> HttpLimits:
        """The limits of this server."""
        return self._limits


class _Connection(asyncio.Protocol):
    """Passes everything to aiohttp's protocol, and closes the connection when its time is over."""

    def __init__(self, inner: Any, runner: LimitedRunner) -> None:
        self.serving = False
        self._inner, self._runner = inner, runner
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._admitted = self._runner.admit(self)
        if not self._admitted:
            self._transport.abort()
            return
        self._inner.connection_made(transport)
        self._wait(self._runner.limits.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._lost = True
        self._runner.remove(self)
        if self._admitted:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return cast("bool | None", self._inner.eof_received()) if self._admitted else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def begin(self) -> None:
        """A request's headers have arrived."""
        self._stop_timer()
        self.serving = True

    def end(self) -> None:
        """The response is built; the client reads it and may send the next request."""
        self.serving = False
        if self._lost:
            return
        self._runner.waits(self)
        self._wait(self._runner.limits.idle_s)

    def abort(self) -> None:
        """Close at once."""
        self._runner.remove(self)
        if self._transport is not None:
            self._transport.abort()

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._runner.closed[TIMEOUT] += 1
        self.abort()


def _guard(limits: HttpLimits) -> Middleware:
    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(connection, _Connection):
            connection.begin()
        try:
            if request.body_exists:
                await _read_body(request, limits.body_s)
            return await handler(request)
        finally:
            if isinstance(connection, _Connection):
                connection.end()

    return guarded


async def _read_body(request: web.Request, seconds: float) -> None:
    """Read the body, which aiohttp keeps for the handler."""
    try:
        async with asyncio.timeout(seconds):
            await request.read()
    except TimeoutError:
        error = web.HTTPRequestTimeout(text="The request's body did not arrive in time.\n")
        error.headers["Connection"] = "close"
        raise error from None
    except (web.RequestPayloadError, ConnectionError):
        raise web.HTTPBadRequest(text="The request's body cannot be read.\n") from None
