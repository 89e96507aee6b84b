"""The life table counts running and ended subscriptions per plan, independent of the division into batches."""

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
    rows: list[tuple[int, SubscriptionSpell, SubscriptionSpell]], cuts: list[int], rng: random.Random
) -> None:
    """Rule: a day's scores read the counts at its beginning; batches and the order within them change nothing."""
    rows = sorted(rows, key=lambda row: row[0])
    changes = [LifetimeMove(TODAY * DAY_MS + hour * 3_600_000, before, after) for hour, before, after in rows]
    whole, parted = LifeTableBuilder(), LifeTableBuilder()
    days = whole.apply_batch(changes)
    edges = sorted({0, *(min(cut, len(changes)) for cut in cuts), len(changes)})
    for start, stop in itertools.pairwise(edges):
        part = changes[start:stop]
        clock_ms = part[-1].clock_ms
        rng.shuffle(part)
        result = parted.apply_batch(part)
        assert result.life_tables[result.index_at(clock_ms)].counts == days.life_tables[days.index_at(clock_ms)].counts
    assert parted.state() == whole.state()
    restored = LifeTableBuilder()
    restored.restore(whole.state())
    later = [LifetimeMove((TODAY + 6) * DAY_MS, SubscriptionSpell(), SubscriptionSpell(TODAY, -1, "pro"))]
    assert restored.apply_batch(later).life_tables[-1].counts == whole.apply_batch(later).life_tables[-1].counts


def test_change_counts_from_the_next_day() -> None:
    """Rule: a day reads the life table at its beginning."""
    builder = LifeTableBuilder()
    days = builder.apply_batch(
        [LifetimeMove(TODAY * DAY_MS + 5, SubscriptionSpell(), SubscriptionSpell(TODAY, -1, "pro"))]
    )
    assert days.life_tables[days.index_at(TODAY * DAY_MS + 9)].counts == {}
    assert days.life_tables[days.index_at((TODAY + 1) * DAY_MS)].counts == {("pro", RUNNING, TODAY // 30): 1}


def test_life_table_is_bounded() -> None:
    """Rule: all starts older than ten years share one cell, even when one of them ends."""
    life_tables = LifeTable({("pro", RUNNING, period): 2 for period in range(300)})
    after = life_tables.with_moves({("pro", RUNNING, 3): -1, ("pro", ENDED, PERIODS_MAX): 1}, 300 * 30)
    assert len(after.counts) == PERIODS_MAX + 1
    assert sum(n for (_, kind, _), n in after.counts.items() if kind == RUNNING) == 599


def test_subscriptions_before_since_day_are_not_counted() -> None:
    """Rule: subscriptions from before the life table are unknown, so neither they nor their ends are counted."""
    builder = LifeTableBuilder(since_day=TODAY)
    old, new = SubscriptionSpell(TODAY - 5, -1, "pro"), SubscriptionSpell(TODAY, -1, "pro")
    days = builder.apply_batch(
        [LifetimeMove(0, old, SubscriptionSpell(TODAY - 5, TODAY, "pro")), LifetimeMove(0, SubscriptionSpell(), new)]
    )
    assert days.life_tables[-1].counts == {("pro", RUNNING, TODAY // 30): 1}
