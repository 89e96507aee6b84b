"""Peer means: the current mean of every feature over the customers of a partition.

On a holiday all customers are less active, which is not churn; relative features subtract the peer mean. It is a
decayed mean over the training snapshots of one partition. Kafka's partitioner makes every partition a random sample of
the customers, so partitions need no coordination.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BLOCK_ROWS: Final = 256  # rows per block: intermediate results stay in the CPU cache


class PeerMeans:
    """Decayed means of d features; a missing value does not change the mean of its feature.

    >>> peers = PeerMeans(2, half_life_ms=1000)
    >>> peers.update(np.array([1.0, 5.0]), 1000)
    >>> peers.update(np.array([4.0, np.nan]), 2000)
    >>> peers.mean().tolist()
    [3.0, 5.0]
    """

    def __init__(self, size: int, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self._sums = np.zeros((2, size))  # decayed sum of the values, and decayed number of snapshots with a value
        self._at_ms = 0

    def update(self, x: Floats, at_ms: int) -> None:
        """Add the features (d,) of one snapshot, taken at `at_ms`."""
        self.levels(x[None, :], [at_ms])

    def mean(self) -> Floats:
        """Return the mean of each feature (d,), NaN for unknown."""
        return self.levels(np.zeros((1, self._sums.shape[1])), [None])[0]

    def levels(self, x: Floats, at_ms: Sequence[int | None]) -> Floats:
        """Read the means for scoring points in order; each snapshot then updates them.

        Args:
            x: float64[n, d], features of the points, NaN for missing.
            at_ms: For each point its time if it is a snapshot, else None.

        Returns:
            float64[n, d]: the means before each point, NaN for unknown.
        """
        out = np.empty_like(x)
        for start in range(0, len(x), _BLOCK_ROWS):
            end = start + _BLOCK_ROWS
            self._read(x[start:end], at_ms[start:end], out[start:end])
        return out

    def _read(self, x: Floats, at_ms: Sequence[int | None], out: Floats) -> None:
        snapshots = np.array([i for i, at in enumerate(at_ms) if at is not None], np.intp)
        # sums before the first snapshot and after each one: (snapshots + 1, 2, d); filled with the increments first
        sums = np.empty((len(snapshots) + 1, 2, x.shape[1]))
        sums[0] = self._sums
        taken = x.take(snapshots, axis=0)
        known = taken == taken
        sums[1:, 1] = known
        sums[1:, 0] = 0.0
        np.copyto(sums[1:, 0], taken, where=known)
        decayed, before, newest = np.empty_like(self._sums), sums[0], self._at_ms
        add, multiply, exp2, half_life_ms = np.add, np.multiply, math.exp2, self.half_life_ms
        for i, after in zip(snapshots.tolist(), sums[1:], strict=True):
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
            means = sums[:, 0] / sums[:, 1]
        is_snapshot = np.zeros(len(x), np.intp)
        is_snapshot[snapshots] = 1
        means.take(np.add.accumulate(is_snapshot) - is_snapshot, axis=0, out=out, mode="clip")

    def state(self) -> list[Any]:
        """Return the state for `restore`, exact to the bit."""
        return [self._at_ms, self._sums.tobytes()]

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned. A state of another size is ignored."""
        at_ms, sums = state
        if len(sums) == self._sums.nbytes:
            self._at_ms = at_ms
            self._sums = np.frombuffer(sums).reshape(2, -1).copy()
