"""A customer's contribution to the activity sums: their active days, and their state in each period.

A customer is active on a day (UTC) if they did something by hand. A period is a day, the 30 days up to a day, or a
month. In a period a customer is *new* (active for the first time), *returning* (also active in the period before),
*resurrected* (active earlier, but not in the period before) or *dormant* (active in the period before, but not in this
one). Three sums per period are enough: customers active for the first time, active customers, and customers active in
both this period and the one before.

Active days are the bitmap of a profile: 512 days back from the newest. An event that is up to 450 days late counts as
if it were on time. A customer counts under their latest plan and source. When these change, the customer's days of the
bitmap move to the new segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from models.profile.mergeable import BITMAP_BYTES, BITMAP_DAYS, DAY_MS
from models.profile.schema import NEVER_MS, Profile
from models.profile.subscription import plan_of
from models.retention.aggregates import NUMBER, SegmentRegistry, Sums, cohort, first_day, month_of

WINDOW_DAYS: Final = 30
AGE_MAX_DAYS: Final = 366
"""Last age of the retention by age. All older ages share one entry, which shows only that it was reached."""

_AHEAD: Final = 64  # days after the newest day that its window and its next month can reach
_BEHIND: Final = 64  # days before a new day that can affect it: two windows, or a month and the one before
_FAR: Final = 1 << 20  # a gap in days that is longer than any window
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
    """The fields of a profile that contribute to the sums."""

    days: bytes
    newest_ms: int
    first_ms: int
    last_ms: int
    plan: str
    source: str

    @classmethod
    def of(cls, profile: Profile) -> ActivityView:
        """Copy the fields of a profile; later changes of the profile have no effect."""
        identity, subscription = profile.identity, profile.subscription
        plan = source = ""
        if identity is not None:
            if identity.plan is not None:
                plan = identity.plan[2]
            if identity.source is not None:
                source = identity.source[2]
        if subscription is not None and subscription.objects:
            plan = plan_of(identity, subscription)
        now = profile.days, profile.newest_ms, profile.first_engaged_ms, profile.engaged_ms, plan, source
        return _new(cls, now)  # called twice per customer and batch: skips the constructor's argument handling


NO_ACTIVITY: Final = ActivityView(bytes(BITMAP_BYTES), 0, NEVER_MS, 0, "", "")


def move(sums: Sums, groups: SegmentRegistry, before: ActivityView, after: ActivityView) -> None:
    """Move a customer's contributions from `before` to `after`, whose active days are a superset."""
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
    """Add one day after the last active one: the fast path of `_segment` and `_cohort`, and nearly always used."""
    group_of_cohort, month = cohort(month_of(first)), month_of(day)
    sums[group, _ACTIVE, day] += 1
    if day - first <= AGE_MAX_DAYS:
        sums[group_of_cohort, _AGE, day - first] += 1
    gap = _FAR if last is None else day - last
    starts, ends = day, day + WINDOW_DAYS
    if gap <= WINDOW_DAYS:
        starts += WINDOW_DAYS - gap  # the window of the last day continues
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
        sums[group_of_cohort, _COHORT, month] += 1
        if last_month == month - 1:
            sums[group, _MONTH_BOTH, month] += 1


def _segment(sums: Sums, group: str, old: int, new: int, newest: int, sign: int) -> None:
    """Update a segment when the days `old` become `new`, a superset. Bit k is the k-th day before `newest`."""
    added = new ^ old
    # From here on, bit j is day `top` - j. Days too far back to have an effect are cut off.
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
        if old & _month_mask(month + 1, top):  # a newly active month after it adds itself
            sums[group, _MONTH_BOTH, month + 1] += sign


def _cohort(sums: Sums, first: int, old: int, new: int, newest: int, sign: int) -> None:
    """Update a cohort when the days `old` become `new`, for a customer first active on day `first`."""
    group, added = cohort(month_of(first)), new ^ old
    for day in _days(added, newest):
        age = day - first
        if age <= AGE_MAX_DAYS:
            sums[group, _AGE, age] += sign
    for month in _new_months(old << _AHEAD, added << _AHEAD, newest + _AHEAD):
        sums[group, _COHORT, month] += sign


def _last(sums: Sums, first: int, last: int, sign: int) -> None:
    """Count the age on the last active day."""
    sums[cohort(month_of(first)), _LAST, min(last - first, AGE_MAX_DAYS + 1)] += sign


def _days(bits: int, top: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield top + 1 - lowest.bit_length()
        bits ^= lowest


def _window(days: int) -> int:
    """Return the days with an active day in the 30 days up to them."""
    days |= days >> 1
    days |= days >> 2
    days |= days >> 4
    days |= days >> 8
    return days | days >> WINDOW_DAYS - 16


def _edges(sums: Sums, name: tuple[str, int], old: int, new: int, top: int, sign: int) -> None:
    """Add the starts and ends of runs of days, as differences between consecutive days."""
    old_before, new_before = old >> 1, new >> 1
    old_edges, new_edges = old ^ old_before, new ^ new_before
    rises, old_rises = new & new_edges, old & old_edges
    falls, old_falls = new_before & new_edges, old_before & old_edges
    for day in _days(rises & ~old_rises | old_falls & ~falls, top):
        sums[*name, day] += sign
    for day in _days(old_rises & ~rises | falls & ~old_falls, top):
        sums[*name, day] -= sign
    # A fall that became a rise, or the reverse, is two steps.
    for day in _days(rises & old_falls, top):
        sums[*name, day] += sign
    for day in _days(falls & old_rises, top):
        sums[*name, day] -= sign


def _new_months(old: int, added: int, top: int) -> Iterator[int]:
    """Yield months with an added day that had no day before."""
    while added:
        month = month_of(top + 1 - added.bit_length())  # of the earliest
        mask = _month_mask(month, top)
        if not old & mask:
            yield month
        added &= ~mask


def _month_mask(month: int, top: int) -> int:
    """Return the bits of a month's days; days after `top` have no bit."""
    start, end = top - first_day(month), top - first_day(month + 1)
    return (1 << start + 1) - (1 << end + 1 if end >= -1 else 1) if start >= 0 else 0
