"""Feed outages: unusually long gaps in which no customer of a partition is active.

A broken collector makes every customer look silent. So silence is evidence only while other customers are active: a gap
between two customer-caused events that is several times the longest usual gap counts as an outage of the feed. The
result is a function of the log: of event times and the number of events between them.
"""

from __future__ import annotations

import math
from typing import Any, Final

from models.duration import DAY_MS, HOUR_MS

HALF_LIFE_MS: Final = 7 * DAY_MS  # long enough that a nightly or weekly gap still counts at its next occurrence
LEAST_MS: Final = 6 * HOUR_MS  # shorter gaps are never an outage
FACTOR: Final = 3.0  # a gap is an outage beyond this multiple of the longest usual gap
NOTED_MS: Final = int(LEAST_MS / FACTOR)  # shorter gaps cannot raise the limit
FIRST_USUAL_MS: Final = 2 * DAY_MS  # initial longest usual gap: a weekend
JUDGED_EVENTS: Final = 100.0  # decayed event count below which gaps of a sparse feed are never an outage
GAPS_KEPT: Final = 16
LABEL_SHARE: Final = 0.1  # share of a label's horizon that outages may cover before the label is censored


class FeedOutages:
    """Outages of one partition's feed.

    >>> feed = FeedOutages()
    >>> for day in range(1, 60):  # each day 50 events, then a gap of 8 hours
    ...     feed.record_activity(day * DAY_MS, 50)
    ...     feed.record_gap(day * DAY_MS + 8 * HOUR_MS)
    >>> feed.record_activity(61 * DAY_MS, 1)
    >>> feed.record_gap(64 * DAY_MS)
    >>> feed.record_activity(68 * DAY_MS, 200)
    >>> feed.silent(61 * DAY_MS + 12 * HOUR_MS), feed.silent(63 * DAY_MS), feed.silent(68 * DAY_MS)
    (False, True, False)
    """

    def __init__(self) -> None:
        self.newest_ms = 0
        """Time of the newest customer-caused event. In live operation the partition's clock advances without events."""
        self._usual_ms = float(FIRST_USUAL_MS)
        self._events = 0.0  # decayed event count as of `_at_ms`
        self._since = 0  # events after `_at_ms`
        self._at_ms = 0
        self._gaps: list[tuple[int, int, int]] = []  # start, time at which it became an outage, end
        self._open: tuple[int, int] | None = None  # current gap: start, time at which it becomes an outage

    def record_activity(self, newest_ms: int, events: int) -> None:
        """Record a number of events without a gap between them, the newest at this time."""
        self.newest_ms = newest_ms
        self._since += events
        limit = self._as_of(newest_ms)[2]
        self._open = None if limit is None or not newest_ms else (newest_ms, newest_ms + int(limit))

    def record_gap(self, after_ms: int) -> None:
        """Record a gap of at least `NOTED_MS` between the newest event and the next event, at `after_ms`."""
        before_ms = self.newest_ms
        count, usual, limit = self._as_of(before_ms)
        gap = after_ms - before_ms
        if before_ms and limit is not None and gap > limit:  # the time before the first event is unknown
            self._gaps.append((before_ms, before_ms + int(limit), after_ms))
        # the usual gap grows step by step: a slower feed is learned, and one outage does not excuse the next
        if before_ms:
            self._usual_ms = max(usual, min(float(gap), max(float(LEAST_MS), FACTOR * usual)))
        self._events, self._since, self._at_ms = count, 0, before_ms or after_ms

    def silent(self, at_ms: int) -> bool:
        """Return whether the feed is in an outage at this time, or recovers from one."""
        if self._open is not None and at_ms > self._open[1]:
            return True
        # after an outage, a customer's silence means nothing for as long as the outage lasted
        return any(at_ms <= end + (end - start) for start, _, end in self._known(at_ms))

    def is_censored(self, from_ms: int, to_ms: int, at_ms: int) -> bool:
        """Return whether outages known at `at_ms` cover too much of (from_ms, to_ms] for its label to be known."""
        spans = [(start, end) for start, _, end in self._known(at_ms)]
        if self._open is not None and at_ms > self._open[1]:
            spans.append((self._open[0], at_ms))
        hidden = sum(max(0, min(end, to_ms) - max(start, from_ms)) for start, end in spans)
        return hidden > LABEL_SHARE * (to_ms - from_ms)

    def _known(self, at_ms: int) -> list[tuple[int, int, int]]:
        """Return the newest gaps that had become outages by a time: later gaps must not change the result."""
        return [gap for gap in self._gaps if gap[1] < at_ms][-GAPS_KEPT:]

    def _as_of(self, at_ms: int) -> tuple[float, float, float | None]:
        """Return event count and usual gap, decayed to a time, and the limit of a usual gap; None for a sparse feed."""
        decay = math.exp2(min(self._at_ms - at_ms, 0) / HALF_LIFE_MS) if self._at_ms else 1.0
        count, usual = self._events * decay + self._since, self._usual_ms * decay
        return count, usual, max(float(LEAST_MS), FACTOR * usual) if count >= JUDGED_EVENTS else None

    def state(self) -> list[Any]:
        """Return the state for `restore`, exact to the bit. Drops older gaps, so call it between batches only."""
        self._gaps = self._gaps[-GAPS_KEPT:]
        return [self.newest_ms, self._usual_ms, self._events, self._since, self._at_ms, self._gaps]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned."""
        self.newest_ms, self._usual_ms, self._events, self._since, self._at_ms, gaps = state
        self._gaps = [(start, noticed, end) for start, noticed, end in gaps]
