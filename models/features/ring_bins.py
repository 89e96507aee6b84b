"""Sums over the newest bins of many rings; each row has its own newest bin."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_LANES: Final = 4  # 16-bit counts in a 64-bit word
_IN_EVERY_LANE: Final = np.uint64(0x0001_0001_0001_0001)
_LAST_LANE: Final = np.uint64(48)
_MOST_BYTES: Final = 256  # number of full bytes whose sum fits into 16 bits


class Ring:
    """Bins addressed by absolute time modulo their number. Sums are differences of running totals, without rotation.

    >>> ring = Ring(np.array([[5, 6, 7], [5, 6, 7]]), np.array([1, 2]))  # newest bins: 6 in row 0, 7 in row 1
    >>> ring.newest(np.array([2, 2])).tolist(), ring.widest(2).tolist()
    ([11, 13], [12, 13])
    """

    def __init__(self, counts: NDArray[Any], slot: Ints) -> None:
        rows, size = counts.shape
        self.size, self.slot = size, slot
        self._totals = _running_totals(counts)
        self._flat = self._totals.reshape(-1)
        self._start = np.arange(rows) * (size + 1)
        self._until_newest = self._flat.take(self._start + slot + 1)
        self._all = self._totals[:, size]

    def newest(self, width: Ints) -> NDArray[Any]:
        """Sum of each row's newest `width` bins; a width below 1 means none, one above the ring's size means all."""
        first = self.slot + 1 - np.minimum(np.maximum(width, 0), self.size)
        wrapped = np.where(first < 0, first + self.size, self.size)  # start of the part before the ring's end
        before = self._flat.take(self._start + np.maximum(first, 0))
        # with unsigned totals intermediate results may wrap; the final result does not
        return self._until_newest - before + self._all - self._flat.take(self._start + wrapped)

    def widest(self, width: int) -> NDArray[Any]:
        """Largest sum of `width` consecutive bins of each row."""
        totals, size = self._totals, self.size
        whole = size - width + 1  # windows that do not wrap around the ring's end
        sums = np.empty((len(totals), size), totals.dtype)
        np.subtract(totals[:, width:], totals[:, :whole], out=sums[:, :whole])
        np.add(totals[:, 1:width], self._all[:, None], out=sums[:, whole:])
        sums[:, whole:] -= totals[:, whole:size]
        sums *= _unbroken(size, width, totals.dtype)[self.slot]
        return np.maximum.reduce(sums, axis=1)


def _running_totals(counts: NDArray[Any]) -> NDArray[Any]:
    """Sums of the first 0, 1, 2 ... counts of each row: (n, size + 1).

    Bytes are summed four at a time: the product of a word and a word with 1 in every lane has, in each lane, the sum of
    the lanes up to it.
    """
    rows, size = counts.shape
    if counts.dtype != np.uint8 or size % _LANES or size > _MOST_BYTES:
        totals = np.zeros((rows, size + 1), np.int32)
        np.add.accumulate(counts, axis=1, dtype=np.int32, out=totals[:, 1:])
        return totals
    words = counts.astype("<u2").view("<u8")
    words *= _IN_EVERY_LANE
    before = words >> _LAST_LANE  # sum of each word, then of all words before it
    until = np.add.accumulate(before, axis=1)
    np.subtract(until, before, out=before)
    before *= _IN_EVERY_LANE
    words += before
    bytewise = np.zeros((rows, size + 1), np.uint16)
    bytewise[:, 1:] = words.view("<u2")
    return bytewise


@lru_cache(maxsize=8)
def _unbroken(size: int, width: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """By newest slot and first slot: 0 if a window continues from the newest bin into the oldest, else 1."""
    oldest = np.arange(size)[:, None] + 1
    return ((np.arange(size) - oldest) % size + width <= size).astype(kind)
