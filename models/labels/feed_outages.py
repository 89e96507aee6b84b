"""The feed itself: whether it is usual that nothing comes from anybody in a partition.

A collector that broke makes every customer look silent. Silence is therefore believed only while others are heard: a
gap between two events of the customers' own doing that is several times the longest usual one is the feed's, not
theirs.
It is a function of the log: of event times and how many events stood between them.
"""

from __future__ import annotations

import math
from typing import Any, Final

from models.duration import DAY_MS, HOUR_MS

HALF_LIFE_MS: Final = 7 * DAY_MS  # a nightly or weekly lull is remembered until it comes again
LEAST_MS: Final = 6 * HOUR_MS  # shorter gaps make no alert's reason
FACTOR: Final = 3.0  # so many times the longest usual gap is unusual
NOTED_MS: Final = int(LEAST_MS / FACTOR)  # gaps below this cannot move the limit
FIRST_USUAL_MS: Final = 2 * DAY_MS  # before a feed has shown its rhythm: a weekend
JUDGED_EVENTS: Final = 100.0  # of the last weeks: whose feed is thinner is silent now and then, and means nothing by it
GAPS_KEPT: Final = 16
LABEL_SHARE: Final = 0.1  # of a label's horizon: shorter gaps leave the label what it is


class FeedOutages:
    """Gaps of one partition.

    >>> feed = FeedOutages()
    >>> for day in range(1, 60):  # every day 50 events, and then nothing for 8 hours
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
        """Time of the newest event that a customer did: in live running the partition's clock goes on without any."""
        self._usual_ms = float(FIRST_USUAL_MS)
        self._events = 0.0  # decayed, as of `_at_ms`
        self._since = 0  # and those that came after it
        self._at_ms = 0
        self._gaps: list[tuple[int, int, int]] = []  # begin, when it became unusual, end
        self._open: tuple[int, int] | None = None  # the silence that lasts: begin, when it becomes unusual

    def record_activity(self, newest_ms: int, events: int) -> None:
        """So many events came without a gap; the newest is of this time, and nothing came after it so far."""
        self.newest_ms = newest_ms
        self._since += events
        limit = self._as_of(newest_ms)[2]
        self._open = None if limit is None or not newest_ms else (newest_ms, newest_ms + int(limit))

    def record_gap(self, after_ms: int) -> None:
        """The next event comes at least `NOTED_MS` after the newest one."""
        before_ms = self.newest_ms
        count, usual, limit = self._as_of(before_ms)
        gap = after_ms - before_ms
        if before_ms and limit is not None and gap > limit:  # nothing is known of the time before the first event
            self._gaps.append((before_ms, before_ms + int(limit), after_ms))
        # a feed that became slower is learned step by step, and one outage does not excuse the next
        if before_ms:
            self._usual_ms = max(usual, min(float(gap), max(float(LEAST_MS), FACTOR * usual)))
        self._events, self._since, self._at_ms = count, 0, before_ms or after_ms

    def silent(self, at_ms: int) -> bool:
        """Whether at this time nothing had come from anybody for unusually long."""
        if self._open is not None and at_ms > self._open[1]:
            return True
        # when it comes back, customers need as long again before what they did not do means anything
        return any(at_ms <= end + (end - begin) for begin, _, end in self._known(at_ms))

    def is_censored(self, from_ms: int, to_ms: int, at_ms: int) -> bool:
        """Whether a label over (from, to] cannot be known, looked at as of `at_ms`: a gap hides too much of it."""
        spans = [(begin, end) for begin, _, end in self._known(at_ms)]
        if self._open is not None and at_ms > self._open[1]:
            spans.append((self._open[0], at_ms))
        hidden = sum(max(0, min(end, to_ms) - max(begin, from_ms)) for begin, end in spans)
        return hidden > LABEL_SHARE * (to_ms - from_ms)

    def _known(self, at_ms: int) -> list[tuple[int, int, int]]:
        """The newest gaps that had become unusual by a time: what came later changes no answer."""
        return [gap for gap in self._gaps if gap[1] < at_ms][-GAPS_KEPT:]

    def _as_of(self, at_ms: int) -> tuple[float, float, float | None]:
        """Events and usual gap decayed to a time, and the longest usual gap; None for a feed too thin to say."""
        decay = math.exp2(min(self._at_ms - at_ms, 0) / HALF_LIFE_MS) if self._at_ms else 1.0
        count, usual = self._events * decay + self._since, self._usual_ms * decay
        return count, usual, max(float(LEAST_MS), FACTOR * usual) if count >= JUDGED_EVENTS else None

    def state(self) -> list[Any]:
        """As data; `restore` gives the same bit for bit. Called between batches: older gaps are forgotten."""
        self._gaps = self._gaps[-GAPS_KEPT:]
        return [self.newest_ms, self._usual_ms, self._events, self._since, self._at_ms, self._gaps]

    def restore(self, state: list[Any]) -> None:
        """Continues from what `state` returned."""
        self.newest_ms, self._usual_ms, self._events, self._since, self._at_ms, gaps = state
        self._gaps = [(begin, noticed, end) for begin, noticed, end in gaps]
