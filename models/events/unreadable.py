"""Count properties that are present and cannot be used: of the wrong type or format, or outside their scale.

Such a value is missing, never clipped, and never read as a healthy one. The reader of a property notes it on the event
(`unreadable`); the fold adds the notes of applied events to its counts (`UnreadableCounts`). An event without such a
property allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from models.events.taxonomy import MEANINGS

if TYPE_CHECKING:
    from models.events.event import Event

PAIRS_MAX: Final = 200
"""Pairs of event and property that are counted separately. The taxonomy and the readers have fewer, so that `OTHER` is
empty in practice; the bound holds for records that someone else wrote."""

OTHER: Final = "other"
"""Stands for the events that the taxonomy does not list, whose names may contain anything, and for pairs above
`PAIRS_MAX`."""


class UnreadableProperty(NamedTuple):
    """A property of an event name, in the order of a report: sorted by event and property."""

    event: str
    name: str


class UnreadableCount(NamedTuple):
    """How often a property could not be used, and the positions of the first and the newest such event.

    A position is the offset of a record in its partition, or the number of a line in its file.
    """

    events: int
    first: int
    newest: int

    def plus(self, other: UnreadableCount) -> UnreadableCount:
        """Add the counts of another part of the same log."""
        return UnreadableCount(self.events + other.events, min(self.first, other.first), max(self.newest, other.newest))


def unreadable(event: Event, name: str) -> None:
    """Note on the event that its property `name` is present and cannot be used. A property is noted once.

    >>> from models.events.event import decode
    >>> event = decode(b'{"type":"page","userId":7,"timestamp":"2025-03-10T09:30:00Z"}', [], None)
    >>> unreadable(event, "name"); unreadable(event, "name"); event.unreadable
    ['name']
    """
    if event.unreadable is None:
        event.unreadable = [name]
    elif name not in event.unreadable:
        event.unreadable.append(name)


class UnreadableCounts:
    """Counts by event name and property. The result does not depend on how a log is split into batches.

    >>> from models.events.event import decode
    >>> event = decode(b'{"type":"page","userId":7,"timestamp":"2025-03-10T09:30:00Z"}', [], None)
    >>> unreadable(event, "name")
    >>> counts = UnreadableCounts()
    >>> counts.add(event, 12); counts.add(event, 17)
    >>> dict(counts.items())
    {UnreadableProperty(event='page', name='name'): UnreadableCount(events=2, first=12, newest=17)}
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Iterable[tuple[UnreadableProperty, UnreadableCount]] = ()) -> None:
        self._counts = dict(counts)

    def add(self, event: Event, position: int) -> None:
        """Count what is noted on an applied event."""
        if event.unreadable is None:
            return
        event_name = event.name if event.name in MEANINGS else OTHER
        for name in event.unreadable:
            self._plus(UnreadableProperty(event_name, name), UnreadableCount(1, position, position))

    def merge(self, later: UnreadableCounts) -> None:
        """Add the counts of a later part of the log. Above `PAIRS_MAX` pairs, those that occur first are kept."""
        for pair, count in sorted(later._counts.items(), key=lambda item: (item[1].first, item[0])):
            known = pair in self._counts or len(self._counts) < PAIRS_MAX
            self._plus(pair if known else UnreadableProperty(OTHER, OTHER), count)

    def moved(self, to: Callable[[int], int]) -> UnreadableCounts:
        """Return the counts with other positions: the line numbers of a file instead of the numbers of its events."""
        return UnreadableCounts(
            (pair, UnreadableCount(found.events, to(found.first), to(found.newest)))
            for pair, found in self._counts.items()
        )

    def items(self) -> Iterator[tuple[UnreadableProperty, UnreadableCount]]:
        """Yield the counts, sorted by event and property."""
        yield from sorted(self._counts.items())

    def most_frequent(self) -> list[tuple[UnreadableProperty, UnreadableCount]]:
        """Return the counts, the most frequent first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1].events, item[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnreadableCounts) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._counts)

    def _plus(self, pair: UnreadableProperty, count: UnreadableCount) -> None:
        before = self._counts.get(pair)
        self._counts[pair] = count if before is None else before.plus(count)


__all__ = [
    "OTHER",
    "PAIRS_MAX",
    "UnreadableCount",
    "UnreadableCounts",
    "UnreadableProperty",
    "unreadable",
]
