"""A customer's part of the sums of use: on which days they were active, and what that makes them in each period.

Active is who did something by hand on a day (UTC). Over a period (a day, 30 days up to a day, a month) a customer is
*new* (first active ever in it), *returning* (also active in the period before), *resurrected* (before, but not in the
period before) or *dormant* (active in the period before, not in this one). Three sums per period say it all: who was
first active, who was active, who was active in this period and the one before.

Days are the bitmap of a profile: 512 days back from its newest. An event that is at most 450 days late is counted as
if it had come in time. A customer counts under the plan and the source that were said of them last; when that changes,
their days of these 512 move with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from models.profile.mergeable import BITMAP_BYTES, BITMAP_DAYS, DAY_MS
from models.profile.schema import NEVER_MS, Profile
from models.retention.aggregates import NUMBER, SegmentRegistry, Sums, cohort, first_day, month_of

WINDOW_DAYS: Final = 30
AGE_MAX_DAYS: Final = 366
"""Retention by age ends here; all that is older is one age, which says only that it was reached."""

_AHEAD: Final = 64  # days after the newest one that a day's window and its month's successor reach
_BEHIND: Final = 64  # days before a new one that can matter to it: two windows, or a month and the one before
_FAR: Final = 1 << 20  # days: longer ago than matters to anything
_MASK: Final = (1 << BITMAP_DAYS) - 1

_FIRST, _ACTIVE, _BOTH, _ROLLING, _ROLLING_BOTH, _MONTH, _MONTH_BOTH, _AGE, _LAST, _COHORT = (
    NUMBER[name]
    for name in (
        "first", "active", "active_both", "active_30+", "active_30_both+", "active_month", "active_month_both",
        "active_age", "last_age", "cohort_active",
    )
)  # fmt: skip


_new: Final = tuple.__new__


class ActivityView(NamedTuple):
    """What the sums ask of a profile."""

    days: bytes
    newest_ms: int
    first_ms: int
    last_ms: int
    plan: str
    source: str

    @classmethod
    def of(cls, profile: Profile) -> ActivityView:
        """As the profile is now; what is changed in it later is not seen."""
        identity = profile.identity
        plan = source = ""
        if identity is not None:
            if identity.plan is not None:
                plan = identity.plan[2]
            if identity.source is not None:
                source = identity.source[2]
        now = profile.days, profile.newest_ms, profile.first_engaged_ms, profile.engaged_ms, plan, source
        return _new(cls, now)  # every customer of every batch is looked at twice: without the constructor's arguments


NO_ACTIVITY: Final = ActivityView(bytes(BITMAP_BYTES), 0, NEVER_MS, 0, "", "")


def move(sums: Sums, groups: SegmentRegistry, before: ActivityView, after: ActivityView) -> None:
    """A customer stood as `before` and stands as `after`, who was active on the same days and more."""
    if after.first_ms == NEVER_MS:
        return
    newest, first, last = after.newest_ms // DAY_MS, after.first_ms // DAY_MS, after.last_ms // DAY_MS
    group = groups.of(after.plan, after.source)
    new = int.from_bytes(after.days, "little")
    if before.first_ms == NEVER_MS:
        sums[group, _FIRST, first] += 1
        _last(sums, first, last, 1)
        if first == last:
            _next_day(sums, group, first, last, None)
        else:
            _segment(sums, group, 0, new, newest, 1)
            _cohort(sums, first, 0, new, newest, 1)
        return
    old = int.from_bytes(before.days, "little") << newest - before.newest_ms // DAY_MS & _MASK
    old_first, old_last = before.first_ms // DAY_MS, before.last_ms // DAY_MS
    if before.plan != after.plan or before.source != after.source:
        old_group = groups.of(before.plan, before.source)
        if old_group != group:
            sums[old_group, _FIRST, old_first] -= 1
            sums[group, _FIRST, old_first] += 1
            _segment(sums, old_group, 0, old, newest, -1)
            _segment(sums, group, 0, old, newest, 1)
    if old_first != first:
        sums[group, _FIRST, old_first] -= 1
        sums[group, _FIRST, first] += 1
        _cohort(sums, old_first, 0, old, newest, -1)
        _cohort(sums, first, 0, old, newest, 1)
    if old_first != first or old_last != last:
        _last(sums, old_first, old_last, -1)
        _last(sums, first, last, 1)
    added = new ^ old
    if added:
        if last > old_last and added == 1 << newest - last:
            _next_day(sums, group, first, last, old_last)
        else:
            _segment(sums, group, old, new, newest, 1)
            _cohort(sums, first, old, new, newest, 1)


def _next_day(sums: Sums, group: str, first: int, day: int, last: int | None) -> None:
    """What `_segment` and `_cohort` do for one more day after the last one: nearly all that ever comes."""
    began, month = cohort(month_of(first)), month_of(day)
    sums[group, _ACTIVE, day] += 1
    if day - first <= AGE_MAX_DAYS:
        sums[began, _AGE, day - first] += 1
    gap = _FAR if last is None else day - last
    starts, ends = day, day + WINDOW_DAYS
    if gap <= WINDOW_DAYS:
        starts += WINDOW_DAYS - gap  # the window that the last day began goes on
        sums[group, _ROLLING_BOTH, starts] += 1
        sums[group, _ROLLING_BOTH, ends] -= 1
        if gap == 1:
            sums[group, _BOTH, day] += 1
    elif gap < 2 * WINDOW_DAYS:
        sums[group, _ROLLING_BOTH, day] += 1
        sums[group, _ROLLING_BOTH, ends + WINDOW_DAYS - gap] -= 1
    sums[group, _ROLLING, starts] += 1
    sums[group, _ROLLING, ends] -= 1
    last_month = -1 if last is None else month_of(last)
    if last_month != month:
        sums[group, _MONTH, month] += 1
        sums[began, _COHORT, month] += 1
        if last_month == month - 1:
            sums[group, _MONTH_BOTH, month] += 1


def _segment(sums: Sums, group: str, old: int, new: int, newest: int, sign: int) -> None:
    """Days `old` became `new`, a superset; bit k is the k-th day before `newest`."""
    added = new ^ old
    # Bits from here on: bit j is day `top` - j. What lies further back than can matter is cut off.
    top = newest + _AHEAD
    kept = (1 << added.bit_length() + _BEHIND) - 1
    old, new, added = (old & kept) << _AHEAD, (new & kept) << _AHEAD, added << _AHEAD
    for day in _days(added, top):
        sums[group, _ACTIVE, day] += sign
    for day in _days((new & new >> 1) ^ (old & old >> 1), top):
        sums[group, _BOTH, day] += sign
    old_window, new_window = _window(old), _window(new)
    if old_window != new_window:
        _edges(sums, (group, _ROLLING), old_window, new_window, top, sign)
        _edges(
            sums,
            (group, _ROLLING_BOTH),
            old_window & old_window >> WINDOW_DAYS,
            new_window & new_window >> WINDOW_DAYS,
            top,
            sign,
        )
    for month in _new_months(old, added, top):
        sums[group, _MONTH, month] += sign
        if new & _month_mask(month - 1, top):
            sums[group, _MONTH_BOTH, month] += sign
        if old & _month_mask(month + 1, top):  # a newly active one after it adds itself
            sums[group, _MONTH_BOTH, month + 1] += sign


def _cohort(sums: Sums, first: int, old: int, new: int, newest: int, sign: int) -> None:
    """Days `old` became `new`, of a customer who was first active on day `first`."""
    group, added = cohort(month_of(first)), new ^ old
    for day in _days(added, newest):
        age = day - first
        if age <= AGE_MAX_DAYS:
            sums[group, _AGE, age] += sign
    for month in _new_months(old << _AHEAD, added << _AHEAD, newest + _AHEAD):
        sums[group, _COHORT, month] += sign


def _last(sums: Sums, first: int, last: int, sign: int) -> None:
    """The age on the last active day."""
    sums[cohort(month_of(first)), _LAST, min(last - first, AGE_MAX_DAYS + 1)] += sign


def _days(bits: int, top: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield top + 1 - lowest.bit_length()
        bits ^= lowest


def _window(days: int) -> int:
    """On which days somebody was active within the 30 days up to it."""
    days |= days >> 1
    days |= days >> 2
    days |= days >> 4
    days |= days >> 8
    return days | days >> WINDOW_DAYS - 16


def _edges(sums: Sums, name: tuple[str, int], old: int, new: int, top: int, sign: int) -> None:
    """Where runs of days begin and end, as differences from one day to the next."""
    old_before, new_before = old >> 1, new >> 1
    old_edges, new_edges = old ^ old_before, new ^ new_before
    rises, old_rises = new & new_edges, old & old_edges
    falls, old_falls = new_before & new_edges, old_before & old_edges
    for day in _days(rises & ~old_rises | old_falls & ~falls, top):
        sums[*name, day] += sign
    for day in _days(old_rises & ~rises | falls & ~old_falls, top):
        sums[*name, day] -= sign
    # a fall that became a rise, or the reverse, is two steps
    for day in _days(rises & old_falls, top):
        sums[*name, day] += sign
    for day in _days(falls & old_rises, top):
        sums[*name, day] -= sign


def _new_months(old: int, added: int, top: int) -> Iterator[int]:
    """Months with an added day that had none before."""
    while added:
        month = month_of(top + 1 - added.bit_length())  # of the earliest
        mask = _month_mask(month, top)
        if not old & mask:
            yield month
        added &= ~mask


def _month_mask(month: int, top: int) -> int:
    """The bits of a month's days; those after `top` have none."""
    start, end = top - first_day(month), top - first_day(month + 1)
    return (1 << start + 1) - (1 << end + 1 if end >= -1 else 1) if start >= 0 else 0
