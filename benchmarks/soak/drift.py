"""Decide from a series of samples whether a figure drifts: quarters compared, slope per hour, and stated limits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MIB: Final = 2**20
# Two samples per quarter are the fewest whose median ignores nothing by chance alone.
MIN_SAMPLES: Final = 8
Series = Sequence[tuple[float, float]]  # (hours since the start, value)


@dataclass(frozen=True)
class Limit:
    """A figure drifts if the last quarter exceeds the first by more than `growth` and by more than `share` of it.

    The absolute part ignores noise of small figures, the relative part the noise of large ones.
    """

    unit: str
    growth: float
    share: float
    scale: float = 1.0  # value of one unit


# How they were chosen: docs/reliability.md, "Soak".
LIMITS: Final[Mapping[str, Limit]] = {
    "rss": Limit("MiB", 16 * MIB, 0.10, MIB),
    "descriptors": Limit("count", 8, 0.10),
    "threads": Limit("count", 3, 0.10),
    "disk": Limit("MiB", 32 * MIB, 0.25, MIB),
    "latency p50": Limit("ms", 100, 1.0),
    "latency p99": Limit("ms", 1_000, 2.0),
    "lag events": Limit("events", 1_000, 1.0),
    "lag labels": Limit("labels", 1_000, 1.0),
}


@dataclass(frozen=True)
class Drift:
    """One figure of one process after the warm-up: medians of the first and last quarter, slope, verdict."""

    process: str
    figure: str
    first: float
    last: float
    slope_per_hour: float
    drifts: bool


def quarters(series: Series) -> tuple[float, float]:
    """Return the medians of the first and the last quarter, so that single outliers do not count.

    >>> quarters([(0, 1), (1, 1), (2, 5), (3, 5), (4, 5), (5, 5), (6, 9), (7, 9)])
    (1.0, 9.0)
    """
    count = max(1, len(series) // 4)
    values = [value for _, value in series]
    return float(statistics.median(values[:count])), float(statistics.median(values[-count:]))


def slope(series: Series) -> float:
    """Return the least-squares slope, in units of the value per hour; 0 for a series without extent.

    >>> slope([(0.0, 5.0), (0.5, 6.0), (1.0, 7.0)])
    2.0
    """
    mean_at = statistics.fmean(at for at, _ in series)
    mean = statistics.fmean(value for _, value in series)
    spread = sum((at - mean_at) ** 2 for at, _ in series)
    return sum((at - mean_at) * (value - mean) for at, value in series) / spread if spread else 0.0


def after_warm_up(series: Series, warm_up_h: float) -> Series:
    """Return the samples that are judged."""
    return [(at, value) for at, value in series if at >= warm_up_h]


def judge(process: str, figure: str, series: Series, *, judged: bool = True) -> Drift | None:
    """Judge a series from which the warm-up was removed; None if it is too short. `judged=False` only reports."""
    if len(series) < MIN_SAMPLES:
        return None
    limit, (first, last), per_hour = LIMITS[figure], quarters(series), slope(series)
    drifts = judged and per_hour > 0 and last - first > max(limit.growth, limit.share * first)
    return Drift(process, figure, first, last, per_hour, drifts)
