"""What a partition learns of purchases: a function of the log, stored in blocks, and as good as a fit to everybody."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.profile.mergeable import DAY_MS
from models.value import purchase_counts as purchase_book
from models.value.bg_nbd import BgNbd, PurchaseCells, PurchaseHistory, fit
from models.value.gamma_gamma import SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.purchase_counts import (
    FIT_PERIOD_DAYS,
    FORTNIGHTS_KEPT,
    NOTHING,
    REPEAT_CUSTOMERS_MIN,
    FittedParameters,
    PurchaseCounter,
    PurchaseDelta,
    at_day,
)

START = FIT_PERIOD_DAYS * 714  # a line, in days since 1970


@dataclass
class World:
    """A book and its store; `feed` commits."""

    since_day: int = 0
    records: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.book = PurchaseCounter(lambda keys: [self.records.get(key) for key in keys], self.since_day)

    def feed(self, orders: list[PurchaseDelta]) -> list[FittedParameters]:
        learned, changes = self.book.apply_batch(orders, True)
        for key, value in changes.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        return learned


WHOSE: dict[int, int] = {}
"""Of an order the customer."""


def shop(customers: int, days: int, seed: int) -> list[PurchaseDelta]:
    """Orders of customers drawn from BG/NBD, in order of time; the clock is their day."""
    rng, found = np.random.default_rng(seed), []
    rates, leaves = rng.gamma(0.6, 1 / 20, customers), rng.beta(0.8, 3.0, customers)
    for customer, (rate, p) in enumerate(zip(rates.tolist(), leaves.tolist(), strict=True)):
        day = first = int(rng.integers(0, 56))
        occasions, spent, nu = None, None, rng.gamma(4, 1 / 15)
        while True:
            now = PurchaseHistory(0 if occasions is None else occasions.repeats + 1, START + first, START + day)
            money = (0 if spent is None else spent.revenue) + int(100 * rng.gamma(6, 1 / nu)) + 1
            total = SpendHistory(now.repeats + 1, money)
            found.append(PurchaseDelta((START + day) * DAY_MS, occasions, now, spent, total))
            WHOSE[id(found[-1])] = customer
            occasions, spent = now, total
            day += 1 + int(rng.exponential(1 / max(rate, 1e-4)))
            if day >= days or rng.random() < p:
                break
    return sorted(found, key=lambda order: order.clock_ms)


ORDERS = shop(600, 130, 1)


def test_what_is_learned_is_what_a_fit_to_all_before_the_line_gives() -> None:
    """Rule: on the first order of the next four weeks, from all customers as they stood then; from the next day on."""
    world = World()
    learned = world.feed(ORDERS)
    firsts = [line[0].clock_ms // DAY_MS for _, line in by_line(ORDERS)][1:]
    assert [one.from_day for one in learned] == [-1, *(day + 1 for day in firsts)]
    for number, one in enumerate(learned[1:], 1):
        before = START + number * FIT_PERIOD_DAYS
        cells, values = PurchaseCells(), SpendingCells()
        for order in ORDERS:
            if order.clock_ms < before * DAY_MS:
                cells.move(order.before, order.after)
                values.move(order.spent_before, order.spent)
        assert one.purchases == (None if number < 3 else fit(cells.as_of(before - 1)))  # twelve weeks are needed
        assert one.order_value == fit_values(values.spenders())


def by_line(orders: list[PurchaseDelta]) -> list[tuple[int, list[PurchaseDelta]]]:
    return [(k, list(g)) for k, g in itertools.groupby(orders, key=lambda o: o.clock_ms // DAY_MS // FIT_PERIOD_DAYS)]


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(0, len(ORDERS)), max_size=6))
def test_batches_restarts_and_customers_change_nothing(cuts: list[int]) -> None:
    """Rule: however the log is cut, whichever customer comes first in a batch, and whenever the book is made anew, the
    same records, and on each day the same parameters."""
    whole, parted = World(), World()
    once = whole.feed(ORDERS)
    for start, stop in itertools.pairwise(sorted({0, *cuts, len(ORDERS)})):
        part = sorted(ORDERS[start:stop], key=lambda order: WHOSE[id(order)] % 7)  # each one's stay in order
        learned = parted.feed(part)
        day = ORDERS[stop - 1].clock_ms // DAY_MS
        assert at_day(learned, day) == at_day(once, day)
        parted.restart()
    assert parted.records == whole.records


def test_with_too_few_customers_nothing_is_learned() -> None:
    """Rule: the usual parameters answer until there is evidence."""
    few = World().feed(shop(REPEAT_CUSTOMERS_MIN, 100, 2))
    assert all((one.purchases, one.order_value) == (None, None) for one in few)
    assert len(few) > 2
    assert PurchaseCounter(lambda keys: [None] * len(keys), 0).apply_batch([], False) == ([NOTHING], {})


def test_who_first_bought_long_ago_is_let_go() -> None:
    """Rule: blocks older than five years go, and what their customers do later is not counted."""
    world = World()
    old, later = PurchaseHistory(0, START, START), START + 14 * (FORTNIGHTS_KEPT + 3)
    world.feed([PurchaseDelta(START * DAY_MS, None, old, None, None)])
    assert sum(key[:2] == b"vb" for key in world.records) == 1
    world.feed([PurchaseDelta(later * DAY_MS, None, PurchaseHistory(0, later, later), None, None)])
    world.feed([PurchaseDelta((later + 1) * DAY_MS, old, PurchaseHistory(1, START, later + 1), None, None)])
    assert [int.from_bytes(key[2:], "big") for key in world.records if key[:2] == b"vb"] == [later // 14]


def test_of_an_older_partition_only_new_customers_are_counted() -> None:
    """Rule: who first bought before the book began is not known to have bought before."""
    world = World(since_day=START)
    world.feed([])
    world.since_day = 0  # the record says it
    world.restart()
    known, new = PurchaseHistory(3, START - 9, START - 1), PurchaseHistory(0, START + 1, START + 1)
    world.feed([PurchaseDelta((START + 1) * DAY_MS, known, known._replace(repeats=4, last_day=START + 1), None, None)])
    world.feed([PurchaseDelta((START + 1) * DAY_MS, None, new, None, SpendHistory(1, 500))])
    assert len([key for key in world.records if key[:2] == b"vb"]) == 1


def test_learned_parameters_are_stored_exactly() -> None:
    """Rule: whoever takes the partition over scores with the same bits."""
    model = BgNbd(0.1, 1 / 3, 2 / 3, 1e-7)
    stored = purchase_book._to_state(FittedParameters(5, model, None))
    assert purchase_book._from_state(stored) == FittedParameters(5, model, None)


@pytest.mark.parametrize(("day", "expected"), [(0, -1), (9, -1), (10, 10), (11, 10), (50, 20)])
def test_parameters_hold_from_their_day_on(day: int, expected: int) -> None:
    """Rule: the newest that is not of a later day."""
    learned = [NOTHING, FittedParameters(10, None, None), FittedParameters(20, None, None)]
    assert at_day(learned, day).from_day == expected
