"""Where a probability stands among the customers': a decayed histogram, kept with the partition's position.

Kafka's partitioner makes every partition a random sample of the customers, so a partition's own histogram will do. Feed
it the probabilities of snapshots only: one a customer and period, so that busy customers do not count more.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np

from models.bayes import sigmoid
from models.prior import BASE_RATE, BASE_VARIANCE

BINS: Final = 120
LIMIT: Final = 9.0  # log-odds; 0.0001 to 0.9999
WIDTH: Final = 2 * LIMIT / BINS  # 0.15: 2 to 4 % of the probability between neighbours
PRIOR_CUSTOMERS: Final = 20.0  # how many customers of other businesses the first real ones are put among
_MOVE_MS: Final = 60_000  # decay moves in whole minutes: thousands of snapshots fall due in one


def _bin(probability: float) -> int:
    p = min(max(probability, 1e-9), 1.0 - 1e-9)
    return min(max(int((math.log(p / (1.0 - p)) + LIMIT) / WIDTH), 0), BINS - 1)


def _prior() -> tuple[float, ...]:
    """Log-odds as the prior believes them before anything is known: normal around its base rate."""
    centre, spread = math.log(BASE_RATE / (1.0 - BASE_RATE)), math.sqrt(2.0 * BASE_VARIANCE)
    edges = [0.5 * (1.0 + math.erf(((i * WIDTH - LIMIT) - centre) / spread)) for i in range(BINS + 1)]
    edges[0], edges[-1] = 0.0, 1.0
    return tuple(PRIOR_CUSTOMERS * (b - a) for a, b in pairwise(edges))


_PRIOR: Final = _prior()
_MIDDLES: Final = tuple(sigmoid((i + 0.5) * WIDTH - LIMIT) for i in range(BINS))


class Percentiles:
    """Decayed histogram of probabilities, bins even in log-odds, on top of `PRIOR_CUSTOMERS` of the prior's.

    >>> seen = Percentiles(half_life_ms=1000)
    >>> for p in (0.1, 0.2, 0.3, 0.4):
    ...     seen.update(p, 0)
    >>> round(seen.percentile(0.5), 2), round(seen.percentile(0.3), 2), round(seen.base, 2)
    (0.99, 0.87, 0.15)
    """

    def __init__(self, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._counts = [0.0] * BINS
        self._at_ms = 0
        self._below: list[float] | None = None
        self._base = 0.0

    def update(self, probability: float, at_ms: int) -> None:
        """Take in one customer's probability; older ones count half as much after a half-life."""
        steps = (at_ms - self._at_ms) // _MOVE_MS
        if steps > 0:
            if self._at_ms:
                decay = math.exp2(-steps * _MOVE_MS / self.half_life_ms)
                self._counts = [count * decay for count in self._counts]
            self._at_ms += steps * _MOVE_MS
        self._counts[_bin(probability)] += 1.0
        self._below = None

    def percentile(self, probability: float) -> float:
        """Share of customers with a lower probability, 0 to 1; those in the same bin count half."""
        i = _bin(probability)
        below = self._below
        if below is None:
            below = self._sum()
        return 0.5 * (below[i] + below[i + 1]) / below[BINS]

    @property
    def base(self) -> float:
        """Mean probability of the customers."""
        if self._below is None:
            self._sum()
        return self._base

    def _sum(self) -> list[float]:
        counts = [a + b for a, b in zip(self._counts, _PRIOR, strict=True)]
        self._below = below = [0.0, *accumulate(counts)]
        *_, total = accumulate(c * p for c, p in zip(counts, _MIDDLES, strict=True))  # `sum` differs between Pythons
        self._base = total / below[BINS]
        return below

    def state(self) -> list[Any]:
        """As data; `restore` gives the same histogram bit for bit."""
        return [self._at_ms, np.array(self._counts).tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned. A state of another size starts again from the prior."""
        at_ms, counts = state
        if len(counts) == 8 * BINS:
            self._at_ms, self._counts, self._below = at_ms, np.frombuffer(counts).tolist(), None
