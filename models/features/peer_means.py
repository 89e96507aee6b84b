"""The population's current level of every feature: what a customer is compared with.

A holiday makes everybody silent, and that is not churn. The level is a decayed mean over the snapshots taken in one
partition: Kafka's partitioner makes every partition a random sample of the customers, so no coordination is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_AT_ONCE: Final = 256  # rows; what is known between them stays in the processor's cache


class PeerMeans:
    """Decayed means of d features; a missing value leaves its feature's mean as it was.

    >>> population = PeerMeans(2, half_life_ms=1000)
    >>> population.update(np.array([1.0, 5.0]), 1000)
    >>> population.update(np.array([4.0, np.nan]), 2000)
    >>> population.mean().tolist()
    [3.0, 5.0]
    """

    def __init__(self, size: int, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._sums = np.zeros((2, size))  # decayed sums of the values, and of the snapshots that had one
        self._at_ms = 0

    def update(self, x: Floats, at_ms: int) -> None:
        """Takes in one snapshot's features (d,), taken at `at_ms`."""
        self.levels(x[None, :], [at_ms])

    def mean(self) -> Floats:
        """The level of each feature (d,), NaN where nothing is known."""
        return self.levels(np.zeros((1, self._sums.shape[1])), [None])[0]

    def levels(self, x: Floats, at_ms: Sequence[int | None]) -> Floats:
        """Goes through points in order: each reads the level, and snapshots then move it.

        Args:
            x: float64[n, d], features of the points, NaN for missing.
            at_ms: For each point the time if it is a snapshot, None if it only reads.

        Returns:
            float64[n, d]: the level that each point read, NaN where nothing was known.
        """
        out = np.empty_like(x)
        for start in range(0, len(x), _AT_ONCE):
            end = start + _AT_ONCE
            self._read(x[start:end], at_ms[start:end], out[start:end])
        return out

    def _read(self, x: Floats, at_ms: Sequence[int | None], out: Floats) -> None:
        moves = np.array([i for i, at in enumerate(at_ms) if at is not None], np.intp)
        # the sums before the first snapshot, and after each: (snapshots + 1, 2, d); at first, what each adds
        sums = np.empty((len(moves) + 1, 2, x.shape[1]))
        sums[0] = self._sums
        taken = x.take(moves, axis=0)
        known = taken == taken
        sums[1:, 1] = known
        sums[1:, 0] = 0.0
        np.copyto(sums[1:, 0], taken, where=known)
        decayed, before, newest = np.empty_like(self._sums), sums[0], self._at_ms
        add, multiply, exp2, half_life_ms = np.add, np.multiply, math.exp2, self.half_life_ms
        for i, after in zip(moves.tolist(), sums[1:], strict=True):
            at = at_ms[i]
            assert at is not None
            if at > newest:
                if newest:
                    multiply(before, exp2((newest - at) / half_life_ms), decayed)
                    before = decayed
                newest = at
            add(before, after, after)
            before = after
        self._sums, self._at_ms = sums[-1].copy(), newest
        with np.errstate(invalid="ignore", divide="ignore"):
            level = sums[:, 0] / sums[:, 1]
        moved = np.zeros(len(x), np.intp)
        moved[moves] = 1
        level.take(np.add.accumulate(moved) - moved, axis=0, out=out, mode="clip")

    def state(self) -> list[Any]:
        """As data; `restore` gives the same population bit for bit."""
        return [self._at_ms, self._sums.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continues from what `state` returned. A state of another size starts again from nothing."""
        at_ms, sums = state
        if len(sums) == self._sums.nbytes:
            self._at_ms = at_ms
            self._sums = np.frombuffer(sums).reshape(2, -1).copy()
