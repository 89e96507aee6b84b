"""Events of the simulated customers, with event times as evenly spaced as their send times."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from benchmarks.throughput import kafka, world
from streams.kafka.partitioner import partition_of

_TIME: Final = b'"timestamp":"'
_DAY_CHARS: Final = len("2024-01-31")
_TIME_CHARS: Final = len("2024-01-31T00:00:00.000Z")


def evenly_in_time(events: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the same events (key, value) in the same order, with each day's events evenly spaced over the day.

    At night, customers have a fifteenth of the events per hour that they have at noon. At a constant rate, a night
    would therefore pass in a moment, and the deadlines of these hours would fall due at once, unlike on a real day.

    >>> values = (b'{"timestamp":"2024-01-31T%s.000Z"}' % at for at in (b"12:00:00", b"12:00:01"))
    >>> [value for _, value in evenly_in_time([(b"key", value) for value in values])]
    [b'{"timestamp":"2024-01-31T00:00:00.000Z"}', b'{"timestamp":"2024-01-31T12:00:00.000Z"}']
    """
    for day, found in itertools.groupby(events, key=lambda event: _day(event[1])):
        of_day = list(found)
        midnight, step = datetime.fromisoformat(day.decode()), timedelta(days=1) / len(of_day)
        for number, (key, value) in enumerate(of_day):
            at = value.index(_TIME) + len(_TIME)
            moment = (midnight + number * step).isoformat(timespec="milliseconds") + "Z"
            yield key, value[:at] + moment.encode() + value[at + _TIME_CHARS :]


def _day(value: bytes) -> bytes:
    at = value.index(_TIME) + len(_TIME)
    return value[at : at + _DAY_CHARS]


class Feed:
    """The events with their partitions, generated once and the same for every run."""

    def __init__(self) -> None:
        self._upcoming = self._with_partitions(evenly_in_time(world.endless()))
        self._generated: list[tuple[int, bytes, bytes]] = []

    def events(self, start: int, count: int) -> list[tuple[int, bytes, bytes]]:
        """Return `count` events from number `start` on, as (partition, key, value)."""
        self._generated += itertools.islice(self._upcoming, max(0, start + count - len(self._generated)))
        return self._generated[start : start + count]

    def _with_partitions(self, events: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
        homes: dict[bytes, int] = {}
        for key, value in events:
            if key not in homes:
                homes[key] = partition_of(key, kafka.PARTITIONS)
            yield homes[key], key, value
