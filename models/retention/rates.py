"""Churn, retention and growth of customers and revenue from the sums, per day, per 30 days and per month."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final

import msgspec

from models.profile.subscription_change import CAUSES
from models.retention.activity_flows import AGE_MAX_DAYS, WINDOW_DAYS
from models.retention.aggregates import FLOWS, NUMBER, first_day, month_of, segment_of
from models.retention.kaplan_meier import SurvivalAge, kaplan_meier

WINDOWS: Final = ("day", "rolling", "month")


class ActivityCounts(msgspec.Struct, frozen=True):
    """Customers by activity in a period and in the period before."""

    at: int
    """The day, the last of the 30 days, or the month (since 1970)."""
    active: int
    new: int
    returning: int
    resurrected: int
    dormant: int
    before: int
    """Customers active in the period before."""

    @property
    def retention(self) -> float | None:
        """Share of the customers active in the period before who are active in this one."""
        return self.returning / self.before if self.before else None

    @property
    def churn(self) -> float | None:
        """Share of the customers active in the period before who are not active in this one."""
        return self.dormant / self.before if self.before else None


class Revenue(msgspec.Struct, frozen=True):
    """Flows of subscribers and of MRR (hundredths of a unit of the currency) between two times."""

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
        """Customers lost, by any cause."""
        return self.lost_voluntary + self.lost_involuntary + self.lost_unstated

    @property
    def lost_mrr(self) -> int:
        """MRR of the lost customers."""
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
        """Logo churn: customers lost / customers at the start."""
        return self.lost / self.start if self.start else None

    @property
    def retention(self) -> float | None:
        """Logo retention: customers of the start who remain / customers at the start."""
        return (self.start - self.lost) / self.start if self.start else None

    @property
    def churn_voluntary(self) -> float | None:
        """Voluntary churn: customers who cancelled / customers at the start."""
        return self.lost_voluntary / self.start if self.start else None

    @property
    def churn_involuntary(self) -> float | None:
        """Involuntary churn: customers lost by a failed or disputed payment / customers at the start."""
        return self.lost_involuntary / self.start if self.start else None

    @property
    def mrr_churn(self) -> float | None:
        """MRR churn: MRR lost by ends and contraction / MRR at the start."""
        return (self.lost_mrr + self.down) / self.start_mrr if self.start_mrr else None

    @property
    def gross_retention(self) -> float | None:
        """GRR: MRR of the start that remains, without expansion / MRR at the start."""
        return (self.start_mrr - self.lost_mrr - self.down) / self.start_mrr if self.start_mrr else None

    @property
    def net_retention(self) -> float | None:
        """NRR: MRR at the end of the customers of the start / MRR at the start."""
        return (self.start_mrr - self.lost_mrr - self.down + self.up) / self.start_mrr if self.start_mrr else None

    @property
    def quick_ratio(self) -> float | None:
        """Quick ratio: MRR gained (new, back, up) / MRR lost (lost, down)."""
        lost = self.lost_mrr + self.down
        return (self.new_mrr + self.back_mrr + self.up) / lost if lost else None


class AgeShare(msgspec.Struct, frozen=True):
    """Retention at an age: customers who started at least `days` ago, and how many were active at that age.

    `on_day` counts customers active exactly on that day of theirs, `on_or_after` those active on that day or later.
    """

    days: int
    began: int
    on_day: int
    on_or_after: int


class CohortRow(msgspec.Struct, frozen=True):
    """The cohort of customers who started in a month, in that month and each later one."""

    month: int
    first_active: int
    active: list[int]
    customers: list[int]
    """Subscriptions running at the end of each month, of customers who first subscribed in `month`."""
    mrr: list[int]


class SumSeries:
    """The sums of a selection of groups, by series name and index.

    Args:
        sums: (group, series, index) -> sum, of all partitions.
        wanted: Selects the groups.
    """

    def __init__(self, sums: Mapping[tuple[str, int, int], int], wanted: Callable[[str], bool] = bool) -> None:
        self._by_series: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for (group, series, index), amount in sums.items():
            if wanted(group):
                self._by_series[series][index] += amount
        self._levels: dict[int, tuple[list[int], list[int]]] = {}

    def counts(self, name: str) -> dict[int, int]:
        """Return a series of counts, by index."""
        return self._by_series.get(NUMBER[name], {})

    def at(self, name: str, index: int) -> int:
        """Return one count."""
        return self.counts(name).get(index, 0)

    def level(self, name: str, index: int) -> int:
        """Add up a series of differences to an index."""
        number = NUMBER[name]
        if number not in self._levels:
            ordered = sorted(self._by_series.get(number, {}).items())
            self._levels[number] = [i for i, _ in ordered], [0, *accumulate(step for _, step in ordered)]
        at, levels = self._levels[number]
        return levels[bisect_right(at, index)]

    @property
    def newest_day(self) -> int | None:
        """The newest day with a count; None without any."""
        days = [day for name in ("active", "changes") for day, count in self.counts(name).items() if count]
        return max(days, default=None)

    def use(self, window: str, at: int) -> ActivityCounts:
        """Return the activity of a day, of the 30 days up to a day, or of a month."""
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
        """Return the flows since the day before, since 30 days before, or since the end of the month before."""
        return Revenue(at, *(self.level(f"{window}_{name}+", at) for name in FLOWS))

    def survival(self, day: int) -> list[SurvivalAge]:
        """Estimate the survival of subscriptions as of a day."""
        ended = [self.counts(f"ended_{cause}") for cause in CAUSES]
        running = {max(day - start, 0): count for start, count in self.counts("running_since").items()}
        return kaplan_meier(ended, running)


def segments(sums: Iterable[tuple[str, int, int]], by: str) -> list[str]:
    """Return the plans or sources with counts, sorted."""
    segments = {segment_of(group) for group, series, _ in sums if series not in (NUMBER["changes"], NUMBER["too_late"])}
    return sorted({getattr(segment, by) for segment in segments if segment is not None})


def of_segment(by: str, name: str) -> Callable[[str], bool]:
    """Return a selector of the groups of a plan, or of a source."""

    def wanted(group: str) -> bool:
        segment = segment_of(group)
        return segment is not None and getattr(segment, by) == name

    return wanted


def ages(sums: Mapping[tuple[str, int, int], int], day: int, month: int | None = None) -> list[AgeShare]:
    """Compute retention by age as of a day, of all customers or of those who started in a month."""
    segments = SumSeries(sums, lambda group: group[0] == "s")
    cohorts = SumSeries(sums, lambda group: group[0] == "c" and (month is None or group[1:] == str(month)))
    first = {on: n for on, n in segments.counts("first").items() if n and month in (None, month_of(on))}
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
    """Return a row for each month in which customers were first active or first subscribed."""
    segments = SumSeries(sums, lambda group: group[0] == "s")
    first: dict[int, int] = defaultdict(int)
    for on, count in segments.counts("first").items():
        first[month_of(on)] += count
    newest, rows = month_of(day), []
    for month in sorted({int(group[1:]) for group, _, _ in sums if group[0] == "c"}):
        series = SumSeries(sums, f"c{month}".__eq__)
        span = range(month, newest + 1)
        row = CohortRow(
            month,
            first.get(month, 0),
            [series.at("cohort_active", at) for at in span],
            [series.level("cohort_customers+", at) for at in span],
            [series.level("cohort_mrr+", at) for at in span],
        )
        if row.first_active or any(row.customers):
            rows.append(row)
    return rows
