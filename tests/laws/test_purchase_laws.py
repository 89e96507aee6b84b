"""Purchase cells do not depend on event order, merge, are corrected by late events, and equal a batch count."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from models.events.event import Event
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from models.value.bg_nbd import PurchaseCells, PurchaseHistory

Order = tuple[str, int]
orders = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 60)), max_size=40)


def counted(log: list[Order]) -> PurchaseCells:
    """Count the cells of a log event by event."""
    cells = PurchaseCells()
    profiles: defaultdict[str, Profile] = defaultdict(Profile)
    for customer, day in log:
        before = PurchaseHistory.of(profiles[customer].commerce)
        event = Event(customer, "Order Completed", (20_000 + day) * DAY_MS, 0, {"revenue": 5}, False, False)
        assert apply(profiles[customer], event)
        cells.move(before, PurchaseHistory.of(profiles[customer].commerce))
    return cells


@given(orders, st.randoms(use_true_random=False))
def test_any_event_order_gives_the_cells_of_a_batch(log: list[Order], rng: Random) -> None:
    """Rule: in any order of arrival, cells equal those counted from all days of each customer at once."""
    shuffled = log[:]
    rng.shuffle(shuffled)
    days = defaultdict(set)
    for customer, day in log:
        days[customer].add(20_000 + day)
    batch = PurchaseCells()
    for bought in days.values():
        batch.move(None, PurchaseHistory(len(bought) - 1, min(bought), max(bought)))
    assert counted(shuffled).sums == counted(log).sums == batch.sums
    assert batch.customers == len(days)


@given(orders)
def test_partitions_add_up(log: list[Order]) -> None:
    """Rule: cells of two partitions without common customers merge to those of one partition."""
    left, right = ([order for order in log if (order[0] in "ab") is side] for side in (True, False))
    assert counted(left).merge(counted(right)).sums == counted(log).sums
