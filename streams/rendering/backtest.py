"""The tables of a report: built once, shown on a terminal by `print_backtest` and on a page by `streams.rendering.backtest_plot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.backtesting.alert_quality import AlertQuality
from models.backtesting.report import BacktestReport, FeatureWeight, InputCounts, PredictionQuality
from models.duration import DAY_MS, rfc3339

if TYPE_CHECKING:
    from rich.console import Console

MOST_TELLING = 12  # features shown; the others are in the JSON
NOTHING = "–"  # an undefined figure


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers are set right."""

    title: str
    number: bool = True


@dataclass(frozen=True, slots=True)
class TableText:
    """A table as text: what it shows, its columns and rows, and what to know when reading it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(report: BacktestReport) -> tuple[TableText, ...]:
    """Quality (by cause too), reliability, course over time, telling features; those without rows are left out."""
    found = (_quality(report), _causes(report), _reliability(report), _periods(report), _features(report.features))
    return tuple(table for table in found if table.rows)


def headline(report: BacktestReport) -> str:
    """One sentence: how many probabilities, of when, and how many customers really left."""
    first, last = _day(report.start_ms), _day(report.to_ms - 1)
    if not report.model.n:
        return f"No matured example has its snapshot between {first} and {last}."
    share = _percent(report.model.positives / report.model.n)
    return (
        f"{report.model.n:,} probabilities frozen from {first} to {last}, judged by what came: "
        f"{report.model.positives:,} churned ({share})."
    )


def footnotes(report: BacktestReport) -> tuple[str, ...]:
    """Sentences below the tables: the warnings' lead, and what went in."""
    notes = []
    warning, top = report.early_warning, report.top
    if top is not None and top.precision is not None and top.recall is not None:
        notes.append(
            f"Flagging the tenth with the highest probabilities (from {_percent(top.threshold)}) finds "
            f"{_percent(top.recall)} of the churn; {_percent(top.precision)} of those flagged do churn."
        )
    if warning is not None and warning.churned:
        notes.append(_lead(report))
    if report.alerts is not None and report.alerts.told:
        notes.append(_alerts(report.alerts))
    notes.append(_went_in(report.counts))
    identity = [("model", report.model_version), ("churn definition", report.definition)]
    notes += [f"{name.capitalize()} {value}." for name, value in identity if value]
    return tuple(notes)


def print_backtest(report: BacktestReport, console: Console) -> None:
    """Print the report for a person."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console.print(Text(headline(report), style="bold"))
    for text in tables(report):
        table = Table(title=text.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in text.columns:
            table.add_column(column.title, justify="right" if column.number else "left", no_wrap=column.number)
        for row in text.rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        console.print(table)
        if text.note:
            console.print(Padding(Text(text.note, style="dim"), (0, 0, 1, 0)))
    for note in footnotes(report):
        console.print(Text(note))


# --- the single tables -------------------------------------------------------------------------------------------

_MEASURES: tuple[tuple[str, str, str, int], ...] = (
    ("ROC AUC", "auc", "higher", 3),
    ("ROC AUC within a week", "auc_within_week", "higher", 3),
    ("log loss", "log_loss", "lower", 4),
    ("Brier score", "brier", "lower", 4),
    ("average precision", "average_precision", "higher", 3),
    ("calibration error (ECE)", "ece", "lower", 4),
    ("lift of the top tenth", "lift", "higher", 2),
    ("mean probability", "mean_probability", "as the churn rate", 4),
)
_CAUSES = {"voluntary": "by what they do", "involuntary": "by a payment that fails", "together": "by either"}
_STYLES = {"too high": "yellow", "too low": "yellow", "raises": "red", "lowers": "green"}


def _quality(report: BacktestReport) -> TableText:
    answerers: list[PredictionQuality | None] = [report.model, report.prior, report.constant]

    def figure(answerer: PredictionQuality | None, name: str, digits: int) -> str:
        return _number(getattr(answerer, name) if answerer is not None else None, digits)

    rows = tuple(
        (title, *(figure(answerer, name, digits) for answerer in answerers), better)
        for title, name, better, digits in _MEASURES
    )
    columns = (Column("", False), Column("model"), Column("prior"), Column("constant"), Column("better is", False))
    if report.released_before_rate is None:
        note = "No label had been released when the window began, so there is no constant to compare with."
    else:
        note = (
            f"The constant answers {_percent(report.released_before_rate)} for everybody: the churn rate of the "
            f"{report.released_before:,} labels released by {_day(report.start_ms)}."
        )
    return TableText("Quality", columns, rows if report.model.n else (), note)


def _causes(report: BacktestReport) -> TableText:
    rows = tuple(
        (
            _CAUSES[one.cause] + ("" if one.horizon_days is None else f", {one.horizon_days:g} d"),
            f"{one.quality.n:,}",
            f"{one.quality.positives:,}",
            _percent(one.quality.mean_probability or 0.0),
            _percent(one.quality.positives / one.quality.n),
            _number(one.quality.auc, 3),
            _number(one.quality.log_loss, 4),
            _number(one.quality.ece, 4),
            _number(one.quality.lift, 2),
        )
        for one in report.causes
        if one.quality.n
    )
    columns = (
        Column("lost, within", False),
        *map(Column, ("examples", "lost so", "said", "came", "AUC", "log loss", "ECE", "lift")),
    )
    note = (
        "Causes exclude each other, so their probabilities add up; who was lost by the other cause counts as not lost."
    )
    return TableText("By cause", columns, rows, note)


def _reliability(report: BacktestReport) -> TableText:
    def verdict(low: float, said: float, high: float) -> str:
        return "too low" if said < low else "too high" if said > high else "fits"

    rows = tuple(
        (
            f"{_percent(b.lowest)} to {_percent(b.highest)}",
            _percent(b.mean_probability),
            _percent(b.rate),
            f"{_percent(b.rate_low)} to {_percent(b.rate_high)}",
            f"{b.n:,}",
            f"{b.positives:,}",
            verdict(b.rate_low, b.mean_probability, b.rate_high),
        )
        for b in report.reliability
    )
    columns = (
        *map(Column, ("probability", "said", "came", "95 % interval", "examples", "churned")),
        Column("said was", False),
    )
    note = "Bins of equal mass. A customer counts once for each snapshot, so the intervals are a little too narrow."
    return TableText("Reliability: what was said, and what came", columns, rows, note)


def _periods(report: BacktestReport) -> TableText:
    rows = tuple(
        (
            _day(p.start_ms),
            f"{p.n:,}",
            f"{p.positives:,}",
            _percent(p.mean_probability),
            _percent(p.rate),
            _number(p.auc, 3),
            _number(p.prior_auc, 3),
            _number(p.log_loss, 4),
            _number(p.prior_log_loss, 4),
            _number(p.constant_log_loss, 4),
        )
        for p in report.periods
    )
    columns = map(
        Column, ("customers", "churned", "said", "came", "AUC", "prior's", "log loss", "prior's", "constant's")
    )
    days = report.period_ms // DAY_MS
    return TableText(f"Quality over time, per {days} days of snapshots", (Column("from", False), *columns), rows)


def _features(features: tuple[FeatureWeight, ...]) -> TableText:
    rows = tuple(
        (f.name, f"{f.weight:+.3f}", "raises" if f.weight > 0 else "lowers", f.sentence)
        for f in features[:MOST_TELLING]
        if f.weight
    )
    columns = (Column("feature", False), Column("weight"), Column("danger", False), Column("what it is", False))
    note = "Weight: change of the log-odds of churn for one standard deviation more of the feature, others unchanged."
    return TableText("Most telling features", columns, rows, note)


def _lead(report: BacktestReport) -> str:
    warning = report.early_warning
    assert warning is not None
    found = f"Of {warning.churned:,} churns of scored customers, {warning.warned:,} came after such a flag"
    if warning.lead_days_median is None:
        return f"{found}."
    return (
        f"{found}, the first one {warning.lead_days_median:.0f} days before (median; half of them "
        f"{warning.lead_days_lower_quartile:.0f} to {warning.lead_days_upper_quartile:.0f})."
    )


def _alerts(alerts: AlertQuality) -> str:
    found = f"{alerts.told.get('opened', 0):,} alerts opened for {alerts.customers:,} customers"
    if alerts.precision is not None:
        rate = "" if alerts.churn_rate is None else f" (at random: {_percent(alerts.churn_rate)})"
        found += f"; of {alerts.judged:,} whose outcome is known {_percent(alerts.precision)} were right{rate}"
    if alerts.lead_days_median is not None:
        found += (
            f", {alerts.lead_days_median:.0f} days before the churn (median; half of them "
            f"{alerts.lead_days_lower_quartile:.0f} to {alerts.lead_days_upper_quartile:.0f})"
        )
    if alerts.recall is not None:
        found += f". They told of {_percent(alerts.recall)} of the {alerts.churned:,} customers who churned"
    for route, one in alerts.routes.items():
        found += (
            f". For {route}: {one.opened:,} opened, of {one.judged:,} whose outcome is known {one.lost:,} were lost,"
            f" {one.lost_by_payment:,} of them by a payment"
        )
    return f"{found}."


def _went_in(counts: InputCounts) -> str:
    rejected = sum(counts.rejected.values())
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.rejected.items()) if n)
    parts: list[tuple[int, Callable[[int], str]]] = [
        (counts.events, lambda n: f"{n:,} events"),
        (counts.customers, lambda n: f"{n:,} customers"),
        (counts.duplicates, lambda n: f"{n:,} duplicates ignored"),
        (rejected, lambda n: f"{n:,} rejected ({reasons})"),
        (counts.censored, lambda n: f"{n:,} labels hidden by a gap in the feed"),
        (counts.pending, lambda n: f"{n:,} snapshots still without a label, their horizon reaches past the end"),
    ]
    return "; ".join([f"{counts.examples:,} matured examples", *(say(n) for n, say in parts if n)]) + "."


def _number(value: Any, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _percent(share: float) -> str:
    """Three significant digits at most, and never a 0 or 100 % that is not."""
    percent = 100 * share
    digits = 0 if percent == 0 or percent == 100 else 1 if 10 <= percent <= 99.9 else 2
    return f"{percent:.{digits}f} %"


def _day(time_ms: int) -> str:
    return rfc3339(time_ms)[:10]
