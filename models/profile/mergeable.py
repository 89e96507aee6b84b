"""Primitives that forget the order in which they were fed: time bins, day bitmaps, newest values, bounded newest sets.

Each is a plain value (bytearray, int, list, dict), so that a profile made of them encodes without translation. For all
of them the result after a set of events is the same whatever the order, as long as no event is older than the bins
reach back; `merge_*` joins two halves of a history into exactly what the whole would have given.

Bins are addressed by absolute time modulo their number, so that time moving on only clears the bins it passes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeVar

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

DAY_BINS: Final = 96  # 90-day windows, and room for events that are some days late
HOUR_BINS: Final = 32  # the last 24 hours, and room for clocks that are some hours off
BIN_BYTES: Final = DAY_BINS + HOUR_BINS  # one counter: 128 bytes, one byte a bin
CARRY: Final = 128  # a counter's second byte stands under its index plus this, and exists only where it is needed
BITMAP_DAYS: Final = 512  # monthly rhythms need more than a year
BITMAP_BYTES: Final = BITMAP_DAYS // 8
_BITMAP_MASK: Final = (1 << BITMAP_DAYS) - 1
_ZEROS: Final = bytes(BIN_BYTES)
_WITH_NEWEST: Final = [bytes((byte | 1,)) for byte in range(256)]

Bins = dict[int, bytearray]
T = TypeVar("T")


# Counters in bins: 96 days and 32 hours, 16 bits each, saturating ------------------------------------------------


def bins_add(bins: Bins, counter: int, day: int, hour: int, newest_hour: int) -> None:
    """Counts one event at `hour` (hours since the epoch); bins the event is too old for stay as they are.

    A bin saturates at 65,535. Clipped addition of counts that are not negative has no order.
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
    """An empty row in its place: counters stand in order, so that one history has one encoding."""
    row = bins[counter] = bytearray(BIN_BYTES)
    if len(bins) > 1:
        ordered = sorted(bins.items())
        bins.clear()
        bins.update(ordered)
    return row


def _carry(bins: Bins, row: bytearray, counter: int, slot: int) -> None:
    """Adds one to a full byte: its second byte takes over, until that is full too."""
    carry = bins.get(counter + CARRY)
    if carry is None:
        carry = _new_row(bins, counter + CARRY)
    if carry[slot] < 255:
        carry[slot] += 1
        row[slot] = 0


def bins_advance(bins: Bins, old_hour: int, new_hour: int) -> None:
    """Clears the bins between two times (hours since the epoch), so that they count the present and not a past lap."""
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
            del bins[counter]  # a counter without a count in any bin is no counter


@lru_cache(maxsize=DAY_BINS * DAY_BINS)
def _passed(base: int, size: int, slot: int, passed: int) -> tuple[tuple[slice, bytes], ...]:
    """The slices of bins that time passes from a bin on, and the zeros that they become."""
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
    """Both histories' counts, as bins whose present is the later of the two."""
    newest = max(a_hour, b_hour)
    halves = []
    for bins, hour in ((a, a_hour), (b, b_hour)):
        copy = {counter: bytearray(row) for counter, row in bins.items()}
        bins_advance(copy, hour, newest)
        halves.append(copy)
    merged, other = halves
    for counter in sorted({key % CARRY for key in other}):  # of a count of 256 only the second byte is kept
        row, high = other.get(counter, _ZEROS), other.get(counter + CARRY)
        mine = merged.setdefault(counter, bytearray(BIN_BYTES))
        for slot in range(BIN_BYTES):
            addition = row[slot] + (high[slot] << 8 if high else 0)
            if not addition:
                continue
            mine_high = merged.get(counter + CARRY)
            total = min(mine[slot] + (mine_high[slot] << 8 if mine_high else 0) + addition, 65_535)
            mine[slot] = total & 255
            if total > 255:
                merged.setdefault(counter + CARRY, bytearray(BIN_BYTES))[slot] = total >> 8
            elif mine_high:
                mine_high[slot] = 0
    return bins_canonical(merged)


def bins_canonical(bins: Bins) -> Bins:
    """Without counters whose bins are all empty, in the order of the counters: one history, one encoding.

    First bytes that are all zero stay while there is a second byte (a count of 256), so that it never stands alone.
    """
    if len(bins) < 2 and _ZEROS not in bins.values():
        return bins
    full = {counter for counter, row in bins.items() if row != _ZEROS}
    return {counter: bins[counter] for counter in sorted(bins) if counter in full or counter + CARRY in full}


# Active days: 512 days as bits, bit k is the k-th day before the newest ------------------------------------------


def days_add(bits: bytes, age_days: int) -> bytes:
    """Marks the day `age_days` before the newest; a day beyond the bitmap is not marked."""
    if age_days >= BITMAP_DAYS:
        return bits
    return (int.from_bytes(bits, "little") | 1 << age_days).to_bytes(BITMAP_BYTES, "little")


def days_add_newest(bits: bytes) -> bytes:
    """Marks the newest day: what `days_add` does for an age of 0."""
    return _WITH_NEWEST[bits[0]] + bits[1:]


def days_advance(bits: bytes, days: int) -> tuple[bytes, int]:
    """The bitmap `days` later, and how many marked days left it."""
    if days >= BITMAP_DAYS:
        return bytes(BITMAP_BYTES), int.from_bytes(bits, "little").bit_count()
    moved = int.from_bytes(bits, "little") << days
    if moved.bit_length() <= BITMAP_DAYS:
        return moved.to_bytes(BITMAP_BYTES, "little"), 0
    return (moved & _BITMAP_MASK).to_bytes(BITMAP_BYTES, "little"), (moved >> BITMAP_DAYS).bit_count()


def days_merge(a: bytes, b: bytes) -> bytes:
    """Days marked in either bitmap (both relative to the same newest day)."""
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(BITMAP_BYTES, "little")


# Newest values and bounded sets ------------------------------------------------------------------------------------


def newest(a: T | None, b: T | None) -> T | None:
    """The later of two entries that start with (time, id): last value by (time, id)."""
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)  # type: ignore[call-overload]


def keep_last(entries: list[Any], entry: Any, limit: int) -> None:
    """Adds an entry (time, id, ...) to a list in order of time and drops the oldest above the limit."""
    insort(entries, entry)
    if len(entries) > limit:
        del entries[0]


def merge_last(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """The newest entries of both lists."""
    return sorted(a + b)[-limit:]


def keep_newest_keys(seen: dict[int, int], key: int, time: int, limit: int) -> None:
    """Remembers when each key was last seen, for the `limit` keys seen last (ties: the larger key).

    A key that was dropped comes back with a newer time or not at all, so what is kept does not depend on order.
    """
    if seen.get(key, -1) >= time:
        return
    seen[key] = time
    if len(seen) > limit:
        del seen[min(zip(seen.values(), seen, strict=True))[1]]


def merge_newest_keys(a: dict[int, int], b: dict[int, int], limit: int) -> dict[int, int]:
    """The `limit` keys seen last in either."""
    both = {key: max(a.get(key, -1), b.get(key, -1)) for key in a.keys() | b.keys()}
    kept = sorted(((when, key) for key, when in both.items()), reverse=True)[:limit]
    return {key: when for when, key in sorted(kept)}


def keep_smallest(keys: Iterable[int], key: int, limit: int) -> list[int]:
    """A bounded set: the `limit` smallest of its keys, in order."""
    return sorted({*keys, key})[:limit]


# Sums under names --------------------------------------------------------------------------------------------------


def rate(rated: list[Any], name: str, at: int, score: int, limit: int) -> None:
    """Adds a score to the sum under a name: (name, count, sum, and of the newest: time, score), in order of names.

    Only the first `limit` names are kept. A name that is dropped never comes back, as more names only push it further
    out; so every sum that is kept is whole, and what is kept does not depend on order.
    """
    place = bisect_left(rated, (name,))
    if place < len(rated) and rated[place][0] == name:
        _, count, total, *newest_score = rated[place]
        rated[place] = (name, count + 1, total + score, *max(newest_score, [at, score]))
    elif place < limit:
        rated.insert(place, (name, 1, score, at, score))
        del rated[limit:]


def merge_rated(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """The sums of both lists."""
    found = {entry[0]: entry for entry in a}
    for entry in b:
        mine = found.get(entry[0])
        if mine is not None:
            entry = (entry[0], mine[1] + entry[1], mine[2] + entry[2], *max(mine[3:], entry[3:]))
        found[entry[0]] = entry
    return [found[name] for name in sorted(found)[:limit]]


def reach(reached: list[Any], entry: tuple[int, int, int, int]) -> None:
    """Adds (key, first time, last time, count) to what is known of keys, in their order."""
    place = bisect_left(reached, (entry[0],))
    if place < len(reached) and reached[place][0] == entry[0]:
        reached[place] = _both(reached[place], entry)
    else:
        reached.insert(place, entry)


def merge_reached(a: list[Any], b: list[Any], limit: int) -> list[Any]:
    """What both lists know, of the `limit` smallest keys."""
    merged = list(a)
    for entry in b:
        reach(merged, entry)
    return merged[:limit]


def _both(a: Any, b: Any) -> tuple[int, int, int, int]:
    return a[0], min(a[1], b[1]), max(a[2], b[2]), a[3] + b[3]
