"""The retention report for people: tables of use, subscriptions, revenue, ages and cohorts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from models.retention.kaplan_meier import SurvivalAge, median_days
from models.retention.rates import ActivityCounts, Revenue
from models.retention.report import RetentionReport, date_of, month_name
from streams.cli.ask import plain

if TYPE_CHECKING:
    from rich.console import Console

DAYS_SHOWN: Final = 3
MONTHS_SHOWN: Final = 6
COHORT_MONTHS: Final = 12
AGES_SHOWN: Final = (0, 1, 3, 7, 14, 30, 60, 90, 180, 365)
SPANS_SHOWN: Final = (7, 30, 60, 90, 180, 365, 730)  # days of survival
UNKNOWN: Final = "(unknown)"


def print_report(page: Console, report: RetentionReport) -> None:
    """Everybody's figures."""
    whole, day = report.whole, report.day
    page.print(f"Retention on {date_of(day)} (UTC); that day, its month and its last 30 days may still be running.")
    _table(page, "\nUse: customers who did something by hand", _USE, _periods(whole.use, day))
    if whole.subscribed:
        rows = _periods(whole.subscriptions, day)
        _table(page, "\nSubscriptions: customers", _CUSTOMERS, rows)
        _table(page, "\nSubscriptions: revenue a month", _REVENUE, rows)
    began = {row.days: row for row in report.ages}
    title = "\nRetention by age: who was active on that day of theirs, and on it or later"
    _table(page, title, _AGES, [(f"day {age}", began[age]) for age in AGES_SHOWN if age in began])
    if whole.survival:
        _print_survival(page, whole.survival)
    if report.too_late:
        page.print(f"\n{report.too_late:,} changes of subscriptions came too late to be counted.")


def print_segments(page: Console, report: RetentionReport, by: str) -> None:
    """A row for each plan or source: the 30 days up to the day."""
    page.print(f"The 30 days up to {date_of(report.day)}, by {by}; {UNKNOWN} is whoever never said.")
    named = [(plain(name) or UNKNOWN, figures) for name, figures in report.by.items()]
    named.append(("all", report.whole))
    _table(page, "\nUse", _USE, [(name, figures.use["rolling"][-1]) for name, figures in named])
    rows = [(name, figures.subscriptions["rolling"][-1]) for name, figures in named if figures.subscribed]
    if rows:
        _table(page, "\nSubscriptions: customers", _CUSTOMERS, rows)
        _table(page, "\nSubscriptions: revenue a month", _REVENUE, rows)


def print_cohorts(page: Console, report: RetentionReport) -> None:
    """Those who began in a month, and the share of them in each month after it."""
    page.print(f"Customers by the month in which they began, on {date_of(report.day)}; the newest is still running.")
    rows = [(month_name(row.month), row.active, row.first_active) for row in report.cohorts if row.first_active]
    _triangle(page, "\nActive in each month, of those first active in a month", rows)
    rows = [(month_name(row.month), row.customers, row.customers[0]) for row in report.cohorts if any(row.customers)]
    if rows:
        _triangle(page, "\nSubscribed at the end of each month, of those at the end of their first month", rows)
        rows = [(month_name(row.month), row.mrr, row.mrr[0]) for row in report.cohorts if any(row.mrr)]
        _triangle(page, "\nTheir revenue a month (minor units), against that of the first", rows)


def survival_at(rows: Sequence[SurvivalAge], days: int) -> SurvivalAge | None:
    """The curve at an age: that of the newest end up to it."""
    return next((row for row in reversed(rows) if row.days <= days), None)


_Column = tuple[str, Callable[[Any], str]]


def _count(name: str) -> Callable[[Any], str]:
    return lambda row: f"{getattr(row, name):,}"


def _money(name: str) -> Callable[[Any], str]:
    return lambda row: f"{getattr(row, name) / 100:,.2f}"


def _share(name: str) -> Callable[[Any], str]:
    return lambda row: _percent(getattr(row, name))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


_USE: Final[tuple[_Column, ...]] = (
    *((name, _count(name)) for name in ("active", "new", "returning", "resurrected", "dormant")),
    ("retention", _share("retention")),
    ("churn", _share("churn")),
)
_CUSTOMERS: Final[tuple[_Column, ...]] = (
    *((name, _count(name)) for name in ("start", "new", "back", "lost")),
    ("voluntary", _count("lost_voluntary")),
    ("involuntary", _count("lost_involuntary")),
    ("unstated", _count("lost_unstated")),
    ("end", _count("end")),
    ("retention", _share("retention")),
    ("churn", _share("churn")),
    ("voluntary", _share("churn_voluntary")),
    ("involuntary", _share("churn_involuntary")),
)
_REVENUE: Final[tuple[_Column, ...]] = (
    *((name.removesuffix("_mrr"), _money(name)) for name in ("start_mrr", "new_mrr", "back_mrr")),
    *((name.removesuffix("_mrr"), _money(name)) for name in ("up", "down", "lost_mrr", "end_mrr")),
    ("MRR churn", _share("mrr_churn")),
    ("gross", _share("gross_retention")),
    ("net", _share("net_retention")),
    ("quick", lambda row: "–" if row.quick_ratio is None else f"{row.quick_ratio:.2f}"),
)
_AGES: Final[tuple[_Column, ...]] = (
    ("began", _count("began")),
    ("on the day", lambda row: _percent(row.on_day / row.began if row.began else None)),
    ("or later", lambda row: _percent(row.on_or_after / row.began if row.began else None)),
)


def _periods(rows: dict[str, list[Any]], day: int) -> list[tuple[str, ActivityCounts | Revenue]]:
    return [
        *((date_of(row.at), row) for row in rows["day"][-DAYS_SHOWN:]),
        (f"30 days to {date_of(day)}", rows["rolling"][-1]),
        *((month_name(row.at), row) for row in rows["month"][-MONTHS_SHOWN:]),
    ]


def _table(page: Console, title: str, columns: Sequence[_Column], rows: Iterable[tuple[str, Any]]) -> None:
    from rich.table import Table

    table = Table("", *(name for name, _ in columns), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in rows:
        table.add_row(name, *(told(row) for _, told in columns))
    page.print(title)
    page.print(table)


def _print_survival(page: Console, rows: Sequence[SurvivalAge]) -> None:
    columns: tuple[_Column, ...] = (
        ("at risk", _count("at_risk")),
        ("last so long", _share("survival")),
        ("95 % from", _share("low")),
        ("to", _share("high")),
        ("lost voluntarily", lambda row: _percent(row.lost[0])),
        ("involuntarily", lambda row: _percent(row.lost[1])),
        ("unstated", lambda row: _percent(row.lost[2])),
    )
    spans = [span for span in SPANS_SHOWN if span <= rows[-1].days]
    found = [(f"{span} days", row) for span in spans if (row := survival_at(rows, span)) is not None]
    if not found:
        found = [(f"{rows[-1].days} days", rows[-1])]
    half = median_days(rows)
    said = "more than half last to the end of what is seen" if half is None else f"half have ended after {half} days"
    _table(page, f"\nHow long subscriptions last (Kaplan-Meier): {said}", columns, found)


def _triangle(page: Console, title: str, rows: Sequence[tuple[str, list[int], int]]) -> None:
    from rich.table import Table

    width = min(max(len(counts) for _, counts, _ in rows), COHORT_MONTHS + 1)
    table = Table("began", "", *(f"+{month}" for month in range(width)), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts, size in rows:
        table.add_row(name, f"{size:,}", *(_percent(count / size if size else None) for count in counts[:width]))
    page.print(title)
    page.print(table)


__all__ = ["print_cohorts", "print_report", "print_segments", "survival_at"]
