"""A batch of frozen profiles as arrays: what features are computed from.

Every method returns one value per row, float64, in the order of the batch; NaN where nothing is known. All arithmetic
is elementwise over contiguous arrays or a sum along one row, so that a row's bits do not depend on its neighbours.
What few customers have (a counter, a part of the profile) is read for those rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.effects import SubscriptionState
from models.families import COUNTER_INDEX, COUNTERS
from models.gathered import Gathered
from models.primitives import BIN_BYTES, BITMAP_DAYS, CARRY, DAY_BINS, DAY_MS, HOUR_BINS, HOUR_MS
from models.profile import NEVER_MS, Profile, Subscription
from models.ring import Ring

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAP_HALF_LIFE_DAYS: Final = 90.0  # older gaps between active days count less
WINDOW_DAYS: Final = 128  # of the bitmap, for counts of active days: 90 days and as much lateness as bins have
_GAP_WEIGHT: Final = np.exp2(-np.arange(BITMAP_DAYS) / GAP_HALF_LIFE_DAYS)


class Columns:
    """Profiles and the times (epoch ms) as of which they are looked at; no time may lie before the profile's newest.

    >>> from models.profile import Profile
    >>> Columns([Profile()], [86_400_000]).count("engaged", days=7).tolist()
    [0.0]
    """

    def __init__(self, profiles: Sequence[Profile], now_ms: Sequence[int], gathered: Gathered | None = None) -> None:
        if gathered is None:
            gathered = Gathered()
            for profile, now in zip(profiles, now_ms, strict=True):
                gathered.add(profile, now)
        self._gathered = gathered
        self.n = gathered.n
        plain = np.frombuffer(gathered.plain, np.int64).reshape(self.n, 6)
        newest = np.ascontiguousarray(plain[:, 1])
        self.engaged_ms, self.first_ms, self.first_engaged_ms, self.older_days = (
            plain[:, k].astype(np.float64) for k in range(2, 6)
        )
        self.now_ms: Ints = np.maximum(plain[:, 0], newest)
        self._day_shift: Ints = self.now_ms // DAY_MS - newest // DAY_MS
        self._hour_shift: Ints = self.now_ms // HOUR_MS - newest // HOUR_MS
        self._newest = newest
        self._rows = np.arange(self.n)
        self._counts: dict[str, _Counts | None] = {}

    # Parts that not every profile has --------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> dict[str, tuple[Ints, list[Any]]]:
        """For each part of a profile, the rows that have it, and the parts."""
        return {name: (np.array(rows, dtype=np.int64), some) for name, (rows, some) in self._gathered.parts.items()}

    def part(self, name: str, read: Callable[[Any], Any]) -> Floats:
        """One number per profile from a part that not every profile has; NaN where it is absent."""
        rows, parts = self._parts[name]
        return self._spread(rows, [read(part) for part in parts])

    def stamped(self, name: str, field: str) -> Floats:
        """The value of a (time, id, value) entry of a part; NaN where there is none."""
        rows, parts = self._parts[name]
        nan = np.nan
        return self._spread(rows, [nan if (x := getattr(part, field)) is None else x[2] for part in parts])

    def parts_at(self, name: str) -> Iterable[tuple[int, Any]]:
        """(row, part) of the rows that have it."""
        rows, parts = self._parts[name]
        return zip(rows.tolist(), parts, strict=True)

    def _spread(self, rows: Ints, values: Any, missing: float = np.nan) -> Floats:
        out = np.full(self.n, missing)
        out[rows] = values
        return out

    def days_since(self, at_ms: Floats) -> Floats:
        """Days from a time to now; NaN for "never" (0, negative or NEVER_MS), never negative."""
        known = (at_ms > 0) & (at_ms < NEVER_MS / 2)
        return np.where(known, np.maximum(self.now_ms - np.where(known, at_ms, 0.0), 0.0) / DAY_MS, np.nan)

    def days_until(self, at_ms: Floats) -> Floats:
        """Days from now to a time, negative if it has passed; NaN where there is none."""
        return (at_ms - self.now_ms) / DAY_MS

    # Counts --------------------------------------------------------------------------------------------------------

    def count(self, counter: str, days: int = 0, hours: int = 0) -> Floats:
        """Events in the bins of the last `days` days or `hours` hours, the current one included."""
        counts = self._bins(counter)
        if counts is None:
            return np.zeros(self.n)
        rows, by_day, by_hour = counts
        if days:
            return self._spread(rows, by_day.newest(days - self._day_shift[rows]), 0.0)
        return self._spread(rows, by_hour.newest(hours - self._hour_shift[rows]), 0.0)

    def total(self, counter: str) -> Floats:
        """Events ever."""
        return self._totals[COUNTER_INDEX[counter]]

    @cached_property
    def _totals(self) -> Floats:
        lengths, keys, values = self._gathered.totals
        out = np.zeros((len(COUNTERS), self.n))
        out[keys, np.repeat(self._rows, lengths)] = values
        return out

    def peak(self, counter: str, days: int) -> Floats:
        """The largest count in any `days` consecutive days that the bins reach back to."""
        counts = self._bins(counter)
        if counts is None:
            return np.zeros(self.n)
        rows, by_day, _ = counts
        return self._spread(rows, by_day.widest(days), 0.0)

    def _bins(self, counter: str) -> _Counts | None:
        """The rows that ever counted, and their counts in days and hours."""
        if counter in self._counts:
            return self._counts[counter]
        index = COUNTER_INDEX[counter]
        found = None
        bins = self._gathered.bins
        if index in bins:
            rows, raw = _raw(bins[index])
            counts: Any = raw
            if index + CARRY in bins:
                carried, high = _raw(bins[index + CARRY])
                counts = raw.astype(np.int32)
                counts[np.searchsorted(rows, carried)] += 256 * high.astype(np.int32)
            newest = self._newest[rows]
            found = (
                rows,
                Ring(counts[:, :DAY_BINS], newest // DAY_MS % DAY_BINS),
                Ring(counts[:, DAY_BINS:], newest // HOUR_MS % HOUR_BINS),
            )
        self._counts[counter] = found
        return found

    # Active days and rhythm ----------------------------------------------------------------------------------------

    @cached_property
    def _active(self) -> NDArray[np.uint8]:
        """Active days by age before the profile's newest day, of 0 and 1: at least 128, up to the batch's oldest."""
        raw = np.frombuffer(self._gathered.days, np.uint8).reshape(self.n, BITMAP_DAYS // 8)
        last = np.flatnonzero(np.bitwise_or.reduce(raw, axis=0))
        used = max(WINDOW_DAYS // 8, int(last[-1]) + 1 if len(last) else 0)
        return np.unpackbits(raw[:, :used], axis=1, bitorder="little")

    @cached_property
    def _active_cumulative(self) -> NDArray[np.int16]:
        total = np.zeros((self.n, WINDOW_DAYS + 1), np.int16)
        np.cumsum(self._active[:, :WINDOW_DAYS], axis=1, dtype=np.int16, out=total[:, 1:])
        return total

    def active_days(self, days: int) -> Floats:
        """Distinct days with engagement among the last `days` (at most 128), today included."""
        ends = np.minimum(np.maximum(days - self._day_shift, 0), WINDOW_DAYS)
        return self._active_cumulative[self._rows, ends].astype(np.float64)

    def active_weeks(self, weeks: int) -> Floats:
        """Distinct weeks (of 7 days back from today, at most 18) with engagement."""
        edges = 7 * np.arange(weeks + 1) - self._day_shift[:, None]
        at_edges = np.take_along_axis(self._active_cumulative, np.minimum(np.maximum(edges, 0), WINDOW_DAYS), axis=1)
        return np.add.reduce(at_edges[:, 1:] > at_edges[:, :-1], axis=1).astype(np.float64)

    @cached_property
    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest run of active days (at most 128), and of the days since it ended (0: it still runs)."""
        active = self._active[:, :WINDOW_DAYS]
        first = np.argmax(active, axis=1)  # age of the newest active day
        none = active[self._rows, first] == 0
        ages = np.arange(WINDOW_DAYS)
        idle_after = (active == 0) & (ages > first[:, None])
        ended = np.argmax(idle_after, axis=1)
        ended[~idle_after[self._rows, ended]] = WINDOW_DAYS
        length = np.where(none, 0, ended - first).astype(np.float64)
        since = (first + self._day_shift).astype(np.float64)
        return length, np.where(none, np.nan, np.maximum(since - 1, 0.0))

    @cached_property
    def gaps(self) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation (days) of the gaps between active days; newer gaps weigh more."""
        at = np.flatnonzero(self._active.view(np.bool_))
        row, age = np.divmod(at, self._active.shape[1])
        same = row[1:] == row[:-1]
        gap = (at[1:] - at[:-1])[same].astype(np.float64)
        owner = row[1:][same]
        weight = _GAP_WEIGHT[age[:-1][same]]
        # bincount adds in the order of a row's own gaps, whatever stands before it
        count = np.bincount(owner, minlength=self.n).astype(np.float64)
        total = np.bincount(owner, weight, self.n)
        divisor = np.where(count > 0, total, 1.0)
        weight *= gap
        mean = np.bincount(owner, weight, self.n) / divisor
        weight *= gap
        square = np.bincount(owner, weight, self.n) / divisor
        deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
        return count, np.where(count > 0, mean, np.nan), np.where(count > 1, deviation, np.nan)

    @cached_property
    def order_days(self) -> Floats:
        """Distinct days with an order, ever; NaN before the first (a refund alone is none)."""
        return self.part(
            "commerce",
            lambda c: int.from_bytes(c.days, "little").bit_count() + c.older_days if c.orders else np.nan,
        )

    @cached_property
    def _used(self) -> tuple[Ints, Ints]:
        """Row and age in days of each product feature's last use."""
        lengths, values = self._gathered.used
        last = np.array(values, dtype=np.int64)
        row = np.repeat(self._rows, lengths)
        return row, (self.now_ms // DAY_MS)[row] - last

    def used_features(self, from_days: int, to_days: int) -> Floats:
        """Distinct product features last used at least `from_days` and less than `to_days` days ago."""
        row, age = self._used
        return np.bincount(row[(age >= from_days) & (age < to_days)], minlength=self.n).astype(np.float64)

    @cached_property
    def subscriptions(self) -> dict[str, Floats]:
        """State of each row's subscription: active, paused, cancel_scheduled (0 or 1), since_ms (0: none runs)."""
        rows, parts = self._parts["subscription"]
        states = np.array([_subscription(part) for part in parts], dtype=np.float64).reshape(len(parts), 4)
        names = ("active", "paused", "cancel_scheduled", "since_ms")
        found = {name: self._spread(rows, states[:, k], 0.0) for k, name in enumerate(names)}
        rows_started, since = self._gathered.started
        found["active"][rows_started] = 1.0
        found["since_ms"][rows_started] = since
        return found


_Counts = tuple[Ints, Ring, Ring]  # rows that ever counted, by day and by hour


def _raw(found: tuple[list[int], bytearray]) -> tuple[Ints, NDArray[np.uint8]]:
    rows, bins = found
    return np.array(rows), np.frombuffer(bins, np.uint8).reshape(len(rows), BIN_BYTES)


def _subscription(part: Subscription) -> tuple[float, float, float, int]:
    state = SubscriptionState(part)
    return (
        float(state.active),
        float(state.paused),
        float(state.cancel_scheduled),
        state.since_ms if state.active else 0,
    )
