"""A batch of frozen profiles as arrays: what features are computed from.

Every method returns one value per row, float64, in the order of the batch; NaN where nothing is known. All arithmetic
is elementwise over contiguous arrays or a sum along one row, so that a row's bits do not depend on its neighbours.
What few customers have (a counter, a part of the profile) is read for those rows only, and a part that several rows
share is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import readings
from models.days import ActiveDays
from models.families import COUNTER_INDEX
from models.gathered import PLAIN, Gathered
from models.primitives import BIN_BYTES, CARRY, DAY_BINS, DAY_MS, HOUR_BINS, HOUR_MS
from models.profile import NEVER_MS, Profile
from models.ring import Ring

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
        plain = np.frombuffer(gathered.plain, np.int64).reshape(self.n, PLAIN).T.copy()
        now, newest = plain[:2]
        self.engaged_ms, self.first_ms, self.first_engaged_ms = plain[2:5].astype(np.float64)
        self._started_ms, self._has_bins, self._has_totals, self._has_used = plain[5:]
        self.now_ms: Ints = np.maximum(now, newest)
        self._today: Ints = self.now_ms // DAY_MS
        self._day_shift: Ints = self._today - newest // DAY_MS
        self._newest = newest
        self._rows = np.arange(self.n)
        self._rings: dict[tuple[str, bool], tuple[Ints, Ring] | None] = {}
        self._read: dict[str, tuple[Ints, Floats]] = {}

    # Parts that not every profile has --------------------------------------------------------------------------------

    @cached_property
    def unknown(self) -> Floats:
        """NaN for every row, not to be written to: what is said of a part that nobody has."""
        nothing = np.full(self.n, np.nan)
        nothing.flags.writeable = False
        return nothing

    def part(self, name: str, which: int, missing: float = np.nan) -> Floats:
        """One of the numbers that `models.readings` says of a part that not every profile has."""
        some = self._gathered.parts[name]
        if not some.rows:
            return self.unknown if missing != missing else np.full(self.n, missing)
        rows, numbers = self._numbers(name)
        return self._spread(rows, numbers[which], missing)

    def _numbers(self, name: str) -> tuple[Ints, Floats]:
        """The rows that have a part, and all of its numbers for each: (width, rows)."""
        if name not in self._read:
            some = self._gathered.parts[name]
            numbers = np.array(some.numbers, np.float64).reshape(-1, some.width).T
            self._read[name] = np.array(some.rows, np.int64), numbers[:, some.places]
        return self._read[name]

    def parts_at(self, name: str) -> Iterable[tuple[int, Any]]:
        """(row, part) of the rows that have it."""
        some = self._gathered.parts[name]
        return zip(some.rows, map(some.parts.__getitem__, some.places), strict=True)

    def _spread(self, rows: Any, values: Any, missing: float = np.nan) -> Floats:
        out = np.full(self.n, missing)
        out[rows] = values
        return out

    def days_since(self, at_ms: Floats) -> Floats:
        """Days from a time to now; NaN for "never" (0, negative or NEVER_MS), never negative."""
        if at_ms is self.unknown:
            return at_ms
        known = (at_ms > 0) & (at_ms < NEVER_MS / 2)
        return np.where(known, np.maximum(self.now_ms - np.where(known, at_ms, 0.0), 0.0) / DAY_MS, np.nan)

    def days_until(self, at_ms: Floats) -> Floats:
        """Days from now to a time, negative if it has passed; NaN where there is none."""
        return at_ms if at_ms is self.unknown else (at_ms - self.now_ms) / DAY_MS

    # Counts --------------------------------------------------------------------------------------------------------

    def count(self, counter: str, days: int = 0, hours: int = 0) -> Floats:
        """Events in the bins of the last `days` days or `hours` hours, the current one included."""
        found = self._ring(counter, by_day=bool(days))
        if found is None:
            return np.zeros(self.n)
        rows, ring = found
        return self._spread(rows, ring.newest((days or hours) - self._shift(bool(days))[rows]), 0.0)

    def peak(self, counter: str, days: int) -> Floats:
        """The largest count in any `days` consecutive days that the bins reach back to."""
        found = self._ring(counter, by_day=True)
        if found is None:
            return np.zeros(self.n)
        rows, ring = found
        return self._spread(rows, ring.widest(days), 0.0)

    @cached_property
    def _hour_shift(self) -> Ints:
        return self.now_ms // HOUR_MS - self._newest // HOUR_MS

    def _shift(self, by_day: bool) -> Ints:
        return self._day_shift if by_day else self._hour_shift

    @cached_property
    def _bins(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Ints]:
        """Of each row's counters one after the other: which, the bins, and whose."""
        gathered = self._gathered
        raw = np.frombuffer(gathered.bins, np.uint8).reshape(-1, BIN_BYTES)
        return np.frombuffer(bytes(gathered.counters), np.uint8), raw, np.repeat(self._rows, self._has_bins)

    def _ring(self, counter: str, *, by_day: bool) -> tuple[Ints, Ring] | None:
        """The rows that ever counted, and their counts in days or hours."""
        key = counter, by_day
        if key in self._rings:
            return self._rings[key]
        counters, raw, owner = self._bins
        index = COUNTER_INDEX[counter]
        places, carried = np.flatnonzero(counters == index), np.flatnonzero(counters == index + CARRY)
        found = None
        if len(places) or len(carried):
            which = slice(DAY_BINS) if by_day else slice(DAY_BINS, None)
            rows = owner[places]
            counts: NDArray[Any] = raw[places, which]
            if len(carried):
                rows, counts = _whole(rows, counts, owner[carried], raw[carried, which])
            unit_ms, size = (DAY_MS, DAY_BINS) if by_day else (HOUR_MS, HOUR_BINS)
            found = rows, Ring(counts, self._newest[rows] // unit_ms % size)
        self._rings[key] = found
        return found

    def total(self, counter: str) -> Floats:
        """Events ever."""
        counters, values, owner = self._totals
        places = np.flatnonzero(counters == COUNTER_INDEX[counter])
        return self._spread(owner[places], values[places], 0.0)

    @cached_property
    def _totals(self) -> tuple[NDArray[np.uint8], Ints, Ints]:
        gathered = self._gathered
        counters, values = np.frombuffer(bytes(gathered.totalled), np.uint8), np.array(gathered.totals, np.int64)
        return counters, values, np.repeat(self._rows, self._has_totals)

    # Active days and rhythm ----------------------------------------------------------------------------------------

    @cached_property
    def _active(self) -> ActiveDays:
        return ActiveDays(self._gathered.days, self._day_shift)

    def active_days(self, days: int) -> Floats:
        """Distinct days with engagement among the last `days` (at most 128), today included."""
        return self._active.count(days)

    def active_weeks(self, weeks: int) -> Floats:
        """Distinct weeks (of 7 days back from today, at most 18) with engagement."""
        return self._active.weeks(weeks)

    @property
    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest run of active days (at most 128), and of the days since it ended (0: it still runs)."""
        return self._active.streak

    @property
    def gaps(self) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation (days) of the gaps between active days; newer gaps weigh more."""
        return self._active.gaps

    @property
    def order_days(self) -> Floats:
        """Distinct days with an order, ever; NaN before the first (a refund alone is none)."""
        return self.part("commerce", readings.ORDER_DAYS)

    @cached_property
    def _used(self) -> tuple[Ints, Ints, Ints]:
        """Age in days of each product feature's last use, and where each row's begin and end."""
        last = np.array(self._gathered.used, np.int64)
        ends = np.add.accumulate(self._has_used)
        return np.repeat(self._today, self._has_used) - last, ends - self._has_used, ends

    def used_features(self, from_days: int, to_days: int) -> Floats:
        """Distinct product features last used at least `from_days` and less than `to_days` days ago."""
        age, starts, ends = self._used
        until = np.zeros(len(age) + 1, np.int64)
        np.add.accumulate((age >= from_days) & (age < to_days), dtype=np.int64, out=until[1:])
        return (until[ends] - until[starts]).astype(np.float64)

    def subscription(self, which: int) -> Floats:
        """The state of each row's subscription, by its place in `models.readings`; 0 where none is known."""
        state = self.part("subscription", which, 0.0)
        if which in (readings.ACTIVE, readings.SINCE_MS):
            started = self._started_ms != NEVER_MS
            state[started] = 1.0 if which == readings.ACTIVE else self._started_ms[started]
        return state


def _whole(
    rows: Ints, low: NDArray[np.uint8], high_rows: Ints, high: NDArray[np.uint8]
) -> tuple[Ints, NDArray[np.int32]]:
    """Counts of two bytes; of a count of 256 only the second may be there."""
    both = np.union1d(rows, high_rows)
    counts = np.zeros((len(both), low.shape[1]), np.int32)
    counts[np.searchsorted(both, rows)] = low
    counts[np.searchsorted(both, high_rows)] += 256 * high.astype(np.int32)
    return both, counts
