"""The simulated customers' events, as evenly spaced in their own time as they are sent."""

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
    """The same events (key, value) in the same order, those of each day evenly over the day.

    A rate that does not change sends a night, with a fifteenth of noon's events an hour, in a moment. All that
    customers' silence brings about in those hours would fall due at once, which no night of a real day is like.

    >>> values = (b'{"timestamp":"2024-01-31T%s.000Z"}' % at for at in (b"12:00:00", b"12:00:01"))
    >>> [value for _, value in evenly_in_time([(b"key", value) for value in values])]
    [b'{"timestamp":"2024-01-31T00:00:00.000Z"}', b'{"timestamp":"2024-01-31T12:00:00.000Z"}']
    """
    for day, found in itertools.groupby(events, key=lambda event: _day(event[1])):
        mine = list(found)
        midnight, step = datetime.fromisoformat(day.decode()), timedelta(days=1) / len(mine)
        for number, (key, value) in enumerate(mine):
            at = value.index(_TIME) + len(_TIME)
            moment = (midnight + number * step).isoformat(timespec="milliseconds") + "Z"
            yield key, value[:at] + moment.encode() + value[at + _TIME_CHARS :]


def _day(value: bytes) -> bytes:
    at = value.index(_TIME) + len(_TIME)
    return value[at : at + _DAY_CHARS]


class Feed:
    """The events with their partitions, the same ones for every run; made once."""

    def __init__(self) -> None:
        self._coming = self._placed(evenly_in_time(world.endless()))
        self._made: list[tuple[int, bytes, bytes]] = []

    def take(self, start: int, count: int) -> list[tuple[int, bytes, bytes]]:
        """So many events from number `start` on, as (partition, key, value)."""
        self._made += itertools.islice(self._coming, max(0, start + count - len(self._made)))
        return self._made[start : start + count]

    def _placed(self, events: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
        homes: dict[bytes, int] = {}
        for key, value in events:
            if key not in homes:
                homes[key] = partition_of(key, kafka.PARTITIONS)
            yield homes[key], key, value
