"""Whether a log is in order of event time, as a replay needs it."""

from __future__ import annotations

import heapq
from typing import Final

from models.duration import DAY_MS

LATE_MS: Final = DAY_MS
"""An event this much earlier than those before it is out of order. Exports of several partitions differ by minutes."""

LATE_SHARE: Final = 0.01
"""A log with a larger share of such events is not sorted. Phones deliver single events days later."""

LATE_MIN: Final = 20
"""At least this many, so that one late event of a short log does not stop a replay."""

CONFIRMATIONS: Final = 10
"""A time is reached when this many events have it or a later one: single wrong clocks make no other event late."""


class LogOrder:
    """Follows the event times of a log, line by line.

    Attributes:
        events: Events so far.
        late: How many of them are out of order.
        first_late_line: The line of the first one, 0 for none.
        most_late_ms: By how much the latest one is late.

    >>> order = LogOrder()
    >>> for line in range(1, 101): order.add(line, (1_000 + line % 50) * DAY_MS)
    >>> order.late, order.first_late_line, order.is_unsorted
    (40, 50, True)
    """

    __slots__ = ("_newest", "events", "first_late_line", "late", "most_late_ms")

    def __init__(self) -> None:
        self.events = self.late = self.first_late_line = self.most_late_ms = 0
        self._newest = [0] * CONFIRMATIONS

    def add(self, line: int, time_ms: int) -> None:
        """Add the event of the next line."""
        self.events += 1
        newest = self._newest
        if time_ms > newest[0]:
            heapq.heapreplace(newest, time_ms)
        elif (late_ms := newest[0] - time_ms) > LATE_MS:
            self.late += 1
            self.first_late_line = self.first_late_line or line
            self.most_late_ms = max(self.most_late_ms, late_ms)

    @property
    def is_unsorted(self) -> bool:
        """Whether so many events are out of order that the log cannot be replayed as it is."""
        return self.late >= LATE_MIN and self.late > LATE_SHARE * self.events


__all__ = ["LogOrder"]
