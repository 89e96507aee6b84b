"""Active days of many rows, as bitmaps by age: number of days and weeks, streaks, and gaps between active days."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.profile.mergeable import BITMAP_BYTES, BITMAP_DAYS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

GAP_HALF_LIFE_DAYS: Final = 90.0  # half-life of the weight of a gap
WINDOW_DAYS: Final = 128  # days that counts and streaks read: 90 days, plus room for late events as in the bins
_GAP_WEIGHT: Final = np.exp2(-np.arange(BITMAP_DAYS) / GAP_HALF_LIFE_DAYS)

_BLOCK_ROWS: Final = 512  # rows per block when computing gaps: about 100 KB of active days
_WORD: Final = np.uint64(64)
_WEEKS_A_WORD: Final = 9  # whole weeks in a 64-bit word
_FIRST_OF_WEEK: Final = np.uint64(sum(1 << 7 * week for week in range(_WEEKS_A_WORD)))


class ActiveDays:
    """Bitmaps of n rows, `BITMAP_BYTES` each: bit k is the k-th day before the row's newest day.

    The newest 128 days of a bitmap are two 64-bit words, so counts and streaks take a few operations on words.

    Args:
        bitmaps: The bytes of all rows.
        shift: Days from each row's newest day to its scoring day, at least 0.

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
        # relative to today; a shift by 64 bits or more gives 0, and so does a negative shift, which wraps to a huge one
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
        """Distinct active weeks (7-day periods back from today, at most 18)."""
        low, high = self._low_today, self._high_today
        active = np.zeros(len(low))
        for first in range(0, weeks, _WEEKS_A_WORD):
            days = low if not first else low >> np.uint64(7 * first) | high << np.uint64(64 - 7 * first)
            days = days | days >> np.uint64(1)
            days |= days >> np.uint64(2)
            days |= days >> np.uint64(3)  # the first bit of a week is now the OR of all seven
            counted = min(weeks - first, _WEEKS_A_WORD)
            days &= _FIRST_OF_WEEK & np.uint64((1 << 7 * counted) - 1)
            active += np.bitwise_count(days)
        return active

    @cached_property
    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest streak of active days (at most 128), and days since it ended (0: it continues)."""
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
        gaps = np.empty((3, len(self._bytes)))
        for start in range(0, len(self._bytes), _BLOCK_ROWS):
            gaps[:, start : start + _BLOCK_ROWS] = _gaps(self._bytes[start : start + _BLOCK_ROWS])
        count, mean, deviation = gaps
        return count, mean, deviation


def _gaps(raw: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    n, last = len(raw), np.flatnonzero(np.bitwise_or.reduce(raw, axis=0))
    used = int(last[-1]) + 1 if len(last) else 1
    at = np.flatnonzero(np.unpackbits(raw[:, :used], axis=1, bitorder="little").view(np.bool_))
    days = np.add.reduce(np.bitwise_count(raw.view(np.uint64)), axis=1, dtype=np.int64)
    count = np.maximum(days - 1, 0).astype(np.float64)
    rows = np.arange(n)
    owner = np.repeat(rows, days)
    # gap from each active day to the next newer one; a row's newest day has none and adds 0
    gap = np.empty(len(at))
    gap[1:] = at[1:] - at[:-1]
    weight = np.empty(len(at))
    at -= np.repeat(rows * (8 * used), days)
    _GAP_WEIGHT.take(at[:-1], out=weight[1:], mode="clip")
    newest = (np.add.accumulate(days) - days)[days > 0]
    gap[newest] = weight[newest] = 0.0
    # bincount adds a row's gaps in order, so a row's bits do not depend on other rows
    total = np.bincount(owner, weight, n)
    divisor = np.where(count > 0, total, 1.0)
    weight *= gap
    mean = np.bincount(owner, weight, n) / divisor
    weight *= gap
    square = np.bincount(owner, weight, n) / divisor
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    return count, np.where(count > 0, mean, np.nan), np.where(count > 1, deviation, np.nan)


def _zeros_below(low: Words, high: Words) -> Ints:
    """Number of zero bits below the lowest set bit, 128 if none is set."""
    one = np.uint64(1)
    zeros = np.bitwise_count(~low & (low - one)).astype(np.int64)
    return zeros + np.where(low == 0, np.bitwise_count(~high & (high - one)), 0)
