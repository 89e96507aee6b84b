"""Active days of many rows, as bits by age: how many, in how many weeks, in which runs, with which gaps."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.profile.mergeable import BITMAP_BYTES, BITMAP_DAYS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

GAP_HALF_LIFE_DAYS: Final = 90.0  # older gaps between active days count less
WINDOW_DAYS: Final = 128  # of the bitmap, for counts of active days: 90 days and as much lateness as bins have
_GAP_WEIGHT: Final = np.exp2(-np.arange(BITMAP_DAYS) / GAP_HALF_LIFE_DAYS)

_AT_ONCE: Final = 512  # rows, of which gaps are computed: some 100 KB of active days
_WORD: Final = np.uint64(64)
_WEEKS_A_WORD: Final = 9  # whole ones
_FIRST_OF_WEEK: Final = np.uint64(sum(1 << 7 * week for week in range(_WEEKS_A_WORD)))


class ActiveDays:
    """Bitmaps of n rows, `BITMAP_BYTES` each: bit k is the k-th day before the row's newest.

    A bitmap's newest 128 days are two words, and questions about those are a few operations on words.

    Args:
        bitmaps: The bytes of all rows.
        shift: Days from each row's newest to its present, at least 0.

    >>> days = ActiveDays(bytes([0b0100_0111]) + bytes(BITMAP_BYTES - 1), np.array([2]))
    >>> days.count(7).tolist(), days.weeks(2).tolist(), [x.tolist() for x in days.streak]
    ([3.0], [2.0], [[3.0], [1.0]])
    """

    def __init__(self, bitmaps: bytes | bytearray, shift: Ints) -> None:
        self._bytes = np.frombuffer(bitmaps, np.uint8).reshape(len(shift), BITMAP_BYTES)
        words = self._bytes.view("<u8")
        low, high = np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
        self._low, self._high = low, high
        self._shift = shift
        # as of today; a shift by 64 bits or more leaves nothing, and so does one by a negative number, which is huge
        by = shift.astype(np.uint64)
        self._low_today = low << by
        self._high_today = high << by | low >> (_WORD - by) | low << (by - _WORD)

    def count(self, days: int) -> Floats:
        """Distinct active days among the last `days` (at most 128), today included."""
        if days < 64:
            return np.bitwise_count(self._low_today & np.uint64((1 << days) - 1)).astype(np.float64)
        high = self._high_today & np.uint64((1 << days - 64) - 1)
        return np.bitwise_count(self._low_today).astype(np.float64) + np.bitwise_count(high)

    def weeks(self, weeks: int) -> Floats:
        """Distinct active weeks (of 7 days back from today, at most 18)."""
        low, high = self._low_today, self._high_today
        active = np.zeros(len(low))
        for first in range(0, weeks, _WEEKS_A_WORD):
            days = low if not first else low >> np.uint64(7 * first) | high << np.uint64(64 - 7 * first)
            days = days | days >> np.uint64(1)
            days |= days >> np.uint64(2)
            days |= days >> np.uint64(3)  # a week's first day now stands for all seven
            asked = min(weeks - first, _WEEKS_A_WORD)
            days &= _FIRST_OF_WEEK & np.uint64((1 << 7 * asked) - 1)
            active += np.bitwise_count(days)
        return active

    @cached_property
    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest run of active days (at most 128), and of the days since it ended (0: it still runs)."""
        low, high = self._low, self._high
        first = _zeros_below(low, high)  # age of the newest active day
        by = first.astype(np.uint64)
        run = _zeros_below(~(low >> by | high << (_WORD - by) | high >> (by - _WORD)), ~(high >> by))
        none = first == WINDOW_DAYS
        length = np.where(none, 0, run).astype(np.float64)
        since = (first + self._shift).astype(np.float64)
        return length, np.where(none, np.nan, np.maximum(since - 1, 0.0))

    @cached_property
    def gaps(self) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation (days) of the gaps between active days; newer gaps weigh more."""
        found = np.empty((3, len(self._bytes)))
        for start in range(0, len(self._bytes), _AT_ONCE):
            found[:, start : start + _AT_ONCE] = _gaps(self._bytes[start : start + _AT_ONCE])
        count, mean, deviation = found
        return count, mean, deviation


def _gaps(raw: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    n, last = len(raw), np.flatnonzero(np.bitwise_or.reduce(raw, axis=0))
    used = int(last[-1]) + 1 if len(last) else 1
    at = np.flatnonzero(np.unpackbits(raw[:, :used], axis=1, bitorder="little").view(np.bool_))
    days = np.add.reduce(np.bitwise_count(raw.view(np.uint64)), axis=1, dtype=np.int64)
    count = np.maximum(days - 1, 0).astype(np.float64)
    rows = np.arange(n)
    owner = np.repeat(rows, days)
    # from each active day but a row's newest back to the one after it; a row's newest has none, and adds 0
    gap = np.empty(len(at))
    gap[1:] = at[1:] - at[:-1]
    weight = np.empty(len(at))
    at -= np.repeat(rows * (8 * used), days)
    _GAP_WEIGHT.take(at[:-1], out=weight[1:], mode="clip")
    newest = (np.add.accumulate(days) - days)[days > 0]
    gap[newest] = weight[newest] = 0.0
    # bincount adds in the order of a row's own gaps, whatever stands before it
    total = np.bincount(owner, weight, n)
    divisor = np.where(count > 0, total, 1.0)
    weight *= gap
    mean = np.bincount(owner, weight, n) / divisor
    weight *= gap
    square = np.bincount(owner, weight, n) / divisor
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    return count, np.where(count > 0, mean, np.nan), np.where(count > 1, deviation, np.nan)


def _zeros_below(low: Words, high: Words) -> Ints:
    """The number of bits below the lowest that is set, 128 where none is."""
    one = np.uint64(1)
    zeros = np.bitwise_count(~low & (low - one)).astype(np.int64)
    return zeros + np.where(low == 0, np.bitwise_count(~high & (high - one)), 0)
