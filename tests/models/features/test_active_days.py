"""Active days as bitmaps, compared with sets of ages: at word borders, and long after the newest day."""

from __future__ import annotations

import random

import numpy as np
import pytest

from models.features.active_days import WINDOW_DAYS, ActiveDays
from models.profile.mergeable import BITMAP_BYTES, BITMAP_DAYS

SHIFTS = (0, 1, 63, 64, 65, 127, 128, 129, 400)


def ages_of(seed: int) -> set[int]:
    """Ages of active days: none, all, a run across the border of two words, or any."""
    rng = random.Random(seed)
    kinds: tuple[set[int], ...] = (
        set(),
        set(range(BITMAP_DAYS)),
        set(range(60, 70)),
        {0},
        {63},
        {64},
        {127},
        {128},
        {511},
    )
    if seed < len(kinds):
        return kinds[seed]
    share = rng.choice((0.01, 0.3, 0.9))
    return {age for age in range(rng.choice((30, 140, BITMAP_DAYS))) if rng.random() < share}


def bitmap(ages: set[int]) -> bytes:
    return sum(1 << age for age in ages).to_bytes(BITMAP_BYTES, "little")


@pytest.mark.parametrize("shift", SHIFTS)
def test_days_weeks_and_streaks_equal_those_of_a_set(shift: int) -> None:
    """All rows at once, each compared with its own set."""
    sets = [ages_of(seed) for seed in range(40)]
    days = ActiveDays(b"".join(map(bitmap, sets)), np.full(len(sets), shift))
    for width in (1, 7, 63, 64, 65, 90, 128):
        assert days.count(width).tolist() == [sum(age + shift < width for age in ages) for ages in sets]
    for weeks in (1, 9, 10, 12, 18):
        expected = [len({(age + shift) // 7 for age in ages if age + shift < 7 * weeks}) for ages in sets]
        assert days.weeks(weeks).tolist() == expected
    lengths, since = days.streak
    for ages, length, ended in zip(sets, lengths.tolist(), since.tolist(), strict=True):
        recent = {age for age in ages if age < WINDOW_DAYS}
        if not recent:
            assert length == 0
            assert np.isnan(ended)
            continue
        run = min(recent)
        while run in recent:
            run += 1
        assert (length, ended) == (run - min(recent), max(min(recent) + shift - 1, 0))


def test_gaps_of_a_row_do_not_depend_on_other_rows() -> None:
    """The number of gaps, and equal bits alone and in a batch with empty rows."""
    sets = [ages_of(seed) for seed in range(40)]
    raw = [bitmap(ages) for ages in sets]
    together = ActiveDays(b"".join(raw), np.zeros(len(sets), np.int64)).gaps
    assert together[0].tolist() == [max(len(ages) - 1, 0) for ages in sets]
    for i, alone in enumerate(raw):
        for mine, all_rows in zip(ActiveDays(alone, np.zeros(1, np.int64)).gaps, together, strict=True):
            assert mine[0].tobytes() == all_rows[i].tobytes()
