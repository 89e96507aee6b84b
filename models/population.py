"""The population's current level of every feature: what a customer is compared with.

A holiday makes everybody silent, and that is not churn. The level is a decayed mean over the snapshots taken in one
partition: Kafka's partitioner makes every partition a random sample of the customers, so no coordination is needed.
With few snapshots it is shrunk to the mean that the trainer publishes, (n own + k global) / (n + k).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHRINK_SNAPSHOTS: Final = 25.0  # k: a mean of 25 snapshots is as good as the global one


class Population:
    """Decayed means of d features; a missing value leaves its feature's mean as it was.

    >>> population = Population(2, half_life_ms=1000)
    >>> population.update(np.array([1.0, 5.0]), 0)
    >>> population.update(np.array([4.0, np.nan]), 1000)
    >>> population.mean().tolist()
    [3.0, 5.0]
    """

    def __init__(self, size: int, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._sum = np.zeros(size)
        self._weight = np.zeros(size)
        self._at_ms = 0
        self._mean: Floats | None = None
        self._global: Floats | None = None

    def update(self, x: Floats, at_ms: int) -> None:
        """Takes in one snapshot's features (d,), taken at `at_ms`."""
        if at_ms > self._at_ms:
            if self._at_ms:
                decay = math.exp2((self._at_ms - at_ms) / self.half_life_ms)
                self._sum *= decay
                self._weight *= decay
            self._at_ms = at_ms
        known = x == x
        self._sum += np.where(known, x, 0.0)
        self._weight += known
        self._mean = None

    def mean(self, everywhere: Floats | None = None) -> Floats:
        """The level of each feature (d,), NaN where nothing is known; `everywhere` is the trainer's mean."""
        if self._mean is None or everywhere is not self._global:
            total, weight = self._sum, self._weight
            if everywhere is not None:
                known = everywhere == everywhere
                total = total + np.where(known, SHRINK_SNAPSHOTS * everywhere, 0.0)
                weight = weight + SHRINK_SNAPSHOTS * known
            self._mean = np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 1e-9)
            self._global = everywhere
        return self._mean

    def state(self) -> list[Any]:
        """As data; `restore` gives the same population bit for bit."""
        return [self._at_ms, self._sum.tobytes(), self._weight.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continues from what `state` returned. A state of another size starts again from nothing."""
        at_ms, total, weight = state
        if len(total) == self._sum.nbytes and len(weight) == self._weight.nbytes:
            self._at_ms = at_ms
            self._sum = np.frombuffer(total).copy()
            self._weight = np.frombuffer(weight).copy()
            self._mean = None
