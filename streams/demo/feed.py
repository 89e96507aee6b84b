"""Sends events to the events topic: the history as fast as the worker applies it, then so many days a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from models.profile.mergeable import DAY_MS
from streams.demo.source import Source

# What may be sent and not yet applied, two seconds of a worker's work or more: the group's offsets are a second old.
AHEAD_EVENTS = 20_000
_TICK_S = 0.05
# Between two looks at the clock and at everybody else in this process; some 10 ms.
_SLICE_EVENTS = 500
# After the process stood still (a laptop that slept), event time goes on from where it was.
_STEP_MAX_S = 0.5


class Phase(Enum):
    """How far the feed is."""

    HISTORY = "at full speed"
    PACED = "so many days a second"
    ENDED = "all is sent"


class Sink(Protocol):
    """What takes the events: `streams.cli.publish.Publisher`."""

    async def put(self, value: bytes, key: bytes | None) -> None:
        """Put one record on its way."""


class EventClock:
    """The clock of event time, `days_per_second` of it.

    >>> pace = EventClock(2.0)
    >>> pace.start(0)
    >>> pace.advance(0.25), pace.advance(3600.0)
    (43200000.0, 129600000.0)
    """

    def __init__(self, days_per_second: float) -> None:
        self.days_per_second = days_per_second
        self.now_ms = 0.0

    def start(self, time_ms: int) -> None:
        """Event time is now this."""
        self.now_ms = float(time_ms)

    def advance(self, elapsed_s: float) -> float:
        """Let so much of our time pass, half a second at most; returns the event time."""
        self.now_ms += min(elapsed_s, _STEP_MAX_S) * self.days_per_second * DAY_MS
        return self.now_ms


class DemoFeed:
    """Nothing is skipped: when the worker cannot keep up, event time waits for it.

    Args:
        source: what is sent.
        days_per_second: of event time, after the history.
        applied: how many events the worker has applied, a second old.
    """

    def __init__(self, source: Source, days_per_second: float, applied: Callable[[], int]) -> None:
        self.phase = Phase.HISTORY
        self.sent = 0
        self.time_ms: int | None = None
        self._source = source
        self._pace = EventClock(days_per_second)
        self._applied = applied
        self._looked_s = 0.0

    @property
    def held(self) -> bool:
        """Whether so much is on its way that nothing is added."""
        return self.sent - self._applied() >= AHEAD_EVENTS

    async def run(self, sink: Sink) -> None:
        """Send everything. Raises what `sink` and the source raise."""
        for item in self._source.items():
            if self.phase is Phase.HISTORY and not self._source.in_history(item, self.sent):
                self.phase = Phase.PACED
                self._pace.start(item.time_ms)
                self._looked_s = time.monotonic()
            if self.phase is Phase.PACED and item.time_ms > self._pace.now_ms:
                await self._await_time(item.time_ms)
            if self.sent % _SLICE_EVENTS == 0:
                await self._await_worker()
            await sink.put(item.value, None if item.customer is None else item.customer.encode())
            self.sent += 1
            self.time_ms = item.time_ms
        self.phase = Phase.ENDED

    async def _await_time(self, time_ms: int) -> None:
        while True:
            before, self._looked_s = self._looked_s, time.monotonic()
            if self._pace.advance(self._looked_s - before) >= time_ms:
                return
            await asyncio.sleep(_TICK_S)

    async def _await_worker(self) -> None:
        await asyncio.sleep(0)
        while self.held:
            await asyncio.sleep(_TICK_S)
            self._looked_s = time.monotonic()  # event time waits with us
