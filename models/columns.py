"""A batch of frozen profiles as arrays: what features are computed from.

Every method returns one value per row, float64, in the order of the batch; NaN where nothing is known. All arithmetic
is elementwise over contiguous arrays or a sum along one row, so that a row's bits do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.effects import SubscriptionState
from models.families import COUNTER_INDEX
from models.primitives import BIN_BYTES, BITMAP_BYTES, BITMAP_DAYS, CARRY, DAY_BINS, DAY_MS, HOUR_BINS, HOUR_MS
from models.profile import NEVER_MS, Profile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP_HALF_LIFE_DAYS: Final = 90.0  # older gaps between active days count less


class Columns:
    """Profiles and the times (epoch ms) as of which they are looked at; no time may lie before the profile's newest.

    >>> from models.profile import Profile
    >>> Columns([Profile()], [86_400_000]).count("engaged", days=7).tolist()
    [0.0]
    """

    def __init__(self, profiles: Sequence[Profile], now_ms: Sequence[int]) -> None:
        self.profiles = profiles
        self.n = len(profiles)
        self.now_ms: Ints = np.array(now_ms, dtype=np.int64)
        newest = np.fromiter((p.newest_ms for p in profiles), np.int64, self.n)
        self.now_ms = np.maximum(self.now_ms, newest)
        self._day_shift: Ints = self.now_ms // DAY_MS - newest // DAY_MS
        self._hour_shift: Ints = self.now_ms // HOUR_MS - newest // HOUR_MS
        self._newest = newest
        self._rows = np.arange(self.n)
        self._counts: dict[str, tuple[Floats, Floats]] = {}

    # Plain values --------------------------------------------------------------------------------------------------

    def value(self, read: Callable[[Profile], Any]) -> Floats:
        """One number per profile; None becomes NaN."""
        return np.array([read(p) for p in self.profiles], dtype=np.float64)

    def part(self, part: str, read: Callable[[Any], Any]) -> Floats:
        """One number per profile from a part that not every profile has; NaN where it is absent."""
        nan = np.nan
        return np.array([nan if (x := getattr(p, part)) is None else read(x) for p in self.profiles], dtype=np.float64)

    def days_since(self, at_ms: Floats) -> Floats:
        """Days from a time to now; NaN for "never" (0, negative or NEVER_MS), never negative."""
        known = (at_ms > 0) & (at_ms < NEVER_MS / 2)
        return np.where(known, np.maximum(self.now_ms - np.where(known, at_ms, 0.0), 0.0) / DAY_MS, np.nan)

    def days_until(self, at_ms: Floats) -> Floats:
        """Days from now to a time, negative if it has passed; NaN where there is none."""
        return (at_ms - self.now_ms) / DAY_MS

    # Counts in bins ------------------------------------------------------------------------------------------------

    def count(self, counter: str, days: int = 0, hours: int = 0) -> Floats:
        """Events in the bins of the last `days` days or `hours` hours, the current one included."""
        by_day, by_hour = self._bins(counter)
        if days:
            return by_day[self._rows, np.clip(days - self._day_shift, 0, DAY_BINS)]
        return by_hour[self._rows, np.clip(hours - self._hour_shift, 0, HOUR_BINS)]

    def total(self, counter: str) -> Floats:
        """Events ever."""
        index = COUNTER_INDEX[counter]
        return self.value(lambda p: p.totals.get(index, 0))

    def peak(self, counter: str, days: int) -> Floats:
        """The largest count in any `days` consecutive days that the bins reach back to."""
        by_day, _ = self._bins(counter)
        return np.max(by_day[:, days:] - by_day[:, :-days], axis=1, initial=0.0)

    def _bins(self, counter: str) -> tuple[Floats, Floats]:
        """Cumulative counts by age, (n, bins + 1) each for days and hours; column k: the newest k bins together."""
        found = self._counts.get(counter)
        if found is not None:
            return found
        index = COUNTER_INDEX[counter]
        days, hours = np.zeros((self.n, DAY_BINS + 1)), np.zeros((self.n, HOUR_BINS + 1))
        for key, weight in ((index, 1.0), (index + CARRY, 256.0)):
            rows = [i for i, p in enumerate(self.profiles) if key in p.bins]
            if not rows:
                continue
            raw = np.frombuffer(b"".join([self.profiles[i].bins[key] for i in rows]), np.uint8)
            raw = raw.reshape(len(rows), BIN_BYTES)
            newest = self._newest[rows]
            for into, base, size, unit in ((days, 0, DAY_BINS, DAY_MS), (hours, DAY_BINS, HOUR_BINS, HOUR_MS)):
                slots = ((newest // unit)[:, None] - np.arange(size)) % size + base
                into[rows, 1:] += weight * np.take_along_axis(raw, slots, axis=1)
        found = np.cumsum(days, axis=1), np.cumsum(hours, axis=1)
        self._counts[counter] = found
        return found

    # Active days and rhythm ----------------------------------------------------------------------------------------

    @cached_property
    def _active(self) -> NDArray[np.uint8]:
        """Active days by age before the profile's newest day, (n, 512) of 0 and 1."""
        raw = np.frombuffer(b"".join([p.days for p in self.profiles]), np.uint8)
        return np.unpackbits(raw.reshape(self.n, BITMAP_BYTES), axis=1, bitorder="little")

    @cached_property
    def _active_cumulative(self) -> Ints:
        total = np.zeros((self.n, BITMAP_DAYS + 1), np.int64)
        np.cumsum(self._active, axis=1, out=total[:, 1:])
        return total

    def active_days(self, days: int) -> Floats:
        """Distinct days with engagement among the last `days`, today included."""
        ends = np.clip(days - self._day_shift, 0, BITMAP_DAYS)
        return self._active_cumulative[self._rows, ends].astype(np.float64)

    def active_weeks(self, weeks: int) -> Floats:
        """Distinct weeks (of 7 days back from today) with engagement."""
        found = np.zeros(self.n)
        for week in range(weeks):
            later = self._active_cumulative[self._rows, np.clip(7 * (week + 1) - self._day_shift, 0, BITMAP_DAYS)]
            sooner = self._active_cumulative[self._rows, np.clip(7 * week - self._day_shift, 0, BITMAP_DAYS)]
            found += later > sooner
        return found

    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest run of active days, and of the days since it ended (0: it still runs)."""
        idle = self._active == 0
        first = np.argmin(idle, axis=1)  # age of the newest active day
        none = idle.all(axis=1)
        after = np.where(np.arange(BITMAP_DAYS) < first[:, None], False, idle)
        ended = np.where(after.any(axis=1), np.argmax(after, axis=1), BITMAP_DAYS)
        length = np.where(none, 0, ended - first).astype(np.float64)
        since = (first + self._day_shift).astype(np.float64)
        return length, np.where(none, np.nan, np.maximum(since - 1, 0.0))

    @cached_property
    def gaps(self) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation (days) of the gaps between active days; newer gaps weigh more."""
        row, age = np.nonzero(self._active)
        same = row[1:] == row[:-1]
        at, gap = row[:-1][same], (age[1:] - age[:-1])[same].astype(np.float64)
        weight = np.exp2(-age[:-1][same] / GAP_HALF_LIFE_DAYS)
        # bincount adds in the order of a row's own gaps, whatever stands before it
        count = np.bincount(at, minlength=self.n).astype(np.float64)
        total = np.bincount(at, weight, self.n)
        some = count > 0
        divisor = np.where(some, total, 1.0)
        mean = np.bincount(at, weight * gap, self.n) / divisor
        square = np.bincount(at, weight * gap * gap, self.n) / divisor
        deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
        return count, np.where(some, mean, np.nan), np.where(count > 1, deviation, np.nan)

    @cached_property
    def order_days(self) -> Floats:
        """Distinct days with an order, ever; NaN before the first (a refund alone is none)."""
        return self.part(
            "commerce",
            lambda c: int.from_bytes(c.days, "little").bit_count() + c.older_days if c.orders else np.nan,
        )

    def used_features(self, from_days: int, to_days: int) -> Floats:
        """Distinct product features last used at least `from_days` and less than `to_days` days ago."""
        lengths = np.fromiter((len(p.used) for p in self.profiles), np.int64, self.n)
        last = np.fromiter((day for p in self.profiles for day in p.used.values()), np.int64, int(lengths.sum()))
        row = np.repeat(self._rows, lengths)
        age = (self.now_ms // DAY_MS)[row] - last
        chosen = (age >= from_days) & (age < to_days)
        return np.bincount(row[chosen], minlength=self.n).astype(np.float64)

    @cached_property
    def subscriptions(self) -> list[SubscriptionState]:
        """The state of each row's subscription."""
        return [SubscriptionState(p.subscription) for p in self.profiles]

    def tag_count(self, days: int) -> Floats:
        """Barrier tags heard in the last `days` days."""
        floor = self.now_ms - days * DAY_MS
        return np.array(
            [
                0.0 if p.voice is None else sum(stamp[0] > floor[i] for stamp in p.voice.tags)
                for i, p in enumerate(self.profiles)
            ]
        )
