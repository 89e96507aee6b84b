"""Percentile rank of a probability among the customers of a partition, from a decayed histogram.

Kafka's partitioner makes every partition a random sample of the customers, so each partition has its own histogram,
stored with its position. Only the probabilities of training snapshots enter it: one per customer and period, so that
busy customers do not count more. The snapshots of an hour count from the first snapshot of a later hour on, so that the
thousands of scores of a batch are ranked by a few histograms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.duration import HOUR_MS
from models.learning.prior import BASE_RATE, BASE_VARIANCE

Floats = NDArray[np.float64]

BINS: Final = 120
LIMIT: Final = 9.0  # log-odds; probabilities from 0.0001 to 0.9999
WIDTH: Final = 2 * LIMIT / BINS  # 0.15 in log-odds: 2-4% of the probability between neighbouring bins
PRIOR_CUSTOMERS: Final = 20.0  # weight of the prior histogram, in customers

_MIDDLES: Final[Floats] = 1.0 / (1.0 + np.exp(-((np.arange(BINS) + 0.5) * WIDTH - LIMIT)))


def _prior() -> Floats:
    """Return the prior histogram: log-odds are normal around the prior's base rate."""
    centre, spread = math.log(BASE_RATE / (1.0 - BASE_RATE)), math.sqrt(2.0 * BASE_VARIANCE)
    edges = [0.5 * (1.0 + math.erf(((i * WIDTH - LIMIT) - centre) / spread)) for i in range(BINS + 1)]
    edges[0], edges[-1] = 0.0, 1.0
    return PRIOR_CUSTOMERS * np.diff(edges)


_PRIOR: Final = _prior()


def _bins(probability: Floats) -> NDArray[np.intp]:
    p = np.minimum(np.maximum(probability, 1e-9), 1.0 - 1e-9)
    index = np.floor((np.log(p / (1.0 - p)) + LIMIT) / WIDTH)
    return np.minimum(np.maximum(index, 0.0), BINS - 1.0).astype(np.intp)


class PercentileRanks:
    """Decayed histogram of probabilities with bins of equal width in log-odds, added to the prior histogram.

    >>> ranks = PercentileRanks(half_life_ms=10 * HOUR_MS)
    >>> hours = [0, 0, 0, 0, 3_600_000]
    >>> percentile, base = ranks.ranks(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), hours)
    >>> percentile.round(2).tolist(), base.round(2).tolist()
    ([0.51, 0.78, 0.91, 0.97, 0.99], [0.13, 0.13, 0.13, 0.13, 0.15])
    """

    def __init__(self, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._counts = np.zeros(BINS)  # snapshots that count in ranks
        self._fresh = np.zeros(BINS)  # snapshots of the current hour
        self._hour = 0

    def ranks(self, probability: Floats, at_ms: Sequence[int | None]) -> tuple[Floats, Floats]:
        """Rank scores in the order of the log.

        Args:
            probability: Probabilities, (n,).
            at_ms: For each score, its time if it belongs to a training snapshot, else None.

        Returns:
            For each score, the share of customers with a lower probability (customers in the same bin count half), and
            the mean probability of the customers, (n,) each.
        """
        bins = _bins(probability)
        percentile, base = np.empty(len(bins)), np.empty(len(bins))
        taken = np.array([i for i, at in enumerate(at_ms) if at is not None], dtype=np.intp)
        hours = np.array([at // HOUR_MS for at in at_ms if at is not None], dtype=np.int64)
        later = np.maximum.accumulate(np.concatenate([[self._hour], hours]))
        hour_starts = np.flatnonzero(later[1:] > later[:-1])  # first snapshot of each later hour
        first = start = 0
        for next_first in [*hour_starts.tolist(), len(taken)]:
            end = int(taken[next_first]) if next_first < len(taken) else len(bins)
            self._fresh += np.bincount(bins[taken[first:next_first]], minlength=BINS)
            if end > start:
                percentile[start:end], base[start:end] = self._rank(bins[start:end])
            if next_first < len(taken):
                self._start_hour(int(hours[next_first]))
            first, start = next_first, end
        return percentile, base

    def _start_hour(self, hour: int) -> None:
        """Count the snapshots of the current hour, decay the histogram and start a later hour."""
        self._counts += self._fresh
        if self._hour:
            self._counts *= math.exp2((self._hour - hour) * HOUR_MS / self.half_life_ms)
        self._fresh[:] = 0.0
        self._hour = hour

    def _rank(self, bins: NDArray[np.intp]) -> tuple[Floats, float]:
        counts = self._counts + _PRIOR
        below = np.concatenate([[0.0], np.add.accumulate(counts)])
        share = 0.5 * (below[bins] + below[bins + 1]) / below[BINS]
        return share, float(np.add.accumulate(counts * _MIDDLES)[-1] / below[BINS])

    def state(self) -> list[Any]:
        """Return the state for `restore`, exact to the bit."""
        return [self._hour, self._counts.tobytes(), self._fresh.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned. A state of another size is ignored."""
        hour, counts, fresh = state
        if len(counts) == len(fresh) == 8 * BINS:
            self._hour = hour
            self._counts, self._fresh = np.frombuffer(counts).copy(), np.frombuffer(fresh).copy()
