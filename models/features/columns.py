"""A batch of frozen profiles as arrays: what features are computed from.

Every method returns one value per row, float64, in the order of the batch, not to be written to; NaN where nothing is
known. All arithmetic is elementwise over contiguous arrays or a sum along one row, so that a row's bits do not depend
on its neighbours. What is asked in many ways (counters, parts of the profile) is computed for all of them at once: in
a small batch a call costs more than its arithmetic. A part that several rows share is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.events.taxonomy import COUNTER_INDEX
from models.features import section_values as readings
from models.features.active_days import ActiveDays
from models.features.ring_bins import Ring
from models.features.row_buffer import PLAIN, RowBuffer
from models.profile.mergeable import BIN_BYTES, CARRY, DAY_BINS, DAY_MS, HOUR_BINS, HOUR_MS
from models.profile.schema import NEVER_MS, Profile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ENGAGED: Final = "engaged"
COUNTED: Final = (
    *("automated", "session", "goal", "payment_failed", "ticket", "ticket_reopened", "error", "negative_review"),
    *("negative_mention", "message_sent", "message_opened", "referral_sent"),
)
"""Counters whose bins of days features ask for, besides `ENGAGED`; of all others only totals."""


_AT_ONCE: Final = 1_024  # counters whose bins are summed up together: some 200 KB of sums, which stay in the cache


def _asked(names: Sequence[str]) -> NDArray[np.bool_]:
    asked = np.zeros(2 * CARRY, np.bool_)
    for name in names:
        asked[[COUNTER_INDEX[name], COUNTER_INDEX[name] + CARRY]] = True
    return asked


# (engaged, by day) -> by a counter's number
_ASKED: Final = {(True, True): _asked([ENGAGED]), (True, False): _asked([ENGAGED]), (False, True): _asked(COUNTED)}


class ProfileColumns:
    """Profiles and the times (epoch ms) as of which they are looked at; no time may lie before the profile's newest.

    >>> from models.profile.schema import Profile
    >>> ProfileColumns([Profile()], [86_400_000]).count("engaged", days=7).tolist()
    [0.0]
    """

    def __init__(self, profiles: Sequence[Profile], now_ms: Sequence[int], gathered: RowBuffer | None = None) -> None:
        if gathered is None:
            gathered = RowBuffer()
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
        self._counts: dict[tuple[bool, bool], list[_Counts]] = {}
        self._sums: dict[tuple[bool, bool, int], Floats] = {}
        self._read: dict[str, Floats] = {}

    # Parts that not every profile has --------------------------------------------------------------------------------

    @cached_property
    def unknown(self) -> Floats:
        """NaN for every row, not to be written to: what is said of a part that nobody has."""
        return _fixed(np.full(self.n, np.nan))

    def part(self, name: str, which: int, missing: float = np.nan) -> Floats:
        """One of the numbers that `models.features.section_values` says of a part that not every profile has."""
        if not self._gathered.parts[name].rows:
            return self.unknown if missing != missing else np.full(self.n, missing)
        if name not in self._read:
            self._read[name] = self._numbers(name)
        if missing != missing:
            return self._read[name][which]
        known = np.full(self.n, missing)
        rows = self._gathered.parts[name].rows
        known[rows] = self._read[name][which, rows]
        return known

    def _numbers(self, name: str) -> Floats:
        """All numbers of a part, one row of the matrix each; NaN for those who have no such part."""
        some = self._gathered.parts[name]
        out = np.full((some.width, self.n), np.nan)
        out[:, some.rows] = np.array(some.numbers, np.float64).reshape(-1, some.width).T[:, some.places]
        return _fixed(out)

    def parts_at(self, name: str) -> Iterable[tuple[int, Any]]:
        """(row, part) of the rows that have it."""
        some = self._gathered.parts[name]
        return zip(some.rows, map(some.parts.__getitem__, some.places), strict=True)

    @cached_property
    def now_list(self) -> list[int]:
        """`now_ms`, for who goes through rows one by one."""
        return self.now_ms.tolist()

    @cached_property
    def recency(self) -> Floats:
        """Days since the newest engagement."""
        return self.days_since(self.engaged_ms)

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
        """Events in the bins of the last `days` days or `hours` hours, the current one included.

        Raises KeyError for what is not `COUNTED`; hours only for `ENGAGED`.
        """
        key = counter == ENGAGED, bool(days), days or hours
        if counter not in COUNTED and counter != ENGAGED:
            raise KeyError(f"{counter}: add it to COUNTED")
        if key not in self._sums:
            self._sums[key] = self._counted(*key)
        return self._sums[key][COUNTER_INDEX[counter]]

    def _counted(self, engaged: bool, by_day: bool, width: int) -> Floats:
        """The counts of counters over the newest `width` bins, one row of the matrix each."""
        sums = np.zeros((1 if engaged else len(COUNTER_INDEX), self.n))
        for counters, rows, ring in self._by(engaged, by_day):
            sums[counters, rows] = ring.newest(width - self._shift(by_day)[rows])
        return _fixed(sums)

    def peak(self, days: int) -> Floats:
        """The most engaged events in any `days` consecutive days that the bins reach back to."""
        out = np.zeros(self.n)
        for _, rows, ring in self._by(engaged=True, by_day=True):
            out[rows] = ring.widest(days)
        return out

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

    def _by(self, engaged: bool, by_day: bool) -> list[_Counts]:
        """The counts in days or hours, of engaged events, which most rows have, or of all others that are asked for.

        Those of one byte a bin stand together, and the few of two.
        """
        key = engaged, by_day
        if key in self._counts:
            return self._counts[key]
        counters, raw, owner = self._bins
        asked = np.flatnonzero(_ASKED[key][counters])
        counters, raw, owner = (
            counters[asked],
            raw[asked, slice(DAY_BINS) if by_day else slice(DAY_BINS, None)],
            owner[asked],
        )
        unit_ms, size = (DAY_MS, DAY_BINS) if by_day else (HOUR_MS, HOUR_BINS)
        newest = self._newest // unit_ms % size
        found = []
        carried = counters >= CARRY
        if carried.any():
            pair = owner * CARRY + counters % CARRY
            double = np.isin(pair, pair[carried])
            low = double & ~carried
            pairs, counts = _whole(pair[low], raw[low], pair[carried], raw[carried])
            rows = pairs // CARRY
            found.append(_Counts(pairs % CARRY, rows, Ring(counts, newest[rows])))
            counters, raw, owner = counters[~double], raw[~double], owner[~double]
        for start in range(0, len(counters), _AT_ONCE):
            end = start + _AT_ONCE
            rows = owner[start:end]
            found.append(_Counts(counters[start:end], rows, Ring(raw[start:end], newest[rows])))
        self._counts[key] = found
        return found

    def total(self, counter: str) -> Floats:
        """Events ever."""
        return self._totals[COUNTER_INDEX[counter]]

    @cached_property
    def _totals(self) -> Floats:
        """Of each counter, one row of the matrix."""
        gathered = self._gathered
        totals = np.zeros((len(COUNTER_INDEX), self.n))
        counters = np.frombuffer(bytes(gathered.totalled), np.uint8)
        totals[counters, np.repeat(self._rows, self._has_totals)] = np.array(gathered.totals, np.int64)
        return _fixed(totals)

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
        """The state of each row's subscription, by its place in `models.features.section_values`; 0 where none is known."""
        state = self.part("subscription", which, 0.0)
        if which in (readings.ACTIVE, readings.SINCE_MS):
            started = self._started_ms != NEVER_MS
            state[started] = 1.0 if which == readings.ACTIVE else self._started_ms[started]
        return state


class _Counts(NamedTuple):
    """Counts in bins: of which counter, of which row, and the bins."""

    counters: NDArray[Any]
    rows: Ints
    ring: Ring


def _fixed(values: Floats) -> Floats:
    """Not to be written to: several features read it."""
    values.flags.writeable = False
    return values


def _whole(
    rows: Ints, low: NDArray[np.uint8], high_rows: Ints, high: NDArray[np.uint8]
) -> tuple[Ints, NDArray[np.int32]]:
    """Counts of two bytes; of a count of 256 only the second may be there."""
    both = np.union1d(rows, high_rows)
    counts = np.zeros((len(both), low.shape[1]), np.int32)
    counts[np.searchsorted(both, rows)] = low
    counts[np.searchsorted(both, high_rows)] += 256 * high.astype(np.int32)
    return both, counts
