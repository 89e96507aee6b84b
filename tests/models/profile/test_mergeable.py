"""Mergeable primitives, compared with a plain list of events, set of days or sorted list."""

from __future__ import annotations

import random

import pytest

from models.profile.mergeable import (
    BIN_BYTES,
    BITMAP_BYTES,
    BITMAP_DAYS,
    CARRY,
    DAY_BINS,
    HOUR_BINS,
    bins_add,
    bins_advance,
    bins_canonical,
    bins_merge,
    days_add,
    days_advance,
    days_merge,
    keep_last,
    keep_newest_keys,
    keep_smallest,
    merge_last,
    merge_newest_keys,
    newest,
)

FIRST_HOUR = 480_000


def binned(hours: list[int]) -> tuple[dict[int, bytearray], int]:
    """Bins of counter 3 after events at these hours, in this order, and the newest hour."""
    bins: dict[int, bytearray] = {}
    newest_hour = 0
    for hour in hours:
        if hour > newest_hour:
            if newest_hour:
                bins_advance(bins, newest_hour, hour)
            newest_hour = hour
        bins_add(bins, 3, hour // 24, hour, newest_hour)
    return bins_canonical(bins), newest_hour


def read(bins: dict[int, bytearray], slot: int) -> int:
    low, high = bins.get(3), bins.get(3 + CARRY)
    return (low[slot] if low else 0) + 256 * (high[slot] if high else 0)


@pytest.mark.parametrize("seed", range(8))
def test_bins_count_like_a_list_of_events(seed: int) -> None:
    """Each of the newest 96 days and 32 hours has the number of its events, in any order of arrival."""
    rng = random.Random(seed)
    hours = [FIRST_HOUR + rng.randrange(24 * rng.choice((2, 30, 95, 300))) for _ in range(400)]
    bins, newest_hour = binned(hours)
    today = newest_hour // 24
    for day in range(today - DAY_BINS + 1, today + 1):
        assert read(bins, day % DAY_BINS) == sum(h // 24 == day for h in hours)
    for hour in range(newest_hour - HOUR_BINS + 1, newest_hour + 1):
        assert read(bins, DAY_BINS + hour % HOUR_BINS) == hours.count(hour)


@pytest.mark.parametrize("passed", [1, 2, 23, 24, 31, 32, 33, 24 * 95, 24 * 96, 24 * 97, 24 * 1000])
def test_advancing_time_clears_exactly_the_passed_bins(passed: int) -> None:
    """After a lap of the ring no bin counts events of the earlier lap."""
    hours = [FIRST_HOUR - back for back in range(0, 24 * DAY_BINS, 7)]
    bins, newest_hour = binned(sorted(hours))
    bins_advance(bins, newest_hour, newest_hour + passed)
    now = newest_hour + passed
    for day in range(now // 24 - DAY_BINS + 1, now // 24 + 1):
        assert read(bins, day % DAY_BINS) == sum(h // 24 == day for h in hours)
    for hour in range(now - HOUR_BINS + 1, now + 1):
        assert read(bins, DAY_BINS + hour % HOUR_BINS) == hours.count(hour)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 511, 512, 65_535, 65_536, 70_000])
def test_bin_saturates_at_65535(count: int) -> None:
    """A bin has a high byte only if its count exceeds 255."""
    bins, _ = binned([FIRST_HOUR] * count)
    assert read(bins, (FIRST_HOUR // 24) % DAY_BINS) == min(count, 65_535)
    assert (3 + CARRY in bins) == (count > 255)


@pytest.mark.parametrize(("a", "b"), [(256, 1), (1, 256), (256, 256), (255, 1), (512, 3), (65_000, 65_000), (256, 0)])
def test_merged_bins_count_all_events(a: int, b: int) -> None:
    """Includes counts with a low byte of 0, which may have a high byte only."""
    half_a, hour_a = binned([FIRST_HOUR] * a)
    half_b, hour_b = binned([FIRST_HOUR + 1] * b)
    whole, _ = binned([FIRST_HOUR] * a + [FIRST_HOUR + 1] * b)
    assert bins_merge(half_a, hour_a, half_b, hour_b or hour_a) == whole
    assert bins_merge(half_b, hour_b or hour_a, half_a, hour_a) == whole


def test_merging_bins_does_not_change_the_inputs() -> None:
    """Both halves stay usable."""
    a, b = binned([FIRST_HOUR] * 300)[0], binned([FIRST_HOUR + 50] * 300)[0]
    before = str(a), str(b)
    bins_merge(a, FIRST_HOUR, b, FIRST_HOUR + 50)
    assert (str(a), str(b)) == before


def test_event_older_than_the_bins_is_not_counted() -> None:
    """It would count in the bin of another day."""
    bins, _ = binned([FIRST_HOUR, FIRST_HOUR - 24 * DAY_BINS, FIRST_HOUR - 24 * DAY_BINS - 24])
    assert sum(bins[3]) == 2  # the newest event's day and hour
    assert len(bins[3]) == BIN_BYTES


@pytest.mark.parametrize("seed", range(8))
def test_bitmap_equals_a_set_of_days(seed: int) -> None:
    """Bit k is the k-th day before the newest day; days that leave the bitmap are counted once."""
    rng = random.Random(seed)
    days, bits, today, older = set[int](), bytes(BITMAP_BYTES), 0, 0
    for _ in range(120):
        step = rng.choice((0, 1, 3, 40, 600) if rng.random() < 0.05 else (0, 1, 3, 9))
        bits, dropped = days_advance(bits, step)
        older += dropped
        today += step
        late = today - rng.randrange(30)
        if late >= 0:
            bits = days_add(bits, today - late)
            days.add(late)
    mask = int.from_bytes(bits, "little")
    assert {today - k for k in range(BITMAP_DAYS) if mask >> k & 1} == {d for d in days if today - d < BITMAP_DAYS}
    assert older + mask.bit_count() == len(days)


def test_day_beyond_the_bitmap_is_not_marked() -> None:
    """It marks no other day either."""
    assert days_add(bytes(BITMAP_BYTES), BITMAP_DAYS) == bytes(BITMAP_BYTES)
    assert days_merge(days_add(bytes(BITMAP_BYTES), 0), days_add(bytes(BITMAP_BYTES), 511))[-1] == 128


def test_newest_value_is_the_last_by_time_life_cycle_and_position() -> None:
    """The order of arrival does not matter; at equal times the larger id counts."""
    assert newest((5, 1, "a"), (4, 9, "b")) == (5, 1, "a")
    assert newest((5, 1, "b"), (5, 2, "a")) == (5, 2, "a")
    assert newest(None, (1, 1, "a")) == newest((1, 1, "a"), None) == (1, 1, "a")
    assert newest(None, None) is None


@pytest.mark.parametrize("seed", range(20))
def test_bounded_collections_equal_sorting_all_entries(seed: int) -> None:
    """The newest entries, the newest keys and the smallest keys of all entries, added in any order."""
    rng = random.Random(seed)
    added = [(rng.randrange(30), rng.randrange(8)) for _ in range(60)]
    entries: list[tuple[int, int]] = []
    seen: dict[int, int] = {}
    smallest: list[int] = []
    for time, key in added:
        keep_last(entries, (time, key), 5)
        keep_newest_keys(seen, key, time, 5)
        smallest = keep_smallest(smallest, key + time, 5)
    assert entries == sorted(added, key=lambda entry: entry[0])[-5:]
    last = {key: max(t for t, k in added if k == key) for _, key in added}
    assert seen == {key: t for t, key in sorted((t, key) for key, t in last.items())[-5:]}
    assert smallest == sorted({key + time for time, key in added})[:5]
    half = len(added) // 2
    first, second = (sorted(part, key=lambda entry: entry[0])[-5:] for part in (added[:half], added[half:]))
    assert merge_last(first, second, 5) == entries
    halves: list[dict[int, int]] = []
    for entries_of_half in (added[:half], added[half:]):
        halves.append({})
        for time, key in entries_of_half:
            keep_newest_keys(halves[-1], key, time, 5)
    assert merge_newest_keys(halves[0], halves[1], 5) == seen
