"""Counts of many rows in rings of bins, each row with a present of its own: sums over the newest bins."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Ring:
    """Bins addressed by absolute time modulo their number; sums are differences of running totals, nothing is turned.

    >>> ring = Ring(np.array([[5, 6, 7], [5, 6, 7]]), np.array([1, 2]))  # 6 is the first row's newest, 7 the second's
    >>> ring.newest(np.array([2, 2])).tolist(), ring.widest(2).tolist()
    ([11, 13], [12, 13])
    """

    def __init__(self, counts: NDArray[Any], slot: Ints) -> None:
        rows, size = counts.shape
        self.size, self.slot = size, slot
        self._totals = np.zeros((rows, size + 1), np.int32)
        np.cumsum(counts, axis=1, dtype=np.int32, out=self._totals[:, 1:])
        self._flat = self._totals.reshape(-1)
        self._start = np.arange(rows) * (size + 1)
        self._until_newest = self._flat[self._start + slot + 1]
        self._all = self._totals[:, size]

    def newest(self, width: Ints) -> NDArray[np.int32]:
        """The sum of each row's newest `width` bins: none below 1, all above the ring's size."""
        first = self.slot + 1 - np.minimum(np.maximum(width, 0), self.size)
        wrapped = np.where(first < 0, first + self.size, self.size)  # where the window starts before the ring's end
        before = self._flat[self._start + np.maximum(first, 0)]
        return self._until_newest - before + self._all - self._flat[self._start + wrapped]

    def widest(self, width: int) -> NDArray[np.int32]:
        """The largest sum of `width` consecutive bins of each row."""
        lap = np.concatenate([self._totals, self._totals[:, 1:] + self._all[:, None]], axis=1)
        sums = lap[:, width : width + self.size] - lap[:, : self.size]
        sums *= _unbroken(self.size, width)[self.slot]
        return sums.max(axis=1)


@lru_cache(maxsize=8)
def _unbroken(size: int, width: int) -> NDArray[np.int32]:
    """By newest slot and first slot: 1 if a window does not run from the newest bin on into the oldest, else 0."""
    oldest = np.arange(size)[:, None] + 1
    return ((np.arange(size) - oldest) % size + width <= size).astype(np.int32)
