"""Open pages that listen for changes: server-sent events, limited per session and in total.

Tested by tests/streams/console/test_access.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aiohttp import web

# A browser reloads at most this often. Faster updates are not visible, and a page costs about 10 ms.
_NOTIFY_EVERY_S: Final = 0.7
_HEARTBEAT_S: Final = 15.0
# A client that reads nothing for this time is gone.
_WRITE_TIMEOUT_S: Final = 10.0
MAX_LISTENERS: Final = 200
# A browser opens at most six connections to a host, with HTTP/2 behind a proxy a hundred.
MAX_PER_SESSION: Final = 12

Alive = Callable[[], bool]
"""Whether the session of a page is still valid."""


class _OpenPage:
    def __init__(self, session: str) -> None:
        self.session = session
        self.wake = asyncio.Event()
        self.topics = {"status"}


class LiveStreams:
    """All open streams.

    Args:
        data: Returns the data of an event, by topic.
    """

    def __init__(self, data: Callable[[str], str]) -> None:
        self._data = data
        self._listeners: set[_OpenPage] = set()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._listeners)

    def notify(self, topic: str) -> None:
        """Notify all pages that the data of a topic has changed."""
        for listener in self._listeners:
            listener.topics.add(topic)
            listener.wake.set()

    def end(self, session: str | None = None) -> None:
        """End the streams of a session that was logged out; all streams if the console stops (None)."""
        self._stopping = self._stopping or session is None
        for listener in self._listeners:
            if session is None or listener.session == session:
                listener.wake.set()

    async def serve(self, request: web.Request, session: str, alive: Alive) -> web.StreamResponse:
        """Send events until the page is closed, or its session ends.

        Args:
            request: Of the page.
            session: Its session; empty on a console without login, where only the total is limited.
            alive: Whether this session is still valid.

        Raises:
            web.HTTPTooManyRequests: the session has too many streams.
            web.HTTPServiceUnavailable: there are too many streams.
        """
        if session and sum(listener.session == session for listener in self._listeners) >= MAX_PER_SESSION:
            raise web.HTTPTooManyRequests(text="This session has too many open pages. Close some and reload.\n")
        if len(self) >= MAX_LISTENERS:
            raise web.HTTPServiceUnavailable(text="Too many pages are open. Close some and reload.\n")
        listener = _OpenPage(session)
        self._listeners.add(listener)
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            listener.wake.set()
            await self._send(response, listener, alive)
        except (ConnectionError, TimeoutError):
            pass  # the page was closed, or reads nothing
        finally:
            self._listeners.discard(listener)
        return response

    async def _send(self, response: web.StreamResponse, listener: _OpenPage, alive: Alive) -> None:
        while not self._stopping and alive():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.wake.wait(), _HEARTBEAT_S)
            if self._stopping or not alive():
                return
            listener.wake.clear()
            events = "".join(f"event: {topic}\ndata: {self._data(topic)}\n\n" for topic in sorted(listener.topics))
            listener.topics.clear()
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await response.write((events or ": heartbeat\n\n").encode())
            await asyncio.sleep(_NOTIFY_EVERY_S)
