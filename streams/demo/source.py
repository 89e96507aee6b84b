"""Events of simulated customers or of a file, in publishing order, and the end of the history."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from models.events.event import Event, decode
from models.events.rejection import Rejected
from models.profile.mergeable import DAY_MS
from streams.errors import ConfigurationError
from streams.input_file import InputFile

# Early, because event time must stay behind the clock: at one day per second it catches up after 2.7 hours.
SIMULATED_FROM_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)
# With a horizon of 30 days the first labels mature after 32, so the model has learned from half of the history.
SIMULATED_HISTORY_MS = 60 * DAY_MS

# History of a file, whose length in days is unknown: a quarter, and no more than a worker applies in about 15 s.
FILE_HISTORY_SHARE = 0.25
FILE_HISTORY_EVENTS = 160_000


LINES_TRIED: Final = 100
"""A log of events has one among its first lines."""


class FeedItem(NamedTuple):
    """One record to publish. An invalid event has no customer, and the time of the previous event."""

    time_ms: int
    customer: str | None
    value: bytes


class Source(Protocol):
    """A source of events.

    Attributes:
        description: What the events are, for people.
        history: How long the history is, for people.
    """

    description: str
    history: str

    def items(self) -> Iterator[FeedItem]:
        """Iterate over all events once."""

    def in_history(self, item: FeedItem, sent: int) -> bool:
        """Whether this item belongs to the history, after `sent` items."""


class SimulatedSource:
    """Simulated customers with known hazards, from 2000 to today."""

    history = "60 days"

    def __init__(self, customers: int, seed: int) -> None:
        from models.simulation import Simulation, SimulationSettings

        days = int((time.time() * 1000 - SIMULATED_FROM_MS) // DAY_MS)
        self._simulation = Simulation(
            SimulationSettings(customers=customers, days=days, seed=seed, start_ms=SIMULATED_FROM_MS)
        )
        self.description = f"{customers:,} simulated customers (seed {seed}), from 2000-01-01 on"

    def items(self) -> Iterator[FeedItem]:
        for event in self._simulation.events():
            yield FeedItem(event.time_ms, event.customer, event.value)

    def in_history(self, item: FeedItem, sent: int) -> bool:
        return item.time_ms < SIMULATED_FROM_MS + SIMULATED_HISTORY_MS


class LogSource:
    """A file of events (JSON lines, plain or gzipped) in order of time.

    Raises:
        ConfigurationError: the file cannot be opened, or none of its first lines is an event.
        ChurnSignalsError: the file is damaged; raised while iterating.
    """

    history = f"the first quarter of the file, at most {FILE_HISTORY_EVENTS:,} events"

    def __init__(self, path: Path) -> None:
        _refuse_other_files(path)
        self._lines = InputFile(path)
        self.description = f"the file {path}"

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


def _refuse_other_files(path: Path) -> None:
    """Raise ConfigurationError if none of a file's first lines is an event: a CSV file would never end as a demo."""
    with InputFile(path) as lines:
        first = [decode(line, (), None) for line in itertools.islice(filter(None, lines), LINES_TRIED)]
    if any(isinstance(each, Event) for each in first):
        return
    reason = next((f": {each.message}" for each in first if isinstance(each, Rejected)), ", which is empty.")
    raise ConfigurationError(
        f"{path} is not a log of events. None of its first {LINES_TRIED} lines is one{reason}"
        " Convert exports and CSV files with: churn-signals import"
    )
