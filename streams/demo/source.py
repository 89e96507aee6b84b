"""Events in the order in which they are sent, with their times: of simulated customers, or of a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from models.events.event import Event, decode
from models.profile.mergeable import DAY_MS
from streams.cli.common import InputFile

# Long ago, because the time of an event may not lie ahead of the clock: at a day a second that is 2.7 hours away.
SIMULATED_FROM_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)
# The first labels of a horizon of 30 days come after 32: half of the history is learned from when the pace slows.
SIMULATED_HISTORY_MS = 60 * DAY_MS

# Of a file, whose length in days nobody knows: a quarter, and not more than a worker applies in some 15 s.
FILE_HISTORY_SHARE = 0.25
FILE_HISTORY_EVENTS = 160_000


class FeedItem(NamedTuple):
    """One record to send. What is no valid event has no key, and the time of the one before it."""

    time_ms: int
    customer: str | None
    value: bytes


class Source(Protocol):
    """Where events come from."""

    what: str
    history: str

    def items(self) -> Iterator[FeedItem]:
        """All of them, once."""

    def in_history(self, item: FeedItem, sent: int) -> bool:
        """Whether this item, with `sent` before it, still belongs to what is sent as fast as possible."""


class SimulatedSource:
    """Seeded customers with known hazards, from 2000 to this day."""

    history = "60 days"

    def __init__(self, customers: int, seed: int) -> None:
        from models.simulation import Simulation, SimulationSettings

        days = int((time.time() * 1000 - SIMULATED_FROM_MS) // DAY_MS)
        self._simulation = Simulation(
            SimulationSettings(customers=customers, days=days, seed=seed, start_ms=SIMULATED_FROM_MS)
        )
        self.what = f"{customers:,} simulated customers (seed {seed}), from 2000-01-01 on"

    def items(self) -> Iterator[FeedItem]:
        for event in self._simulation.events():
            yield FeedItem(event.time_ms, event.customer, event.value)

    def in_history(self, item: FeedItem, sent: int) -> bool:
        return item.time_ms < SIMULATED_FROM_MS + SIMULATED_HISTORY_MS


class LogSource:
    """A file of events (JSON lines, plain or gzipped), ordered by time. Raises as `InputFile`."""

    history = f"a quarter of it, at most {FILE_HISTORY_EVENTS:,} events"

    def __init__(self, path: Path) -> None:
        self._lines = InputFile(path)
        self.what = f"the log {path}"

    def items(self) -> Iterator[FeedItem]:
        now_ms, time_ms = int(time.time() * 1000), 0
        with self._lines as lines:
            for line in lines:
                if not line:
                    continue
                event = decode(line, (), now_ms)
                if isinstance(event, Event):
                    time_ms = event.time_ms
                    yield FeedItem(time_ms, event.customer, line)
                else:
                    yield FeedItem(time_ms, None, line)

    def in_history(self, item: FeedItem, sent: int) -> bool:
        return sent < FILE_HISTORY_EVENTS and self._lines.position < FILE_HISTORY_SHARE * self._lines.size
