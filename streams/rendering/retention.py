"""Print the retention report: tables of activity, subscriptions, revenue, retention by age, survival and cohorts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from models.retention.kaplan_meier import SurvivalAge, median_days
from models.retention.rates import ActivityCounts, Revenue
from models.retention.report import RetentionReport, date_of, month_name
from streams.rendering.formats import MISSING, percent_text
from streams.rendering.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

DAYS_SHOWN: Final = 3
MONTHS_SHOWN: Final = 6
COHORT_MONTHS: Final = 12
AGES_SHOWN: Final = (0, 1, 3, 7, 14, 30, 60, 90, 180, 365)
SPANS_SHOWN: Final = (7, 30, 60, 90, 180, 365, 730)  # days of survival
UNKNOWN: Final = "(unknown)"


def print_retention(page: Console, report: RetentionReport) -> None:
    """Print the figures of all customers."""
    whole, day = report.whole, report.day
    page.print(f"Retention on {date_of(day)} (UTC). This day, its month and its last 30 days may be incomplete.")
    _print_table(page, "\nActivity: customers with at least one manual action", _ACTIVITY, _periods(whole.use, day))
    if whole.subscribed:
        rows = _periods(whole.subscriptions, day)
        _print_table(page, "\nSubscriptions: customers", _CUSTOMERS, rows)
        _print_table(page, "\nSubscriptions: monthly revenue", _REVENUE, rows)
    ages = {row.days: row for row in report.ages}
    title = "\nRetention by age: share of customers active on that day of their life, and on that day or later"
    _print_table(page, title, _AGES, [(f"day {age}", ages[age]) for age in AGES_SHOWN if age in ages])
    if whole.survival:
        _print_survival(page, whole.survival)
    if report.too_late:
        page.print(f"\n{report.too_late:,} subscription changes arrived too late to be counted.")


def print_segments(page: Console, report: RetentionReport, by: str) -> None:
    """Print one row per plan or source, for the 30 days up to the report's day."""
    page.print(f"The 30 days up to {date_of(report.day)}, by {by}. {UNKNOWN}: no {by} was ever sent.")
    named = [(printable(name) or UNKNOWN, figures) for name, figures in report.by.items()]
    named.append(("all", report.whole))
    _print_table(page, "\nActivity", _ACTIVITY, [(name, figures.use["rolling"][-1]) for name, figures in named])
    rows = [(name, figures.subscriptions["rolling"][-1]) for name, figures in named if figures.subscribed]
    if rows:
        _print_table(page, "\nSubscriptions: customers", _CUSTOMERS, rows)
        _print_table(page, "\nSubscriptions: monthly revenue", _REVENUE, rows)


def print_cohorts(page: Console, report: RetentionReport) -> None:
    """Print cohorts by start month, with their shares in each later month."""
    page.print(f"Customers by start month, on {date_of(report.day)}. The newest month may be incomplete.")
    rows = [(month_name(row.month), row.active, row.first_active) for row in report.cohorts if row.first_active]
    _print_triangle(page, "\nActive in each month, as a share of the customers first active in the start month", rows)
    rows = [(month_name(row.month), row.customers, row.customers[0]) for row in report.cohorts if any(row.customers)]
    if rows:
        title = "\nSubscribed at the end of each month, as a share of those at the end of the start month"
        _print_triangle(page, title, rows)
        rows = [(month_name(row.month), row.mrr, row.mrr[0]) for row in report.cohorts if any(row.mrr)]
        title = "\nMonthly revenue (minor units), as a share of that at the end of the start month"
        _print_triangle(page, title, rows)


def survival_at(rows: Sequence[SurvivalAge], days: int) -> SurvivalAge | None:
    """Return the curve's value at an age: the row of the last subscription end up to it."""
    return next((row for row in reversed(rows) if row.days <= days), None)


_Column = tuple[str, Callable[[Any], str]]


def _count(name: str) -> Callable[[Any], str]:
    return lambda row: f"{getattr(row, name):,}"


def _money(name: str) -> Callable[[Any], str]:
    return lambda row: f"{getattr(row, name) / 100:,.2f}"


def _share(name: str) -> Callable[[Any], str]:
    return lambda row: percent_text(getattr(row, name))


_ACTIVITY: Final[tuple[_Column, ...]] = (
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
    ("quick", lambda row: MISSING if row.quick_ratio is None else f"{row.quick_ratio:.2f}"),
)
_AGES: Final[tuple[_Column, ...]] = (
    ("began", _count("began")),
    ("on the day", lambda row: percent_text(row.on_day / row.began if row.began else None)),
    ("or later", lambda row: percent_text(row.on_or_after / row.began if row.began else None)),
)


def _periods(rows: dict[str, list[Any]], day: int) -> list[tuple[str, ActivityCounts | Revenue]]:
    return [
        *((date_of(row.at), row) for row in rows["day"][-DAYS_SHOWN:]),
        (f"30 days to {date_of(day)}", rows["rolling"][-1]),
        *((month_name(row.at), row) for row in rows["month"][-MONTHS_SHOWN:]),
    ]


def _print_table(page: Console, title: str, columns: Sequence[_Column], rows: Iterable[tuple[str, Any]]) -> None:
    from rich.table import Table

    table = Table("", *(name for name, _ in columns), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in rows:
        table.add_row(name, *(text(row) for _, text in columns))
    page.print(title)
    page.print(table)


def _print_survival(page: Console, rows: Sequence[SurvivalAge]) -> None:
    columns: tuple[_Column, ...] = (
        ("at risk", _count("at_risk")),
        ("still active", _share("survival")),
        ("95% from", _share("low")),
        ("to", _share("high")),
        ("voluntary", lambda row: percent_text(row.lost[0])),
        ("involuntary", lambda row: percent_text(row.lost[1])),
        ("unstated", lambda row: percent_text(row.lost[2])),
    )
    spans = [span for span in SPANS_SHOWN if span <= rows[-1].days]
    shown = [(f"{span} days", row) for span in spans if (row := survival_at(rows, span)) is not None]
    if not shown:
        shown = [(f"{rows[-1].days} days", rows[-1])]
    days = median_days(rows)
    median = "more than half are still active at the end" if days is None else f"half end within {days} days"
    _print_table(page, f"\nSubscription survival (Kaplan-Meier): {median}", columns, shown)


def _print_triangle(page: Console, title: str, rows: Sequence[tuple[str, list[int], int]]) -> None:
    from rich.table import Table

    width = min(max(len(counts) for _, counts, _ in rows), COHORT_MONTHS + 1)
    table = Table("start", "", *(f"+{month}" for month in range(width)), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts, size in rows:
        table.add_row(name, f"{size:,}", *(percent_text(count / size if size else None) for count in counts[:width]))
    page.print(title)
    page.print(table)
