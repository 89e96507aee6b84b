"""Publish events: the history as fast as the worker applies it, then a number of days of event time per second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from models.profile.mergeable import DAY_MS
from streams.demo.source import Source

# Published and not yet applied: at least two seconds of a worker's work, because the offsets are a second old.
MAX_AHEAD_EVENTS = 20_000
_TICK_S = 0.05
# About 10 ms of work between two checks of the clock and two chances for other tasks.
_SLICE_EVENTS = 500
# After a pause of the process (a suspended laptop), event time continues where it was.
_MAX_STEP_S = 0.5


class Phase(Enum):
    """The part of the feed that is being published."""

    HISTORY = "at full speed"
    PACED = "days per second"
    ENDED = "everything is published"


class Sink(Protocol):
    """Accepts events; `streams.kafka.publisher.Publisher`."""

    async def put(self, value: bytes, key: bytes | None) -> None:
        """Send one record."""


class EventClock:
    """A clock of event time that advances by `days_per_second`.

    >>> clock = EventClock(2.0)
    >>> clock.start(0)
    >>> clock.advance(0.25), clock.advance(3600.0)
    (43200000.0, 129600000.0)
    """

    def __init__(self, days_per_second: float) -> None:
        self.days_per_second = days_per_second
        self.now_ms = 0.0

    def start(self, time_ms: int) -> None:
        """Set the event time."""
        self.now_ms = float(time_ms)

    def advance(self, elapsed_s: float) -> float:
        """Advance by elapsed wall time, at most half a second; return the event time."""
        self.now_ms += min(elapsed_s, _MAX_STEP_S) * self.days_per_second * DAY_MS
        return self.now_ms


class DemoFeed:
    """Publishes every event. If the worker cannot keep up, event time waits for it.

    Args:
        source: The events.
        days_per_second: Speed of event time after the history.
        applied: Returns how many events the worker has applied, about a second ago.
    """

    def __init__(self, source: Source, days_per_second: float, applied: Callable[[], int]) -> None:
        self.phase = Phase.HISTORY
        self.sent = 0
        self.time_ms: int | None = None
        self._source = source
        self._clock = EventClock(days_per_second)
        self._applied = applied
        self._checked_s = 0.0

    @property
    def held(self) -> bool:
        """Whether the feed waits, because too many events are not yet applied."""
        return self.sent - self._applied() >= MAX_AHEAD_EVENTS

    async def run(self, sink: Sink) -> None:
        """Publish everything. Raises what `sink` and the source raise."""
        for item in self._source.items():
            if self.phase is Phase.HISTORY and not self._source.in_history(item, self.sent):
                self.phase = Phase.PACED
                self._clock.start(item.time_ms)
                self._checked_s = time.monotonic()
            if self.phase is Phase.PACED and item.time_ms > self._clock.now_ms:
                await self._await_time(item.time_ms)
            if self.sent % _SLICE_EVENTS == 0:
                await self._await_worker()
            await sink.put(item.value, None if item.customer is None else item.customer.encode())
            self.sent += 1
            self.time_ms = item.time_ms
        self.phase = Phase.ENDED

    async def _await_time(self, time_ms: int) -> None:
        while True:
            previous_s, self._checked_s = self._checked_s, time.monotonic()
            if self._clock.advance(self._checked_s - previous_s) >= time_ms:
                return
            await asyncio.sleep(_TICK_S)

    async def _await_worker(self) -> None:
        await asyncio.sleep(0)
        while self.held:
            await asyncio.sleep(_TICK_S)
            self._checked_s = time.monotonic()  # event time stands still meanwhile
