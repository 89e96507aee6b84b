"""The report of a backtest: prediction quality in a window, compared with the prior and a constant, and input counts.

`evaluate` builds a `BacktestReport` from arrays of matured examples. `BacktestReport.to_json` is its stable,
machine-readable form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.backtesting.alert_quality import AlertQuality
from models.duration import DAY_MS, rfc3339
from models.events.unreadable import UnreadableCounts
from models.metrics.classification import (
    CLIP,
    FEWEST_OF_A_CLASS,
    AtThreshold,
    EarlyWarning,
    Floats,
    Integers,
    ReliabilityBin,
    at_threshold,
    auc,
    auc_within_week,
    average_precision,
    brier,
    early_warning,
    ece,
    lift,
    log_loss,
    reliability,
)

TOP_SHARE = 0.1  # the decile of `lift`, and the customers who count as warned in the early warning
HISTOGRAM_STEP = 0.2  # in log-odds: 5% wide in the middle, and still fine at 1%
FEWEST_PERIODS = 6  # a line with fewer points shows no trend
PERIODS_MS = (91 * DAY_MS, 28 * DAY_MS, 14 * DAY_MS, 7 * DAY_MS)


class MaturedExample(Protocol):
    """A matured example as the fold emits it."""

    @property
    def customer(self) -> str: ...
    @property
    def snapshot_ms(self) -> int: ...
    @property
    def release_ms(self) -> int: ...
    @property
    def probability(self) -> float: ...
    @property
    def members(self) -> tuple[float, float, float]: ...  # probabilities of champion, challenger and prior
    @property
    def label(self) -> int: ...
    @property
    def churned_ms(self) -> int: ...


@dataclass(frozen=True)
class ExampleColumns:
    """Matured examples as columns (n,): predictions and outcomes."""

    customer: npt.NDArray[np.object_]
    snapshot_ms: Integers
    release_ms: Integers
    probability: Floats  # frozen at the snapshot
    prior: Floats  # the prior's probability at the snapshot
    label: Integers
    churned_ms: Integers  # time of the churn that set the label to 1; 0 for none or unknown

    @classmethod
    def of(cls, rows: Iterable[MaturedExample]) -> ExampleColumns:
        """Build the columns from examples in any order."""
        examples = list(rows)
        customer = np.empty(len(examples), dtype=object)
        customer[:] = [e.customer for e in examples]
        return cls(
            customer,
            np.array([e.snapshot_ms for e in examples], dtype=np.int64),
            np.array([e.release_ms for e in examples], dtype=np.int64),
            np.array([e.probability for e in examples], dtype=np.float64),
            np.array([e.members[2] for e in examples], dtype=np.float64),
            np.array([e.label for e in examples], dtype=np.int64),
            np.array([e.churned_ms for e in examples], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.label)

    def where(self, rows: npt.NDArray[np.bool_]) -> ExampleColumns:
        """Select rows."""
        return ExampleColumns(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class PredictionQuality:
    """Quality of one model's probabilities over a window; None if undefined."""

    n: int
    positives: int
    mean_probability: float | None
    auc: float | None
    auc_within_week: float | None
    log_loss: float | None
    brier: float | None
    average_precision: float | None
    ece: float | None
    lift: float | None

    @classmethod
    def of(cls, label: npt.ArrayLike, probability: npt.ArrayLike, snapshot_ms: npt.ArrayLike) -> PredictionQuality:
        """Compute all metrics of the probabilities."""
        y, p = np.asarray(label), np.asarray(probability, dtype=np.float64)
        return cls(
            n=len(y),
            positives=int(y.sum()),
            mean_probability=float(p.mean()) if len(p) else None,
            auc=auc(y, p),
            auc_within_week=auc_within_week(y, p, snapshot_ms),
            log_loss=log_loss(y, p),
            brier=brier(y, p),
            average_precision=average_precision(y, p),
            ece=ece(y, p),
            lift=lift(y, p, TOP_SHARE),
        )


@dataclass(frozen=True, slots=True)
class CauseQuality:
    """Prediction quality of one cause of churn."""

    cause: str
    horizon_days: float | None  # None: each cause within its own horizon
    quality: PredictionQuality


@dataclass(frozen=True, slots=True)
class Period:
    """A part of the window, by snapshot time."""

    start_ms: int
    n: int
    positives: int
    rate: float
    mean_probability: float
    auc: float | None  # None with fewer than 5 of a class
    prior_auc: float | None
    log_loss: float
    prior_log_loss: float
    constant_log_loss: float | None


@dataclass(frozen=True, slots=True)
class HistogramCell:
    """Number of examples with a probability from `lowest` to below `highest`."""

    lowest: float
    highest: float
    n: int
    positives: int


@dataclass(frozen=True, slots=True)
class FeatureWeight:
    """A feature's signed effect on the log-odds per standard deviation; above 0 it raises the risk."""

    name: str
    weight: float
    sentence: str


@dataclass(frozen=True, slots=True)
class InputCounts:
    """Counts of the input: events, customers and examples."""

    events: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # by reason
    customers: int = 0
    examples: int = 0  # matured, inside the window or not
    censored: int = 0  # snapshots whose label is unknown because of a gap in the feed
    pending: int = 0  # snapshots whose horizon reaches past the end of the log: no label
    implausible: int = 0  # events far ahead of all others, applied at the time of their neighbours
    unreadable: UnreadableCounts = field(default_factory=UnreadableCounts)  # positions are line numbers


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """All figures of a backtest's tables, plot and JSON."""

    definition: str  # hash
    model_version: str
    start_ms: int
    to_ms: int  # exclusive
    released_before: int  # labels known at the start of the window
    released_before_rate: float | None
    model: PredictionQuality
    prior: PredictionQuality
    constant: PredictionQuality | None  # predicts `released_before_rate`; None without released labels
    constant_in_hindsight_log_loss: float | None  # uses the window's own rate, unknown at prediction time
    top: AtThreshold | None  # threshold that flags the 10% with the highest probabilities
    early_warning: EarlyWarning | None
    reliability: tuple[ReliabilityBin, ...]
    histogram: tuple[HistogramCell, ...]
    period_ms: int
    periods: tuple[Period, ...]
    features: tuple[FeatureWeight, ...]
    counts: InputCounts
    alerts: AlertQuality | None = None
    causes: tuple[CauseQuality, ...] = ()  # if involuntary churn has a label of its own
    findings: tuple[str, ...] = ()  # what makes labels wrong, in sentences

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values with stable keys in a fixed order; times in RFC 3339, undefined figures null."""
        plain = asdict(self)
        plain["from"], plain["to"] = rfc3339(plain.pop("start_ms")), rfc3339(plain.pop("to_ms"))
        plain["period_days"] = plain.pop("period_ms") / DAY_MS
        for period in plain["periods"]:
            period["from"] = rfc3339(period.pop("start_ms"))
        plain["counts"]["rejected"] = dict(sorted(self.counts.rejected.items()))
        plain["counts"]["unreadable"] = [
            {"event": event, "property": name, "count": found.events, "lines": [found.first, found.newest]}
            for (event, name), found in self.counts.unreadable.items()
        ]
        first = ("definition", "model_version", "from", "to")
        return {key: plain[key] for key in first} | {key: plain[key] for key in plain if key not in first}


def evaluate(
    examples: ExampleColumns,
    start_ms: int | None = None,
    to_ms: int | None = None,
    *,
    features: Sequence[FeatureWeight] = (),
    counts: InputCounts | None = None,
    definition: str = "",
    model_version: str = "",
    alerts: AlertQuality | None = None,
    causes: Sequence[CauseQuality] = (),
    findings: Sequence[str] = (),
) -> BacktestReport:
    """Evaluate the examples with start_ms <= snapshot_ms < to_ms; without bounds, all of them.

    The constant is the churn rate of the labels released by `start_ms`, whatever their snapshot: the best prediction
    that was possible without a model.

    Raises:
        ValueError: a label or a probability is invalid.
    """
    at = examples.snapshot_ms
    start = start_ms if start_ms is not None else (int(at.min()) if len(at) else 0)
    to = to_ms if to_ms is not None else (int(at.max()) + 1 if len(at) else start)
    known = examples.label[examples.release_ms <= start]
    rate = float(known.mean()) if len(known) else None
    window = examples.where((at >= start) & (at < to))
    y, p = window.label, window.probability
    model = PredictionQuality.of(y, p, window.snapshot_ms)
    threshold = float(np.quantile(p, 1 - TOP_SHARE, method="higher")) if len(p) else None
    period_ms = _period_ms(start, to)
    return BacktestReport(
        definition=definition,
        model_version=model_version,
        start_ms=start,
        to_ms=to,
        released_before=len(known),
        released_before_rate=rate,
        model=model,
        prior=PredictionQuality.of(y, window.prior, window.snapshot_ms),
        constant=PredictionQuality.of(y, np.full(len(y), rate), window.snapshot_ms) if rate is not None else None,
        constant_in_hindsight_log_loss=log_loss(y, np.full(len(y), y.mean())) if len(y) else None,
        top=at_threshold(y, p, threshold) if threshold is not None else None,
        early_warning=_early_warning(examples.where(at < to), start, threshold) if threshold is not None else None,
        reliability=reliability(y, p),
        histogram=_histogram(y, p),
        period_ms=period_ms,
        periods=_periods(window, start, period_ms, rate),
        features=tuple(sorted(features, key=lambda feature: (-abs(feature.weight), feature.name))),
        counts=counts if counts is not None else InputCounts(examples=len(examples)),
        alerts=alerts,
        causes=tuple(causes),
        findings=tuple(findings),
    )


def _early_warning(examples: ExampleColumns, start_ms: int, threshold: float) -> EarlyWarning:
    """Compute the early warning over the churns since `start_ms`.

    Consecutive snapshots with label 1 belong to one churn, the earliest: a continuing inactivity counts once.
    """
    order = np.lexsort((examples.snapshot_ms, examples.customer.astype(str)))
    churns: list[tuple[str, int]] = []
    last: tuple[str, int] = ("", 0)
    for row in order.tolist():
        customer, label, churned_ms = examples.customer[row], int(examples.label[row]), int(examples.churned_ms[row])
        if label and last != (customer, 1) and churned_ms >= start_ms and churned_ms > 0:
            churns.append((customer, churned_ms))
        last = (customer, label)
    return early_warning(
        examples.customer,
        examples.snapshot_ms,
        examples.probability,
        [customer for customer, _ in churns],
        np.array([churned_ms for _, churned_ms in churns], dtype=np.int64),
        threshold,
    )


def _histogram(label: Integers, probability: Floats) -> tuple[HistogramCell, ...]:
    p = np.clip(probability, CLIP, 1 - CLIP)
    step = np.floor(np.log(p / (1 - p)) / HISTOGRAM_STEP).astype(np.int64)
    steps, group, count = np.unique(step, return_inverse=True, return_counts=True)
    positives = np.bincount(group, label, len(steps))
    edges = [(1 / (1 + np.exp(-HISTOGRAM_STEP * s)), 1 / (1 + np.exp(-HISTOGRAM_STEP * (s + 1)))) for s in steps]
    return tuple(
        HistogramCell(float(low), float(high), int(n), int(churned))
        for (low, high), n, churned in zip(edges, count, positives, strict=True)
    )


def _period_ms(start_ms: int, to_ms: int) -> int:
    """Return the longest of quarter, four weeks, two weeks and a week that gives enough periods; else a week."""
    return next((span for span in PERIODS_MS if to_ms - start_ms >= FEWEST_PERIODS * span), PERIODS_MS[-1])


def _periods(window: ExampleColumns, start_ms: int, period_ms: int, rate: float | None) -> tuple[Period, ...]:
    number = (window.snapshot_ms - start_ms) // period_ms
    periods = []
    for index in np.unique(number).tolist():
        part = window.where(number == index)
        y, p = part.label, part.probability
        positives = int(y.sum())
        enough = min(positives, len(y) - positives) >= FEWEST_OF_A_CLASS
        periods.append(
            Period(
                start_ms=start_ms + index * period_ms,
                n=len(y),
                positives=positives,
                rate=positives / len(y),
                mean_probability=float(p.mean()),
                auc=auc(y, p) if enough else None,
                prior_auc=auc(y, part.prior) if enough else None,
                log_loss=log_loss(y, p) or 0.0,
                prior_log_loss=log_loss(y, part.prior) or 0.0,
                constant_log_loss=log_loss(y, np.full(len(y), rate)) if rate is not None else None,
            )
        )
    return tuple(periods)
