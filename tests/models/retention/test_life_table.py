"""How many subscriptions of each plan run and have ended: numbers that follow from the log, whatever the batches."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from models.profile.mergeable import DAY_MS
from models.retention.life_table import ENDED, PERIODS_MAX, RUNNING, LifeTable, LifeTableBuilder, LifetimeMove
from models.retention.subscription_flows import SubscriptionSpell

TODAY = 20_000

SPELLS = st.builds(
    lambda start, lasted, plan: SubscriptionSpell(start, -1 if lasted is None else start + lasted, plan),
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
    told: list[tuple[int, SubscriptionSpell, SubscriptionSpell]], cuts: list[int], rng: random.Random
) -> None:
    """Rule: a day's scores read what was known when it began; any batches, any order within them, one state."""
    told = sorted(told, key=lambda one: one[0])
    changes = [LifetimeMove(TODAY * DAY_MS + hour * 3_600_000, before, after) for hour, before, after in told]
    whole, parted = LifeTableBuilder(), LifeTableBuilder()
    days = whole.apply_batch(changes)
    edges = sorted({0, *(min(cut, len(changes)) for cut in cuts), len(changes)})
    for start, stop in itertools.pairwise(edges):
        part = changes[start:stop]
        clock_ms = part[-1].clock_ms
        rng.shuffle(part)
        answer = parted.apply_batch(part)
        assert answer.life_tables[answer.place(clock_ms)].counts == days.life_tables[days.place(clock_ms)].counts
    assert parted.state() == whole.state()
    again = LifeTableBuilder()
    again.restore(whole.state())
    later = [LifetimeMove((TODAY + 6) * DAY_MS, SubscriptionSpell(), SubscriptionSpell(TODAY, -1, "pro"))]
    assert again.apply_batch(later).life_tables[-1].counts == whole.apply_batch(later).life_tables[-1].counts


def test_a_change_counts_from_the_next_day_on() -> None:
    """Rule: as of the beginning of the day that the clock shows."""
    book = LifeTableBuilder()
    days = book.apply_batch(
        [LifetimeMove(TODAY * DAY_MS + 5, SubscriptionSpell(), SubscriptionSpell(TODAY, -1, "pro"))]
    )
    assert days.life_tables[days.place(TODAY * DAY_MS + 9)].counts == {}
    assert days.life_tables[days.place((TODAY + 1) * DAY_MS)].counts == {("pro", RUNNING, TODAY // 30): 1}


def test_what_is_kept_is_bounded() -> None:
    """Rule: starts older than ten years are one number, also when one of them ends."""
    life_tables = LifeTable({("pro", RUNNING, period): 2 for period in range(300)})
    after = life_tables.with_moves({("pro", RUNNING, 3): -1, ("pro", ENDED, PERIODS_MAX): 1}, 300 * 30)
    assert len(after.counts) == PERIODS_MAX + 1
    assert sum(n for (_, kind, _), n in after.counts.items() if kind == RUNNING) == 599


def test_of_an_older_partition_only_what_begins_is_counted() -> None:
    """Rule: nobody knows how many ran before; the end of such a one is no end of a counted one."""
    book = LifeTableBuilder(since_day=TODAY)
    old, new = SubscriptionSpell(TODAY - 5, -1, "pro"), SubscriptionSpell(TODAY, -1, "pro")
    days = book.apply_batch(
        [LifetimeMove(0, old, SubscriptionSpell(TODAY - 5, TODAY, "pro")), LifetimeMove(0, SubscriptionSpell(), new)]
    )
    assert days.life_tables[-1].counts == {("pro", RUNNING, TODAY // 30): 1}
