"""What the sums say: churn, retention and growth of customers and of revenue, per day, over 30 days and per month."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final

import msgspec

from models.retention.activity_flows import AGE_MAX_DAYS, WINDOW_DAYS
from models.retention.aggregates import FLOWS, NUMBER, first_day, month_of, segment_of
from models.retention.kaplan_meier import SurvivalAge, kaplan_meier
from models.retention.subscription_flows import CAUSES

WINDOWS: Final = ("day", "rolling", "month")


class ActivityCounts(msgspec.Struct, frozen=True):
    """Customers by what they did in a period and before it."""

    at: int
    """The day, the last day of 30, or the month (since 1970)."""
    active: int
    new: int
    returning: int
    resurrected: int
    dormant: int
    before: int
    """Active in the period before."""

    @property
    def retention(self) -> float | None:
        """Of those active in the period before, the share that is in this one."""
        return self.returning / self.before if self.before else None

    @property
    def churn(self) -> float | None:
        """Of those active in the period before, the share that is not."""
        return self.dormant / self.before if self.before else None


class Revenue(msgspec.Struct, frozen=True):
    """Subscriptions between two moments: how many, and what they bring in a month (minor units)."""

    at: int
    start: int
    start_mrr: int
    new: int
    new_mrr: int
    back: int
    back_mrr: int
    lost_voluntary: int
    lost_voluntary_mrr: int
    lost_involuntary: int
    lost_involuntary_mrr: int
    lost_unstated: int
    lost_unstated_mrr: int
    up: int
    down: int

    @property
    def lost(self) -> int:
        """Customers lost, whatever the cause."""
        return self.lost_voluntary + self.lost_involuntary + self.lost_unstated

    @property
    def lost_mrr(self) -> int:
        """What those who are lost had brought."""
        return self.lost_voluntary_mrr + self.lost_involuntary_mrr + self.lost_unstated_mrr

    @property
    def end(self) -> int:
        """Customers at the end."""
        return self.start + self.new + self.back - self.lost

    @property
    def end_mrr(self) -> int:
        """Monthly recurring revenue at the end."""
        return self.start_mrr + self.new_mrr + self.back_mrr + self.up - self.down - self.lost_mrr

    @property
    def churn(self) -> float | None:
        """Customers lost / customers at the start."""
        return self.lost / self.start if self.start else None

    @property
    def retention(self) -> float | None:
        """Customers of the start who are still there / customers at the start."""
        return (self.start - self.lost) / self.start if self.start else None

    @property
    def churn_voluntary(self) -> float | None:
        """Customers lost by their own wish / customers at the start."""
        return self.lost_voluntary / self.start if self.start else None

    @property
    def churn_involuntary(self) -> float | None:
        """Customers lost by a payment that failed or was disputed / customers at the start."""
        return self.lost_involuntary / self.start if self.start else None

    @property
    def mrr_churn(self) -> float | None:
        """MRR lost by ends and lower prices / MRR at the start."""
        return (self.lost_mrr + self.down) / self.start_mrr if self.start_mrr else None

    @property
    def gross_retention(self) -> float | None:
        """GRR: MRR of the start that is still there, higher prices left out / MRR at the start."""
        return (self.start_mrr - self.lost_mrr - self.down) / self.start_mrr if self.start_mrr else None

    @property
    def net_retention(self) -> float | None:
        """NRR: MRR at the end of those who were there at the start / MRR at the start."""
        return (self.start_mrr - self.lost_mrr - self.down + self.up) / self.start_mrr if self.start_mrr else None

    @property
    def quick_ratio(self) -> float | None:
        """MRR that came (new, back, up) / MRR that went (lost, down)."""
        went = self.lost_mrr + self.down
        return (self.new_mrr + self.back_mrr + self.up) / went if went else None


class AgeShare(msgspec.Struct, frozen=True):
    """Customers who began at least so many days ago: how many were active on just that day of theirs, or on it or
    later."""

    days: int
    began: int
    on_day: int
    on_or_after: int


class CohortRow(msgspec.Struct, frozen=True):
    """Those who began in a month, in that month and each one after it."""

    month: int
    first_active: int
    active: list[int]
    customers: list[int]
    """Subscriptions that run at the end of each month, of those that first began in `month`."""
    mrr: list[int]


class SumSeries:
    """The sums of some groups, by name and index.

    Args:
        sums: (group, series, index) -> sum, of all partitions.
        wanted: Which groups.
    """

    def __init__(self, sums: Mapping[tuple[str, int, int], int], wanted: Callable[[str], bool] = bool) -> None:
        self._of: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for (group, series, index), amount in sums.items():
            if wanted(group):
                self._of[series][index] += amount
        self._stairs: dict[int, tuple[list[int], list[int]]] = {}

    def counts(self, name: str) -> dict[int, int]:
        """A series of counts, by index."""
        return self._of.get(NUMBER[name], {})

    def at(self, name: str, index: int) -> int:
        """One count."""
        return self.counts(name).get(index, 0)

    def level(self, name: str, index: int) -> int:
        """A series of differences, added up to an index."""
        number = NUMBER[name]
        if number not in self._stairs:
            ordered = sorted(self._of.get(number, {}).items())
            self._stairs[number] = [i for i, _ in ordered], [0, *accumulate(step for _, step in ordered)]
        at, levels = self._stairs[number]
        return levels[bisect_right(at, index)]

    @property
    def newest_day(self) -> int | None:
        """The newest day on which anything was counted."""
        days = [day for name in ("active", "changes") for day, count in self.counts(name).items() if count]
        return max(days, default=None)

    def use(self, window: str, at: int) -> ActivityCounts:
        """Of a day, the 30 days up to one, or a month."""
        if window == "month":
            active, before, both = (
                self.at("active_month", at),
                self.at("active_month", at - 1),
                self.at("active_month_both", at),
            )
            days = range(first_day(at), first_day(at + 1))
        elif window == "rolling":
            active, before = self.level("active_30+", at), self.level("active_30+", at - WINDOW_DAYS)
            both, days = self.level("active_30_both+", at), range(at - WINDOW_DAYS + 1, at + 1)
        else:
            active, before, both = self.at("active", at), self.at("active", at - 1), self.at("active_both", at)
            days = range(at, at + 1)
        new = sum(self.at("first", day) for day in days)
        return ActivityCounts(at, active, new, both, active - new - both, before - both, before)

    def revenue(self, window: str, at: int) -> Revenue:
        """Since the day before, since 30 days before, or since the end of the month before."""
        return Revenue(at, *(self.level(f"{window}_{name}+", at) for name in FLOWS))

    def survival(self, day: int) -> list[SurvivalAge]:
        """How long subscriptions last, seen on a day."""
        ended = [self.counts(f"ended_{cause}") for cause in CAUSES]
        running = {max(day - began, 0): count for began, count in self.counts("running_since").items()}
        return kaplan_meier(ended, running)


def segments(sums: Iterable[tuple[str, int, int]], by: str) -> list[str]:
    """The plans or sources that anything was counted for, in order."""
    found = {segment_of(group) for group, series, _ in sums if series not in (NUMBER["changes"], NUMBER["too_late"])}
    return sorted({getattr(segment, by) for segment in found if segment is not None})


def of_segment(by: str, name: str) -> Callable[[str], bool]:
    """Whether a group is of this plan, or of this source."""

    def wanted(group: str) -> bool:
        segment = segment_of(group)
        return segment is not None and getattr(segment, by) == name

    return wanted


def ages(sums: Mapping[tuple[str, int, int], int], day: int, month: int | None = None) -> list[AgeShare]:
    """Retention by age, of all customers or of those who began in a month, seen on a day."""
    everybody = SumSeries(sums, lambda group: group[0] == "s")
    cohorts = SumSeries(sums, lambda group: group[0] == "c" and (month is None or group[1:] == str(month)))
    first = {on: n for on, n in everybody.counts("first").items() if n and month in (None, month_of(on))}
    if not first:
        return []
    oldest = min(day - min(first), AGE_MAX_DAYS)
    began = sum(first.values())
    later = sum(cohorts.counts("last_age").values())
    rows = []
    for age in range(oldest + 1):
        if age:
            began -= first.get(day - age + 1, 0)
            later -= cohorts.at("last_age", age - 1)
        rows.append(AgeShare(age, began, cohorts.at("active_age", age), later))
    return rows


def cohorts(sums: Mapping[tuple[str, int, int], int], day: int) -> list[CohortRow]:
    """A row for each month in which anybody was first active, or first subscribed."""
    everybody = SumSeries(sums, lambda group: group[0] == "s")
    first: dict[int, int] = defaultdict(int)
    for on, count in everybody.counts("first").items():
        first[month_of(on)] += count
    now, rows = month_of(day), []
    for month in sorted({int(group[1:]) for group, _, _ in sums if group[0] == "c"}):
        own = SumSeries(sums, f"c{month}".__eq__)
        span = range(month, now + 1)
        row = CohortRow(
            month,
            first.get(month, 0),
            [own.at("cohort_active", at) for at in span],
            [own.level("cohort_customers+", at) for at in span],
            [own.level("cohort_mrr+", at) for at in span],
        )
        if row.first_active or any(row.customers):
            rows.append(row)
    return rows
