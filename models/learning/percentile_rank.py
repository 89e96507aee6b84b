"""Where a probability stands among the customers': a decayed histogram, kept with the partition's position.

Kafka's partitioner makes every partition a random sample of the customers, so a partition's own histogram will do. It
is fed with the probabilities of snapshots only: one a customer and period, so that busy customers do not count more.
What snapshots of an hour said counts from the first snapshot of a later hour on, so that the thousands of scores of a
batch are ranked by a handful of histograms.
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
LIMIT: Final = 9.0  # log-odds; 0.0001 to 0.9999
WIDTH: Final = 2 * LIMIT / BINS  # 0.15: 2 to 4 % of the probability between neighbours
PRIOR_CUSTOMERS: Final = 20.0  # how many customers of other businesses the first real ones are put among

_MIDDLES: Final[Floats] = 1.0 / (1.0 + np.exp(-((np.arange(BINS) + 0.5) * WIDTH - LIMIT)))


def _prior() -> Floats:
    """Log-odds as the prior believes them before anything is known: normal around its base rate."""
    centre, spread = math.log(BASE_RATE / (1.0 - BASE_RATE)), math.sqrt(2.0 * BASE_VARIANCE)
    edges = [0.5 * (1.0 + math.erf(((i * WIDTH - LIMIT) - centre) / spread)) for i in range(BINS + 1)]
    edges[0], edges[-1] = 0.0, 1.0
    return PRIOR_CUSTOMERS * np.diff(edges)


_PRIOR: Final = _prior()


def _bins(probability: Floats) -> NDArray[np.intp]:
    p = np.minimum(np.maximum(probability, 1e-9), 1.0 - 1e-9)
    found = np.floor((np.log(p / (1.0 - p)) + LIMIT) / WIDTH)
    return np.minimum(np.maximum(found, 0.0), BINS - 1.0).astype(np.intp)


class PercentileRanks:
    """Decayed histogram of probabilities, bins even in log-odds, on top of `PRIOR_CUSTOMERS` of the prior's.

    >>> seen = PercentileRanks(half_life_ms=10 * HOUR_MS)
    >>> hours = [0, 0, 0, 0, 3_600_000]
    >>> percentile, base = seen.ranks(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), hours)
    >>> percentile.round(2).tolist(), base.round(2).tolist()
    ([0.51, 0.78, 0.91, 0.97, 0.99], [0.13, 0.13, 0.13, 0.13, 0.15])
    """

    def __init__(self, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._counts = np.zeros(BINS)  # what counts now
        self._fresh = np.zeros(BINS)  # snapshots of the present hour
        self._hour = 0

    def ranks(self, probability: Floats, at_ms: Sequence[int | None]) -> tuple[Floats, Floats]:
        """Goes through scores in the order of the log.

        Args:
            probability: (n,).
            at_ms: For each score its time if it is a snapshot's, None if it only asks.

        Returns:
            For each score the share of customers with a lower probability (those in the same bin count half), and the
            mean probability of the customers, (n,) each.
        """
        bins = _bins(probability)
        percentile, base = np.empty(len(bins)), np.empty(len(bins))
        taken = np.array([i for i, at in enumerate(at_ms) if at is not None], dtype=np.intp)
        hours = np.array([at // HOUR_MS for at in at_ms if at is not None], dtype=np.int64)
        later = np.maximum.accumulate(np.concatenate([[self._hour], hours]))
        turns = np.flatnonzero(later[1:] > later[:-1])  # snapshots that open an hour
        first = asked = 0
        for turn in [*turns.tolist(), len(taken)]:
            until = int(taken[turn]) if turn < len(taken) else len(bins)
            self._fresh += np.bincount(bins[taken[first:turn]], minlength=BINS)
            if until > asked:
                percentile[asked:until], base[asked:until] = self._rank(bins[asked:until])
            if turn < len(taken):
                self._turn(int(hours[turn]))
            first, asked = turn, until
        return percentile, base

    def _turn(self, hour: int) -> None:
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
        """As data; `restore` gives the same histogram bit for bit."""
        return [self._hour, self._counts.tobytes(), self._fresh.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continues from what `state` returned. A state of another size starts again from the prior."""
        hour, counts, fresh = state
        if len(counts) == len(fresh) == 8 * BINS:
            self._hour = hour
            self._counts, self._fresh = np.frombuffer(counts).copy(), np.frombuffer(fresh).copy()
