"""Order-independent primitives: time bins, day bitmaps, newest values and bounded sets.

Each is a plain value (bytearray, int, list, dict), so a profile of them encodes without conversion. The result after a
set of events does not depend on their order, as long as no event is older than the bins reach back. Values that start
with (time, rank) are ordered by both, and by their position in the log if both are equal. `merge_*` combines two halves
of a history into exactly what the whole would have given; the second half is the later one in the log.

Bins are addressed by absolute time modulo their number, so advancing time only clears the bins between two times.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeVar

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

DAY_BINS: Final = 96  # 90-day windows, plus 6 days for late events
HOUR_BINS: Final = 32  # the last 24 hours, plus 8 hours for clock skew
BIN_BYTES: Final = DAY_BINS + HOUR_BINS  # one counter: 128 bytes, one byte per bin
CARRY: Final = 128  # the row of high bytes of counter n has key n + CARRY and exists only if a bin exceeds 255
BITMAP_DAYS: Final = 512  # monthly rhythms need more than a year
BITMAP_BYTES: Final = BITMAP_DAYS // 8
_SUM_LIMIT: Final = 1 << 62  # see `models.profile.schema.SUM_LIMIT`
_BITMAP_MASK: Final = (1 << BITMAP_DAYS) - 1
_ZEROS: Final = bytes(BIN_BYTES)
_WITH_NEWEST: Final = [bytes((byte | 1,)) for byte in range(256)]

Bins = dict[int, bytearray]
T = TypeVar("T")
_TIME: Final = itemgetter(0)


# Counters in bins: 96 days and 32 hours, 16 bits each, saturating ------------------------------------------------


def bins_add(bins: Bins, counter: int, day: int, hour: int, newest_hour: int) -> None:
    """Count one event at `hour` (hours since the epoch). Bins that the event is too old for stay unchanged.

    A bin saturates at 65,535. Clipped addition of non-negative counts does not depend on order.
    """
    age_days = newest_hour // 24 - day
    if age_days >= DAY_BINS:
        return  # too old for any bin, hours included
    row = bins.get(counter)
    if row is None:
        row = _new_row(bins, counter)
    slot = day % DAY_BINS
    if row[slot] < 255:
        row[slot] += 1
    else:
        _carry(bins, row, counter, slot)
    if newest_hour - hour < HOUR_BINS:
        slot = DAY_BINS + hour % HOUR_BINS
        if row[slot] < 255:
            row[slot] += 1
        else:
            _carry(bins, row, counter, slot)


def _new_row(bins: Bins, counter: int) -> bytearray:
    """Insert an empty row. Counters are kept sorted, so that one history has one encoding."""
    row = bins[counter] = bytearray(BIN_BYTES)
    if len(bins) > 1:
        ordered = sorted(bins.items())
        bins.clear()
        bins.update(ordered)
    return row


def _carry(bins: Bins, row: bytearray, counter: int, slot: int) -> None:
    """Add one to a full low byte by carrying into the high byte, until that is full too."""
    carry = bins.get(counter + CARRY)
    if carry is None:
        carry = _new_row(bins, counter + CARRY)
    if carry[slot] < 255:
        carry[slot] += 1
        row[slot] = 0


def bins_advance(bins: Bins, old_hour: int, new_hour: int) -> None:
    """Clear the bins between two times (hours since the epoch), so that no bin counts an earlier lap of the ring."""
    old_day, new_day = old_hour // 24, new_hour // 24
    hours, days = new_hour - old_hour, new_day - old_day
    passed = _passed(DAY_BINS, HOUR_BINS, old_hour % HOUR_BINS, hours if hours < HOUR_BINS else HOUR_BINS)
    if days:
        passed += _passed(0, DAY_BINS, old_day % DAY_BINS, days if days < DAY_BINS else DAY_BINS)
    for row in bins.values():
        for bins_passed, zeros in passed:
            row[bins_passed] = zeros
    if days and _ZEROS in bins.values():
        for counter in [counter for counter, row in bins.items() if row == _ZEROS]:
            del bins[counter]  # a counter with only empty bins is not stored


@lru_cache(maxsize=DAY_BINS * DAY_BINS)
def _passed(base: int, size: int, slot: int, passed: int) -> tuple[tuple[slice, bytes], ...]:
    """Return the slices of the `passed` bins after a slot, each with the zeros to write to it."""
    if passed >= size:
        return ((slice(base, base + size), _ZEROS[:size]),)
    if passed <= 0:
        return ()
    first = (slot + 1) % size
    over = first + passed - size
    if over <= 0:
        return ((slice(base + first, base + first + passed), _ZEROS[:passed]),)
    return (slice(base + first, base + size), _ZEROS[: size - first]), (slice(base, base + over), _ZEROS[:over])


def bins_merge(a: Bins, a_hour: int, b: Bins, b_hour: int) -> Bins:
    """Add the counts of both histories, relative to the later of the two newest hours."""
    newest_hour = max(a_hour, b_hour)
    halves = []
    for bins, hour in ((a, a_hour), (b, b_hour)):
        copy = {counter: bytearray(row) for counter, row in bins.items()}
        bins_advance(copy, hour, newest_hour)
        halves.append(copy)
    merged, other = halves
    for counter in sorted({key % CARRY for key in other}):  # a count of 256 may have a high byte only
        row, high = other.get(counter, _ZEROS), other.get(counter + CARRY)
        merged_low = merged.setdefault(counter, bytearray(BIN_BYTES))
        for slot in range(BIN_BYTES):
            addition = row[slot] + (high[slot] << 8 if high else 0)
            if not addition:
                continue
            merged_high = merged.get(counter + CARRY)
            total = min(merged_low[slot] + (merged_high[slot] << 8 if merged_high else 0) + addition, 65_535)
            merged_low[slot] = total & 255
            if total > 255:
                merged.setdefault(counter + CARRY, bytearray(BIN_BYTES))[slot] = total >> 8
            elif merged_high:
                merged_high[slot] = 0
    return bins_canonical(merged)


def bins_canonical(bins: Bins) -> Bins:
    """Drop counters with only empty bins and sort the rest, so that one history has one encoding.

    A row of zero low bytes stays while its row of high bytes exists (a count of 256): high bytes never stand alone.
    """
    if len(bins) < 2 and _ZEROS not in bins.values():
        return bins
    full = {counter for counter, row in bins.items() if row != _ZEROS}
    return {counter: bins[counter] for counter in sorted(bins) if counter in full or counter + CARRY in full}


# Active days: 512 days as bits; bit k is the k-th day before the newest day --------------------------------------


def days_add(bits: bytes, age_days: int) -> bytes:
    """Mark the day `age_days` before the newest day. A day beyond the bitmap is not marked."""
    if age_days >= BITMAP_DAYS:
        return bits
    return (int.from_bytes(bits, "little") | 1 << age_days).to_bytes(BITMAP_BYTES, "little")


def days_add_newest(bits: bytes) -> bytes:
    """Mark the newest day: `days_add` with an age of 0."""
    return _WITH_NEWEST[bits[0]] + bits[1:]


def days_advance(bits: bytes, days: int) -> tuple[bytes, int]:
    """Return the bitmap `days` later, and the number of marked days that left it."""
    if days >= BITMAP_DAYS:
        return bytes(BITMAP_BYTES), int.from_bytes(bits, "little").bit_count()
    moved = int.from_bytes(bits, "little") << days
    if moved.bit_length() <= BITMAP_DAYS:
        return moved.to_bytes(BITMAP_BYTES, "little"), 0
    return (moved & _BITMAP_MASK).to_bytes(BITMAP_BYTES, "little"), (moved >> BITMAP_DAYS).bit_count()


def days_merge(a: bytes, b: bytes) -> bytes:
    """Return the days marked in either bitmap (both relative to the same newest day)."""
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(BITMAP_BYTES, "little")


# Newest values and bounded sets ------------------------------------------------------------------------------------


RANKS: Final = 64  # places in a life cycle; a larger number is the id hash that releases before this order stored


def newest(a: T | None, b: T | None) -> T | None:
    """Return the later of two entries that start with (time, rank). `b` is the later one in the log.

    At equal times the place in the object's life cycle decides, then the position in the log.

    >>> newest((5, 1, "pro"), (5, 0, "basic")), newest((5, 0, "basic"), (5, 0, "pro"))
    ((5, 1, 'pro'), (5, 0, 'pro'))
    """
    if a is None or b is None:
        return b if a is None else a
    x: Any = a
    y: Any = b
    if x[0] != y[0]:
        return a if x[0] > y[0] else b
    rank_a, rank_b = x[1], y[1]
    return a if (rank_a if rank_a < RANKS else 0) > (rank_b if rank_b < RANKS else 0) else b


def keep_last(entries: list[Any], entry: Any, limit: int) -> None:
    """Insert an entry (time, ...) into a list sorted by time and drop the oldest entry above the limit.

    Entries of one time stay in the order of the log.
    """
    if entries and entries[-1][0] > entry[0]:
        insort(entries, entry, key=_TIME)
    else:
        entries.append(entry)
    if len(entries) > limit:
        del entries[0]


def merge_last(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """Return the newest entries of both lists."""
    return sorted(a + b, key=_TIME)[-limit:]


def keep_newest_keys(seen: dict[int, int], key: int, time: int, limit: int) -> None:
    """Record the last time of a key, for the `limit` keys with the newest times (ties: the larger key).

    A dropped key returns with a newer time or not at all, so the result does not depend on order.
    """
    if seen.get(key, -1) >= time:
        return
    seen[key] = time
    if len(seen) > limit:
        del seen[min(zip(seen.values(), seen, strict=True))[1]]


def merge_newest_keys(a: dict[int, int], b: dict[int, int], limit: int) -> dict[int, int]:
    """Return the `limit` keys with the newest times in either dict."""
    both = {key: max(a.get(key, -1), b.get(key, -1)) for key in a.keys() | b.keys()}
    kept = sorted(((time, key) for key, time in both.items()), reverse=True)[:limit]
    return {key: time for time, key in sorted(kept)}


def keep_smallest(keys: Iterable[int], key: int, limit: int) -> list[int]:
    """Add a key to a bounded set: the `limit` smallest keys, sorted."""
    return sorted({*keys, key})[:limit]


# Sums by name ------------------------------------------------------------------------------------------------------


def rate(rated: list[Any], name: str, at: int, score: int, limit: int) -> None:
    """Add a score to the entry of a name: (name, count, sum, time of the newest, score of the newest), sorted by name.

    Times are whole seconds. Of two scores within one second, the higher one counts as the newest, in any order.

    Only the first `limit` names are kept. A dropped name never returns, because more names only push it further out. So
    every kept sum is complete, and the result does not depend on order.
    """
    index = bisect_left(rated, (name,))
    if index < len(rated) and rated[index][0] == name:
        _, count, total, *newest_score = rated[index]
        rated[index] = (name, count + 1, total + score, *max(newest_score, [at, score]))
    elif index < limit:
        rated.insert(index, (name, 1, score, at, score))
        del rated[limit:]


def merge_rated(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """Return the entries of both lists, those of one name added up."""
    merged = {entry[0]: entry for entry in a}
    for entry in b:
        first = merged.get(entry[0])
        if first is not None:
            entry = (entry[0], first[1] + entry[1], first[2] + entry[2], *max(first[3:], entry[3:]))
        merged[entry[0]] = entry
    return [merged[name] for name in sorted(merged)[:limit]]


def add_sums(sums: list[Any], entry: Any, limit: int) -> int:
    """Add (name, count, number, ...) to the entry of the name in a list sorted by name.

    Only the first `limit` names are kept, as by `rate`. Returns the count of what is not kept.
    """
    index = bisect_left(sums, (entry[0],))
    if index < len(sums) and sums[index][0] == entry[0]:
        known = sums[index]
        sums[index] = (entry[0], *(min(x + y, _SUM_LIMIT) for x, y in zip(known[1:], entry[1:], strict=True)))
        return 0
    if index >= limit:
        return int(entry[1])
    sums.insert(index, entry)
    return int(sums.pop()[1]) if len(sums) > limit else 0


def merge_sums(a: list[Any], b: list[Any], limit: int) -> tuple[list[Any], int]:
    """Return the added entries of both lists, and the count of what is not kept."""
    merged = list(a)
    return merged, sum([add_sums(merged, entry, limit) for entry in b])


def reach(reached: list[Any], entry: tuple[int, int, int, int]) -> None:
    """Add (key, first time, last time, count) to a list of such entries, sorted by key."""
    index = bisect_left(reached, (entry[0],))
    if index < len(reached) and reached[index][0] == entry[0]:
        reached[index] = _combine_reached(reached[index], entry)
    else:
        reached.insert(index, entry)


def merge_reached(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """Return the combined entries of both lists for the `limit` smallest keys."""
    merged = list(a)
    for entry in b:
        reach(merged, entry)
    return merged[:limit]


def _combine_reached(a: Any, b: Any) -> tuple[int, int, int, int]:
    return a[0], min(a[1], b[1]), max(a[2], b[2]), a[3] + b[3]
