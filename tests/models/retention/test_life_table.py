"""How many subscriptions of each plan run and have ended: numbers that follow from the log, whatever the batches."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from models.profile.mergeable import DAY_MS
from models.retention.life_table import ENDED, PERIODS_MAX, RUNNING, Life, Lifetimes, Lives
from models.retention.subscription_flows import Spell

TODAY = 20_000

SPELLS = st.builds(
    lambda start, lasted, plan: Spell(start, -1 if lasted is None else start + lasted, plan),
    st.integers(TODAY - 400, TODAY),
    st.one_of(st.none(), st.integers(0, 300)),
    st.sampled_from(["pro", "team"]),
)


@given(
    st.lists(st.tuples(st.integers(0, 5 * 24), SPELLS, SPELLS), max_size=20),
    st.lists(st.integers(0, 20), max_size=6),
    st.randoms(use_true_random=False),
)
def test_batches_and_order_change_nothing(
    told: list[tuple[int, Spell, Spell]], cuts: list[int], dice: random.Random
) -> None:
    """Rule: a day's scores read what was known when it began; any batches, any order within them, one state."""
    told = sorted(told, key=lambda one: one[0])
    changes = [Life(TODAY * DAY_MS + hour * 3_600_000, before, after) for hour, before, after in told]
    whole, parted = Lifetimes(), Lifetimes()
    days = whole.turn(changes)
    edges = sorted({0, *(min(cut, len(changes)) for cut in cuts), len(changes)})
    for start, stop in itertools.pairwise(edges):
        part = changes[start:stop]
        clock_ms = part[-1].clock_ms
        dice.shuffle(part)
        answer = parted.turn(part)
        assert answer.lives[answer.place(clock_ms)].counts == days.lives[days.place(clock_ms)].counts
    assert parted.state() == whole.state()
    again = Lifetimes()
    again.restore(whole.state())
    later = [Life((TODAY + 6) * DAY_MS, Spell(), Spell(TODAY, -1, "pro"))]
    assert again.turn(later).lives[-1].counts == whole.turn(later).lives[-1].counts


def test_a_change_counts_from_the_next_day_on() -> None:
    """Rule: as of the beginning of the day that the clock shows."""
    book = Lifetimes()
    days = book.turn([Life(TODAY * DAY_MS + 5, Spell(), Spell(TODAY, -1, "pro"))])
    assert days.lives[days.place(TODAY * DAY_MS + 9)].counts == {}
    assert days.lives[days.place((TODAY + 1) * DAY_MS)].counts == {("pro", RUNNING, TODAY // 30): 1}


def test_what_is_kept_is_bounded() -> None:
    """Rule: starts older than ten years are one number, also when one of them ends."""
    lives = Lives({("pro", RUNNING, period): 2 for period in range(300)})
    after = lives.with_moves({("pro", RUNNING, 3): -1, ("pro", ENDED, PERIODS_MAX): 1}, 300 * 30)
    assert len(after.counts) == PERIODS_MAX + 1
    assert sum(n for (_, kind, _), n in after.counts.items() if kind == RUNNING) == 599


def test_of_an_older_partition_only_what_begins_is_counted() -> None:
    """Rule: nobody knows how many ran before; the end of such a one is no end of a counted one."""
    book = Lifetimes(since_day=TODAY)
    old, new = Spell(TODAY - 5, -1, "pro"), Spell(TODAY, -1, "pro")
    days = book.turn([Life(0, old, Spell(TODAY - 5, TODAY, "pro")), Life(0, Spell(), new)])
    assert days.lives[-1].counts == {("pro", RUNNING, TODAY // 30): 1}
