"""The retention report: figures of all customers, of each plan or source, and of cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from models.duration import rfc3339
from models.profile.mergeable import DAY_MS
from models.profile.subscription_change import CAUSES
from models.retention.aggregates import first_day, month_of
from models.retention.kaplan_meier import SurvivalAge, median_days
from models.retention.rates import (
    WINDOWS,
    ActivityCounts,
    AgeShare,
    CohortRow,
    Revenue,
    SumSeries,
    ages,
    cohorts,
    of_segment,
    segments,
)

DAYS_SHOWN: Final = 90  # newest days, and 30-day windows that end on them
_SHARES: Final = {
    ActivityCounts: ("retention", "churn"),
    Revenue: (
        "lost", "lost_mrr", "end", "end_mrr", "churn", "retention", "churn_voluntary", "churn_involuntary",
        "mrr_churn", "gross_retention", "net_retention", "quick_ratio",
    ),
}  # fmt: skip


class RetentionFigures(msgspec.Struct, frozen=True):
    """Figures of a group of customers, oldest period first; a list for each of `WINDOWS`."""

    use: dict[str, list[ActivityCounts]]
    subscriptions: dict[str, list[Revenue]]
    survival: list[SurvivalAge]

    @property
    def subscribed(self) -> bool:
        """Whether any customer ever had a subscription."""
        return any(row.start or row.end or row.lost for rows in self.subscriptions.values() for row in rows)


class RetentionReport(msgspec.Struct, frozen=True):
    """All figures as of a day (since 1970), which may be incomplete."""

    day: int
    whole: RetentionFigures
    ages: list[AgeShare]
    cohorts: list[CohortRow]
    by: dict[str, RetentionFigures]
    too_late: int
    """Subscription changes that arrived too late to be counted: older than the newest settled change."""


def build(sums: Mapping[tuple[str, int, int], int], by: str | None = None) -> RetentionReport | None:
    """Build the report from the sums of all partitions; None without any count. `by` is "plan", "source" or None."""
    series = SumSeries(sums, lambda group: group[0] == "s")
    day = series.newest_day
    if day is None:
        return None
    first = min(index for name in ("active", "changes") for index, n in series.counts(name).items() if n)
    names = segments(sums, by) if by else []
    return RetentionReport(
        day=day,
        whole=_figures(series, first, day),
        ages=ages(sums, day),
        cohorts=cohorts(sums, day),
        by={name: _figures(SumSeries(sums, of_segment(by or "", name)), first, day) for name in names},
        too_late=sum(series.counts("too_late").values()),
    )


def _figures(series: SumSeries, first: int, day: int) -> RetentionFigures:
    days = range(max(first, day - DAYS_SHOWN + 1), day + 1)
    spans = {"day": days, "rolling": days, "month": range(month_of(first), month_of(day) + 1)}
    return RetentionFigures(
        {window: [series.use(window, at) for at in spans[window]] for window in WINDOWS},
        {window: [series.revenue(window, at) for at in spans[window]] for window in WINDOWS},
        series.survival(day),
    )


def date_of(day: int) -> str:
    """Format a day since 1970 as a date."""
    return rfc3339(day * DAY_MS)[:10]


def month_name(month: int) -> str:
    """Format a month since 1970.

    >>> month_name(648), date_of(19723)
    ('2024-01', '2024-01-01')
    """
    return date_of(first_day(month))[:7]


def as_data(report: RetentionReport) -> dict[str, Any]:
    """Convert the report to JSON values: all counts and the shares derived from them; money in minor units."""
    return {
        "day": date_of(report.day),
        "too_late": report.too_late,
        **_data(report.whole),
        "ages": msgspec.to_builtins(report.ages),
        "cohorts": [
            {**msgspec.to_builtins(row), "month": month_name(row.month)} for row in report.cohorts
        ],
        "by": {name: _data(figures) for name, figures in report.by.items()},
    }  # fmt: skip


def _data(figures: RetentionFigures) -> dict[str, Any]:
    return {
        "use": {window: [_row(row, window) for row in rows] for window, rows in figures.use.items()},
        "subscriptions": {
            window: [_row(row, window) for row in rows] for window, rows in figures.subscriptions.items()
        },
        "median_days": median_days(figures.survival),
        "survival": [
            {**msgspec.to_builtins(row), "ended": _causes(row.ended), "lost": _causes(row.lost)}
            for row in figures.survival
        ],
    }  # fmt: skip


def _causes(numbers: list[Any]) -> dict[str, Any]:
    return dict(zip(CAUSES, numbers, strict=True))


def _row(row: ActivityCounts | Revenue, window: str) -> dict[str, Any]:
    at = month_name(row.at) if window == "month" else date_of(row.at)
    return {**msgspec.to_builtins(row), **{name: getattr(row, name) for name in _SHARES[type(row)]}, "at": at}
