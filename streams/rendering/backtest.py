"""Tables and sentences of a backtest report, for the terminal (`print_backtest`) and the page of `backtest_plot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.backtesting.alert_quality import AlertQuality
from models.backtesting.report import BacktestReport, FeatureWeight, InputCounts, PredictionQuality
from models.duration import DAY_MS, rfc3339
from streams.rendering.formats import MISSING
from streams.rendering.unreadable_properties import unreadable_sentences

if TYPE_CHECKING:
    from rich.console import Console

FEATURES_SHOWN = 12  # the JSON report lists all


@dataclass(frozen=True, slots=True)
class Column:
    """A column heading; numbers are right-aligned."""

    title: str
    number: bool = True


@dataclass(frozen=True, slots=True)
class TableText:
    """A table as text: title, columns, rows, and a note on how to read it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables(report: BacktestReport) -> tuple[TableText, ...]:
    """Build the tables: quality, causes, reliability, quality over time, features. Omit those without rows."""
    built = (_quality(report), _causes(report), _reliability(report), _periods(report), _features(report.features))
    return tuple(table for table in built if table.rows)


def headline(report: BacktestReport) -> str:
    """Summarize in one sentence: number of predictions, their period, and how many customers churned."""
    first, last = _day(report.start_ms), _day(report.to_ms - 1)
    if not report.model.n:
        return f"No matured example has its snapshot between {first} and {last}."
    share = _percent(report.model.positives / report.model.n)
    return (
        f"{report.model.n:,} predictions frozen from {first} to {last}, evaluated against observed outcomes: "
        f"{report.model.positives:,} churned ({share})."
    )


def footnotes(report: BacktestReport) -> tuple[str, ...]:
    """Sentences below the tables: flags, lead time, alerts, input counts, model and definition."""
    notes = []
    warning, top = report.early_warning, report.top
    if top is not None and top.precision is not None and top.recall is not None:
        notes.append(
            f"Flagging the 10% with the highest probabilities (from {_percent(top.threshold)}) finds "
            f"{_percent(top.recall)} of the churn; {_percent(top.precision)} of the flagged customers churn."
        )
    if warning is not None and warning.churned:
        notes.append(_lead_time(report))
    if report.alerts is not None and report.alerts.told:
        notes.append(_alerts(report.alerts))
    notes.append(_input_counts(report.counts))
    notes += unreadable_sentences(report.counts.unreadable)
    identity = [("model", report.model_version), ("churn definition", report.definition)]
    notes += [f"{name.capitalize()} {value}." for name, value in identity if value]
    return tuple(notes)


def print_backtest(report: BacktestReport, console: Console) -> None:
    """Print the report."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for finding in report.findings:
        console.print(Text(finding, style="bold red"))
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


# --- the tables ---------------------------------------------------------------------------------------------------

_MEASURES: tuple[tuple[str, str, str, int], ...] = (
    ("ROC AUC", "auc", "higher", 3),
    ("ROC AUC within a week", "auc_within_week", "higher", 3),
    ("log loss", "log_loss", "lower", 4),
    ("Brier score", "brier", "lower", 4),
    ("average precision", "average_precision", "higher", 3),
    ("calibration error (ECE)", "ece", "lower", 4),
    ("lift of the top tenth", "lift", "higher", 2),
    ("mean probability", "mean_probability", "near the churn rate", 4),
)
_CAUSES = {"voluntary": "voluntary", "involuntary": "involuntary (payment failure)", "together": "either cause"}
_STYLES = {"too high": "yellow", "too low": "yellow", "raises": "red", "lowers": "green"}


def _quality(report: BacktestReport) -> TableText:
    predictors: list[PredictionQuality | None] = [report.model, report.prior, report.constant]

    def figure(predictor: PredictionQuality | None, name: str, digits: int) -> str:
        return _number(getattr(predictor, name) if predictor is not None else None, digits)

    rows = tuple(
        (title, *(figure(predictor, name, digits) for predictor in predictors), better)
        for title, name, better, digits in _MEASURES
    )
    columns = (Column("", False), Column("model"), Column("prior"), Column("constant"), Column("better is", False))
    if report.released_before_rate is None:
        note = "No label had been released when the window began, so there is no constant baseline."
    else:
        note = (
            f"The constant predicts {_percent(report.released_before_rate)} for every customer: the churn rate of the "
            f"{report.released_before:,} labels released by {_day(report.start_ms)}."
        )
    return TableText("Quality", columns, rows if report.model.n else (), note)


def _causes(report: BacktestReport) -> TableText:
    rows = tuple(
        (
            _CAUSES[cause.cause] + ("" if cause.horizon_days is None else f", {cause.horizon_days:g} d"),
            f"{cause.quality.n:,}",
            f"{cause.quality.positives:,}",
            _percent(cause.quality.mean_probability or 0.0),
            _percent(cause.quality.positives / cause.quality.n),
            _number(cause.quality.auc, 3),
            _number(cause.quality.log_loss, 4),
            _number(cause.quality.ece, 4),
            _number(cause.quality.lift, 2),
        )
        for cause in report.causes
        if cause.quality.n
    )
    columns = (
        Column("cause, horizon", False),
        *map(Column, ("examples", "churned", "predicted", "observed", "AUC", "log loss", "ECE", "lift")),
    )
    note = "The causes exclude each other, so their probabilities add up. Churn by the other cause counts as no churn."
    return TableText("Churn by cause", columns, rows, note)


def _reliability(report: BacktestReport) -> TableText:
    def verdict(low: float, predicted: float, high: float) -> str:
        return "too low" if predicted < low else "too high" if predicted > high else "calibrated"

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
        *map(Column, ("probability", "predicted", "observed", "95% interval", "examples", "churned")),
        Column("verdict", False),
    )
    note = "Bins of equal size. A customer counts once for each snapshot, so the intervals are slightly too narrow."
    return TableText("Reliability: predicted vs. observed churn", columns, rows, note)


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
        Column,
        ("examples", "churned", "predicted", "observed", "AUC", "prior", "log loss", "prior", "constant"),
    )
    days = report.period_ms // DAY_MS
    return TableText(f"Quality over time, {days} days of snapshots per row", (Column("from", False), *columns), rows)


def _features(features: tuple[FeatureWeight, ...]) -> TableText:
    rows = tuple(
        (f.name, f"{f.weight:+.3f}", "raises" if f.weight > 0 else "lowers", f.sentence)
        for f in features[:FEATURES_SHOWN]
        if f.weight
    )
    columns = (Column("feature", False), Column("weight"), Column("risk", False), Column("meaning", False))
    note = "Weight: change in the log-odds of churn when the feature rises by one standard deviation, others unchanged."
    return TableText("Most influential features", columns, rows, note)


def _lead_time(report: BacktestReport) -> str:
    warning = report.early_warning
    assert warning is not None
    found = f"{warning.warned:,} of {warning.churned:,} churns of scored customers came after such a flag"
    if warning.lead_days_median is None:
        return f"{found}."
    return (
        f"{found}, the first flag a median of {warning.lead_days_median:.0f} days earlier (interquartile range "
        f"{warning.lead_days_lower_quartile:.0f} to {warning.lead_days_upper_quartile:.0f} days)."
    )


def _alerts(alerts: AlertQuality) -> str:
    sentences = [f"{alerts.told.get('opened', 0):,} alerts opened for {alerts.customers:,} customers"]
    if alerts.precision is not None:
        baseline = "" if alerts.churn_rate is None else f" (random alerts: {_percent(alerts.churn_rate)})"
        sentences.append(f"{_percent(alerts.precision)} of {alerts.judged:,} with a known outcome were right{baseline}")
    if alerts.lead_days_median is not None:
        sentences[-1] += (
            f", a median of {alerts.lead_days_median:.0f} days before the churn (interquartile range "
            f"{alerts.lead_days_lower_quartile:.0f} to {alerts.lead_days_upper_quartile:.0f} days)"
        )
    if alerts.recall is not None:
        sentences.append(f"They cover {_percent(alerts.recall)} of the {alerts.churned:,} customers who churned")
    for route, quality in alerts.routes.items():
        sentences.append(
            f"Route {route}: {quality.opened:,} opened; of {quality.judged:,} with a known outcome, {quality.lost:,}"
            f" churned, {quality.lost_by_payment:,} of them after a payment failure"
        )
    return ". ".join(sentences) + "."


def _input_counts(counts: InputCounts) -> str:
    rejected = sum(counts.rejected.values())
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.rejected.items()) if n)
    parts: list[tuple[int, Callable[[int], str]]] = [
        (counts.events, lambda n: f"{n:,} events"),
        (counts.customers, lambda n: f"{n:,} customers"),
        (counts.duplicates, lambda n: f"{n:,} duplicates ignored"),
        (rejected, lambda n: f"{n:,} rejected ({reasons})"),
        (counts.implausible, lambda n: f"{n:,} with a time far ahead of all others, applied at the time before"),
        (counts.censored, lambda n: f"{n:,} labels censored by a feed outage"),
        (counts.pending, lambda n: f"{n:,} snapshots without a label, because their horizon ends after the file"),
    ]
    return "; ".join([f"{counts.examples:,} matured examples", *(text(n) for n, text in parts if n)]) + "."


def _number(value: Any, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _percent(share: float) -> str:
    """Format a share with at most three significant digits; only exact 0 and 1 become 0% and 100%."""
    percent = 100 * share
    digits = 0 if percent == 0 or percent == 100 else 1 if 10 <= percent <= 99.9 else 2
    return f"{percent:.{digits}f}%"


def _day(time_ms: int) -> str:
    return rfc3339(time_ms)[:10]
