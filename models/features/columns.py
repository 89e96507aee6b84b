"""A batch of profiles as arrays, from which features are computed.

Every method returns one float64 value per row, in the order of the batch, as a read-only array; NaN for unknown. All
arithmetic is elementwise over contiguous arrays or a sum along one row, so that a row's bits do not depend on other
rows. Counters and sections are read for all features at once: in a small batch a call costs more than its arithmetic. A
section that several rows share is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.events.taxonomy import COUNTER_INDEX
from models.features import section_values
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
"""Counters with day bins that features read, besides `ENGAGED`. Of other counters features read only totals."""


_BLOCK_COUNTERS: Final = 1_024  # counters summed together: about 200 KB of sums, which stay in the CPU cache


def _mask(names: Sequence[str]) -> NDArray[np.bool_]:
    mask = np.zeros(2 * CARRY, np.bool_)
    for name in names:
        mask[[COUNTER_INDEX[name], COUNTER_INDEX[name] + CARRY]] = True
    return mask


# (engaged, by day) -> mask by counter number
_MASKS: Final = {(True, True): _mask([ENGAGED]), (True, False): _mask([ENGAGED]), (False, True): _mask(COUNTED)}


class ProfileColumns:
    """Profiles and their scoring times (epoch ms). A time before a profile's newest event is replaced by that time.

    >>> from models.profile.schema import Profile
    >>> ProfileColumns([Profile()], [86_400_000]).count("engaged", days=7).tolist()
    [0.0]
    """

    def __init__(self, profiles: Sequence[Profile], now_ms: Sequence[int], buffer: RowBuffer | None = None) -> None:
        if buffer is None:
            buffer = RowBuffer()
            for profile, now in zip(profiles, now_ms, strict=True):
                buffer.add(profile, now)
        self._buffer = buffer
        self.n = buffer.n
        plain = np.frombuffer(buffer.plain, np.int64).reshape(self.n, PLAIN).T.copy()
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
        self._values: dict[str, Floats] = {}

    # Sections ----------------------------------------------------------------------------------------------------

    @cached_property
    def unknown(self) -> Floats:
        """NaN for every row, read-only: any value of a section that no row has."""
        return _read_only(np.full(self.n, np.nan))

    def section_value(self, name: str, index: int, missing: float = np.nan) -> Floats:
        """One value of a section, by its index in `models.features.section_values`; `missing` without the section."""
        if not self._buffer.sections[name].rows:
            return self.unknown if missing != missing else np.full(self.n, missing)
        if name not in self._values:
            self._values[name] = self._section_values(name)
        if missing != missing:
            return self._values[name][index]
        known = np.full(self.n, missing)
        rows = self._buffer.sections[name].rows
        known[rows] = self._values[name][index, rows]
        return known

    def _section_values(self, name: str) -> Floats:
        """All values of a section, one row of the matrix each; NaN for profiles without the section."""
        column = self._buffer.sections[name]
        out = np.full((column.width, self.n), np.nan)
        out[:, column.rows] = np.array(column.values, np.float64).reshape(-1, column.width).T[:, column.indexes]
        return _read_only(out)

    def sections(self, name: str) -> Iterable[tuple[int, Any]]:
        """(row, section) of the rows that have the section."""
        column = self._buffer.sections[name]
        return zip(column.rows, map(column.sections.__getitem__, column.indexes), strict=True)

    @cached_property
    def now_list(self) -> list[int]:
        """`now_ms` as a list, for loops over rows."""
        return self.now_ms.tolist()

    @cached_property
    def recency(self) -> Floats:
        """Days since the newest engagement."""
        return self.days_since(self.engaged_ms)

    def days_since(self, at_ms: Floats) -> Floats:
        """Days from a time to the scoring time, never negative; NaN for "never" (0, negative or NEVER_MS)."""
        if at_ms is self.unknown:
            return at_ms
        known = (at_ms > 0) & (at_ms < NEVER_MS / 2)
        return np.where(known, np.maximum(self.now_ms - np.where(known, at_ms, 0.0), 0.0) / DAY_MS, np.nan)

    def days_until(self, at_ms: Floats) -> Floats:
        """Days from the scoring time to a time, negative if it has passed; NaN for unknown."""
        return at_ms if at_ms is self.unknown else (at_ms - self.now_ms) / DAY_MS

    # Counts --------------------------------------------------------------------------------------------------------

    def count(self, counter: str, days: int = 0, hours: int = 0) -> Floats:
        """Events in the bins of the last `days` days or `hours` hours, the current one included.

        Raises KeyError for a counter that is not in `COUNTED`. Hours are available for `ENGAGED` only.
        """
        key = counter == ENGAGED, bool(days), days or hours
        if counter not in COUNTED and counter != ENGAGED:
            raise KeyError(f"{counter}: add it to COUNTED")
        if key not in self._sums:
            self._sums[key] = self._counted(*key)
        return self._sums[key][COUNTER_INDEX[counter]]

    def _counted(self, engaged: bool, by_day: bool, width: int) -> Floats:
        """Counts over the newest `width` bins, one row of the matrix per counter."""
        sums = np.zeros((1 if engaged else len(COUNTER_INDEX), self.n))
        for counters, rows, ring in self._binned(engaged, by_day):
            sums[counters, rows] = ring.newest(width - self._shift(by_day)[rows])
        return _read_only(sums)

    def peak(self, days: int) -> Floats:
        """Largest number of engaged events in any `days` consecutive days within the bins."""
        out = np.zeros(self.n)
        for _, rows, ring in self._binned(engaged=True, by_day=True):
            out[rows] = ring.widest(days)
        return out

    @cached_property
    def _hour_shift(self) -> Ints:
        return self.now_ms // HOUR_MS - self._newest // HOUR_MS

    def _shift(self, by_day: bool) -> Ints:
        return self._day_shift if by_day else self._hour_shift

    @cached_property
    def _bins(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Ints]:
        """Counter number, bins and row of all counters with bins."""
        buffer = self._buffer
        raw = np.frombuffer(buffer.bins, np.uint8).reshape(-1, BIN_BYTES)
        return np.frombuffer(bytes(buffer.counters), np.uint8), raw, np.repeat(self._rows, self._has_bins)

    def _binned(self, engaged: bool, by_day: bool) -> list[_Counts]:
        """Day or hour bins of the engaged counter, which most rows have, or of all counters in `COUNTED`.

        Counters with one byte per bin are grouped, and so are the few with two.
        """
        key = engaged, by_day
        if key in self._counts:
            return self._counts[key]
        counters, raw, owner = self._bins
        selected = np.flatnonzero(_MASKS[key][counters])
        counters, raw, owner = (
            counters[selected],
            raw[selected, slice(DAY_BINS) if by_day else slice(DAY_BINS, None)],
            owner[selected],
        )
        unit_ms, size = (DAY_MS, DAY_BINS) if by_day else (HOUR_MS, HOUR_BINS)
        newest = self._newest // unit_ms % size
        counts = []
        carried = counters >= CARRY
        if carried.any():
            pair = owner * CARRY + counters % CARRY
            double = np.isin(pair, pair[carried])
            low = double & ~carried
            pairs, two_byte_counts = _combine_bytes(pair[low], raw[low], pair[carried], raw[carried])
            rows = pairs // CARRY
            counts.append(_Counts(pairs % CARRY, rows, Ring(two_byte_counts, newest[rows])))
            counters, raw, owner = counters[~double], raw[~double], owner[~double]
        for start in range(0, len(counters), _BLOCK_COUNTERS):
            end = start + _BLOCK_COUNTERS
            rows = owner[start:end]
            counts.append(_Counts(counters[start:end], rows, Ring(raw[start:end], newest[rows])))
        self._counts[key] = counts
        return counts

    def total(self, counter: str) -> Floats:
        """All-time number of events."""
        return self._totals[COUNTER_INDEX[counter]]

    @cached_property
    def _totals(self) -> Floats:
        """All-time counts, one row of the matrix per counter."""
        buffer = self._buffer
        totals = np.zeros((len(COUNTER_INDEX), self.n))
        counters = np.frombuffer(bytes(buffer.totalled), np.uint8)
        totals[counters, np.repeat(self._rows, self._has_totals)] = np.array(buffer.totals, np.int64)
        return _read_only(totals)

    # Active days and rhythm ----------------------------------------------------------------------------------------

    @cached_property
    def _active(self) -> ActiveDays:
        return ActiveDays(self._buffer.days, self._day_shift)

    def active_days(self, days: int) -> Floats:
        """Distinct days with engagement among the last `days` (at most 128), today included."""
        return self._active.count(days)

    def active_weeks(self, weeks: int) -> Floats:
        """Distinct weeks (7-day periods back from today, at most 18) with engagement."""
        return self._active.weeks(weeks)

    @property
    def streak(self) -> tuple[Floats, Floats]:
        """Length of the newest streak of active days (at most 128), and days since it ended (0: it continues)."""
        return self._active.streak

    @property
    def gaps(self) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation (days) of the gaps between active days; newer gaps weigh more."""
        return self._active.gaps

    @property
    def order_days(self) -> Floats:
        """All-time number of days with an order; NaN before the first order (a refund alone is no order)."""
        return self.section_value("commerce", section_values.ORDER_DAYS)

    @cached_property
    def _used(self) -> tuple[Ints, Ints, Ints]:
        """Age in days of each product feature's last use, and the start and end of each row's features."""
        last = np.array(self._buffer.used, np.int64)
        ends = np.add.accumulate(self._has_used)
        return np.repeat(self._today, self._has_used) - last, ends - self._has_used, ends

    def used_features(self, from_days: int, to_days: int) -> Floats:
        """Distinct product features last used at least `from_days` and less than `to_days` days ago."""
        age, starts, ends = self._used
        until = np.zeros(len(age) + 1, np.int64)
        np.add.accumulate((age >= from_days) & (age < to_days), dtype=np.int64, out=until[1:])
        return (until[ends] - until[starts]).astype(np.float64)

    def subscription(self, index: int) -> Floats:
        """One value of the subscription, by its index in `models.features.section_values`; 0 without a subscription."""
        state = self.section_value("subscription", index, 0.0)
        if index in (section_values.ACTIVE, section_values.SINCE_MS):
            started = self._started_ms != NEVER_MS
            state[started] = 1.0 if index == section_values.ACTIVE else self._started_ms[started]
        return state


class _Counts(NamedTuple):
    """Binned counts of several counters: the number, row and bins of each."""

    counters: NDArray[Any]
    rows: Ints
    ring: Ring


def _read_only(values: Floats) -> Floats:
    """Make an array read-only, because several features share it."""
    values.flags.writeable = False
    return values


def _combine_bytes(
    rows: Ints, low: NDArray[np.uint8], high_rows: Ints, high: NDArray[np.uint8]
) -> tuple[Ints, NDArray[np.int32]]:
    """Combine low and high bytes to counts; a count of 256 may have a high byte only."""
    both = np.union1d(rows, high_rows)
    counts = np.zeros((len(both), low.shape[1]), np.int32)
    counts[np.searchsorted(both, rows)] = low
    counts[np.searchsorted(both, high_rows)] += 256 * high.astype(np.int32)
    return both, counts
