"""Metrics of frozen probabilities: ranking, sharpness, calibration, and lead time of warnings.

Every function takes `label` (n,) of 0 and 1 and `probability` (n,) in [0, 1]. Their order does not matter, because ties
are never broken by position. An undefined metric (only one class, no rows) is None, never a number that looks good.
`models.metrics.prequential` has the metrics of a running system.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.duration import DAY_MS, WEEK_MS

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

CLIP = 1e-6  # bounds the log loss of a wrong 0 or 1 to 13.8
BINS = 15  # Naeini, Cooper, Hauskrecht 2015
FEWEST_OF_A_CLASS = 5  # with fewer the AUC of a week is noise
Z_95 = 1.959963984540054  # normal quantile of a 95% interval


def checked(label: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[Integers, Floats]:
    """Convert to arrays and check them.

    Raises:
        ValueError: the shapes differ or are not one-dimensional, a label is not 0 or 1, or a value is not in [0, 1].
    """
    y, p = np.asarray(label), np.asarray(probability, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise ValueError(f"labels {y.shape} and probabilities {p.shape} must be one-dimensional and of equal length")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("every label must be 0 or 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("every probability must be between 0 and 1")
    return y.astype(np.int64), p


@dataclass(frozen=True, slots=True)
class _Ties:
    """Rows grouped by equal probability, ascending, so ties are never broken."""

    probability: Floats
    count: Integers
    positives: Integers

    @classmethod
    def of(cls, label: npt.ArrayLike, probability: npt.ArrayLike) -> _Ties:
        y, p = checked(label, probability)
        values, group, count = np.unique(p, return_inverse=True, return_counts=True)
        return cls(values, count.astype(np.int64), np.bincount(group, y, len(values)).astype(np.int64))


def auc(label: npt.ArrayLike, probability: npt.ArrayLike) -> float | None:
    """Probability that a churner ranks above another customer, ties counting half (Mann and Whitney 1947).

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    ties = _Ties.of(label, probability)
    return weighted_auc(ties.count - ties.positives, ties.positives)


def weighted_auc(negatives: npt.NDArray[Any], positives: npt.NDArray[Any]) -> float | None:
    """AUC from the weights of both classes in ascending cells of probability; pairs within a cell count half."""
    pairs = float(positives.sum()) * float(negatives.sum())
    if pairs <= 0:
        return None
    below = np.cumsum(negatives) - negatives
    return min(float((positives * (below + negatives / 2)).sum() / pairs), 1.0)  # decayed weights: rounding exceeds 1


def auc_within_week(label: npt.ArrayLike, probability: npt.ArrayLike, snapshot_ms: npt.ArrayLike) -> float | None:
    """AUC among customers of the same week, which excludes ranking by calendar time alone.

    Weeks are counted from the earliest snapshot. Weeks with 5 or more of each class are averaged, weighted by churners.
    """
    y, p = checked(label, probability)
    at = np.asarray(snapshot_ms, dtype=np.int64)
    if not len(y):
        return None
    week = (at - at.min()) // WEEK_MS
    total = weight = 0.0
    for number in np.unique(week):
        rows = week == number
        positives = int(y[rows].sum())
        ranking = auc(y[rows], p[rows])
        if ranking is not None and min(positives, int(rows.sum()) - positives) >= FEWEST_OF_A_CLASS:
            total, weight = total + ranking * positives, weight + positives
    return total / weight if weight else None


def log_loss(label: npt.ArrayLike, probability: npt.ArrayLike) -> float | None:
    """Mean of -log of the probability of the outcome, with probabilities clipped to [1e-6, 1 - 1e-6].

    >>> round(log_loss([1, 0], [0.9, 0.2]), 4)
    0.1643
    """
    y, p = checked(label, probability)
    if not len(y):
        return None
    p = np.clip(p, CLIP, 1 - CLIP)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def constant_log_loss(label: npt.ArrayLike, rate: float) -> float | None:
    """Log loss of predicting `rate` for every customer: a baseline, if the rate was known at prediction time."""
    y = np.asarray(label)
    return log_loss(y, np.full(len(y), rate))


def brier(label: npt.ArrayLike, probability: npt.ArrayLike) -> float | None:
    """Mean squared error of the probability (Brier 1950)."""
    y, p = checked(label, probability)
    return float(np.mean((p - y) ** 2)) if len(y) else None


def average_precision(label: npt.ArrayLike, probability: npt.ArrayLike) -> float | None:
    """Sum over thresholds, highest first, of precision x gain in recall; a tie is one threshold."""
    ties = _Ties.of(label, probability)
    positives, count = ties.positives[::-1], ties.count[::-1]
    if not 0 < positives.sum() < count.sum():
        return None
    return float((positives / positives.sum() * np.cumsum(positives) / np.cumsum(count)).sum())


def equal_mass_bins(weight: npt.NDArray[Any], bins: int = BINS) -> Integers:
    """Return the bin of each ascending cell, by the middle of its mass. Cells are never split."""
    middle = np.cumsum(weight) - weight / 2
    return np.minimum(np.floor(middle * bins / weight.sum()), bins - 1).astype(np.int64)


def ece(label: npt.ArrayLike, probability: npt.ArrayLike, bins: int = BINS) -> float | None:
    """Expected calibration error over equal-mass bins: the mean gap between predicted and actual rate.

    Rows with equal probability share a bin (Naeini, Cooper, Hauskrecht 2015, with ties kept together).
    """
    ties = _Ties.of(label, probability)
    return weighted_ece(ties.count, ties.positives, ties.probability * ties.count, bins) if len(ties.count) else None


def weighted_ece(
    weight: npt.NDArray[Any], positives: npt.NDArray[Any], probability_sum: Floats, bins: int = BINS
) -> float:
    """ECE from ascending cells: weight, weight of churners and sum of probabilities of each."""
    bin_of = equal_mass_bins(weight, bins)
    gap = np.bincount(bin_of, positives, bins) - np.bincount(bin_of, probability_sum, bins)
    return min(float(np.abs(gap).sum() / weight.sum()), 1.0)  # decayed weights: rounding exceeds 1


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """A row of the reliability table: predicted and actual rate of `n` customers."""

    n: int
    positives: int
    lowest: float
    highest: float
    mean_probability: float
    rate: float
    rate_low: float  # 95% interval of the rate (Wilson 1927)
    rate_high: float


def reliability(label: npt.ArrayLike, probability: npt.ArrayLike, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Return the bins of `ece`, ascending, without empty ones."""
    ties = _Ties.of(label, probability)
    if not len(ties.count):
        return ()
    bin_of = equal_mass_bins(ties.count, bins)
    table = []
    for index in np.unique(bin_of):
        rows = bin_of == index
        n, positives, values = int(ties.count[rows].sum()), int(ties.positives[rows].sum()), ties.probability[rows]
        mean = float(
            np.clip((values * ties.count[rows]).sum() / n, values[0], values[-1])
        )  # rounding may exceed the range
        low, high = wilson(positives, n)
        table.append(ReliabilityBin(n, positives, float(values[0]), float(values[-1]), mean, positives / n, low, high))
    return tuple(table)


def wilson(positives: float, n: float) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927), within [0, 1] and never of width 0."""
    centre = (positives + Z_95**2 / 2) / (n + Z_95**2)
    half = Z_95 / (n + Z_95**2) * math.sqrt(max(positives * (n - positives) / n, 0.0) + Z_95**2 / 4)
    return max(centre - half, 0.0) if positives else 0.0, min(centre + half, 1.0) if positives < n else 1.0


def lift(label: npt.ArrayLike, probability: npt.ArrayLike, share: float = 0.1) -> float | None:
    """Churn rate of the `share` with the highest probabilities, divided by the overall rate.

    Ties at the boundary count in part, with equal weights: the mean over all ways to break the tie.
    """
    ties = _Ties.of(label, probability)
    n, positives = int(ties.count.sum()), int(ties.positives.sum())
    if not positives:
        return None
    selected = share * n
    count = ties.count[::-1]
    before = np.cumsum(count) - count
    part = np.clip((selected - before) / count, 0.0, 1.0)
    return float((part * ties.positives[::-1]).sum() / selected * n / positives)


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Result of alerting at a threshold; precision is None if no customer is at or above it."""

    threshold: float
    flagged: int
    precision: float | None
    recall: float | None


def at_threshold(label: npt.ArrayLike, probability: npt.ArrayLike, threshold: float) -> AtThreshold:
    """Precision and recall of flagging every customer at or above `threshold`."""
    y, p = checked(label, probability)
    above = p >= threshold
    flagged, hits, positives = int(above.sum()), int(y[above].sum()), int(y.sum())
    return AtThreshold(threshold, flagged, hits / flagged if flagged else None, hits / positives if positives else None)


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """Lead times of first warnings over the churns that had one; quartiles in days, None without any."""

    threshold: float
    churned: int  # churns of customers who were scored before them
    warned: int
    lead_days_lower_quartile: float | None = None
    lead_days_median: float | None = None
    lead_days_upper_quartile: float | None = None


def early_warning(
    customer: Sequence[str] | npt.NDArray[Any],
    scored_ms: npt.ArrayLike,
    probability: npt.ArrayLike,
    churned_customer: Sequence[str] | npt.NDArray[Any],
    churned_ms: npt.ArrayLike,
    threshold: float,
    lookback_ms: int = 90 * DAY_MS,
) -> EarlyWarning:
    """Compute the days from a customer's first score at or above `threshold` to the churn that followed.

    A score counts only for the next churn of its customer, and at most `lookback_ms` before it, so a false alarm of a
    year ago is not a warning. Rows and churns may be in any order, and a customer may churn more than once.
    """
    scores: dict[str, list[tuple[int, float]]] = {}
    times, values = np.asarray(scored_ms, dtype=np.int64).tolist(), np.asarray(probability, dtype=np.float64).tolist()
    for name, at, p in zip(customer, times, values, strict=True):
        scores.setdefault(name, []).append((at, p))
    previous: dict[str, int] = {}
    churned, leads = 0, []
    for at, name in sorted(set(zip(np.asarray(churned_ms, dtype=np.int64).tolist(), churned_customer, strict=True))):
        since = max(previous.get(name, at - lookback_ms), at - lookback_ms)
        previous[name] = at
        history = [(t, p) for t, p in scores.get(name, ()) if since <= t < at]
        churned += bool(history)
        crossings = [t for t, p in history if p >= threshold]
        if crossings:
            leads.append((at - min(crossings)) / DAY_MS)
    if not leads:
        return EarlyWarning(threshold, churned, 0)
    return EarlyWarning(threshold, churned, len(leads), *(float(q) for q in np.percentile(leads, (25, 50, 75))))
