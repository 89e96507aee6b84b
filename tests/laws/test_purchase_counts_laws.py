"""A partition's purchase parameters are a function of the log, stored in blocks, and equal a fit to all customers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.profile.mergeable import DAY_MS
from models.value import purchase_counts
from models.value.bg_nbd import BgNbd, PurchaseCells, PurchaseHistory, fit
from models.value.gamma_gamma import GammaGamma, SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.purchase_aggregates import check_cells
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

START = FIT_PERIOD_DAYS * 714  # start of a four-week period, in days since 1970


@dataclass
class World:
    """A purchase counter and its store; `feed` commits."""

    since_day: int = 0
    records: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.counter = PurchaseCounter(lambda keys: [self.records.get(key) for key in keys], self.since_day)

    def feed(self, orders: list[PurchaseDelta]) -> list[FittedParameters]:
        learned, changes = self.counter.apply_batch(orders, True)
        for key, value in changes.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
        return learned


CUSTOMER_OF: dict[int, int] = {}
"""Customer of each order, by the id() of the order."""


def shop(customers: int, days: int, seed: int) -> list[PurchaseDelta]:
    """Draw orders of customers from BG/NBD, ordered by time, with the clock at the day of the order."""
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
            CUSTOMER_OF[id(found[-1])] = customer
            occasions, spent = now, total
            day += 1 + int(rng.exponential(1 / max(rate, 1e-4)))
            if day >= days or rng.random() < p:
                break
    return sorted(found, key=lambda order: order.clock_ms)


ORDERS = shop(600, 130, 1)


def test_learned_parameters_equal_a_fit_to_all_earlier_orders() -> None:
    """Rule: the first order of a four-week period triggers a fit to all earlier orders, valid from the next day on."""
    world = World()
    learned = world.feed(ORDERS)
    firsts = [line[0].clock_ms // DAY_MS for _, line in by_line(ORDERS)][1:]
    assert [fitted.from_day for fitted in learned] == [-1, *(day + 1 for day in firsts)]
    for number, fitted in enumerate(learned[1:], 1):
        before = START + number * FIT_PERIOD_DAYS
        cells, values = PurchaseCells(), SpendingCells()
        for order in ORDERS:
            if order.clock_ms < before * DAY_MS:
                cells.move(order.before, order.after)
                values.move(order.spent_before, order.spent)
        assert fitted.purchases == (None if number < 3 else fit(cells.as_of(before - 1)))  # twelve weeks are needed
        assert fitted.order_values == {"": fit_values(values.spenders())}


def by_line(orders: list[PurchaseDelta]) -> list[tuple[int, list[PurchaseDelta]]]:
    return [(k, list(g)) for k, g in itertools.groupby(orders, key=lambda o: o.clock_ms // DAY_MS // FIT_PERIOD_DAYS)]


@settings(max_examples=3, deadline=None)
@given(st.lists(st.integers(0, len(ORDERS)), max_size=6))
def test_batches_restarts_and_customers_change_nothing(cuts: list[int]) -> None:
    """Rule: batches, the order of customers within a batch, and restarts do not change the records, or the parameters
    of any day."""
    whole, parted = World(), World()
    once = whole.feed(ORDERS)
    for start, stop in itertools.pairwise(sorted({0, *cuts, len(ORDERS)})):
        part = sorted(ORDERS[start:stop], key=lambda order: CUSTOMER_OF[id(order)] % 7)  # stable within a customer
        learned = parted.feed(part)
        day = ORDERS[stop - 1].clock_ms // DAY_MS
        assert at_day(learned, day) == at_day(once, day)
        parted.restart()
    assert parted.records == whole.records


def test_currencies_are_counted_and_fitted_apart() -> None:
    """Rule: a parameter of one currency never depends on amounts of another one, nor on the order of customers."""
    whole, parted = World(), World()

    def to(code: str, spent: SpendHistory | None) -> SpendHistory | None:
        return None if spent is None else spent._replace(currency=code)

    mixed = []
    for order in ORDERS:
        code = ("EUR", "JPY", "", "XYZ")[CUSTOMER_OF[id(order)] % 4]
        mixed.append(order._replace(spent_before=to(code, order.spent_before), spent=to(code, order.spent)))
    learned = whole.feed(mixed)
    apart = {}
    for code in ("EUR", "JPY", ""):
        single = [order for order in mixed if order.spent is not None and order.spent.currency == code]
        apart[code] = World().feed(single)[-1].order_values[code]
    assert learned[-1].order_values == apart
    for start in range(0, len(mixed), 97):
        parted.feed(mixed[start : start + 97])
    assert parted.records == whole.records
    [snapshot, *_] = whole.counter.cell_snapshots
    keys = {key for key, value in snapshot.records(3) if value is not None and b"/value/" in key}
    assert {key.count(b"/") for key in keys} == {3, 4}
    for key, value in snapshot.records(3):
        if value is not None:
            assert check_cells(value, key) == value


def test_too_few_customers_give_no_parameters() -> None:
    """Rule: the default parameters apply until there is enough data."""
    few = World().feed(shop(REPEAT_CUSTOMERS_MIN, 100, 2))
    assert all((fitted.purchases, fitted.order_values) == (None, {}) for fitted in few)
    assert len(few) > 2
    assert PurchaseCounter(lambda keys: [None] * len(keys), 0).apply_batch([], False) == ([NOTHING], {})


def test_customers_with_old_first_orders_are_dropped() -> None:
    """Rule: blocks older than five years are deleted, and later orders of their customers are not counted."""
    world = World()
    old, later = PurchaseHistory(0, START, START), START + 14 * (FORTNIGHTS_KEPT + 3)
    world.feed([PurchaseDelta(START * DAY_MS, None, old, None, None)])
    assert sum(key[:2] == b"vb" for key in world.records) == 1
    world.feed([PurchaseDelta(later * DAY_MS, None, PurchaseHistory(0, later, later), None, None)])
    world.feed([PurchaseDelta((later + 1) * DAY_MS, old, PurchaseHistory(1, START, later + 1), None, None)])
    assert [int.from_bytes(key[2:], "big") for key in world.records if key[:2] == b"vb"] == [later // 14]


def test_older_partition_counts_only_new_customers() -> None:
    """Rule: customers who first bought before the counter existed are not counted, as their history is unknown."""
    world = World(since_day=START)
    world.feed([])
    world.since_day = 0  # the start day is read from the record
    world.restart()
    known, new = PurchaseHistory(3, START - 9, START - 1), PurchaseHistory(0, START + 1, START + 1)
    world.feed([PurchaseDelta((START + 1) * DAY_MS, known, known._replace(repeats=4, last_day=START + 1), None, None)])
    world.feed([PurchaseDelta((START + 1) * DAY_MS, None, new, None, SpendHistory(1, 500))])
    assert len([key for key in world.records if key[:2] == b"vb"]) == 1


def test_learned_parameters_are_stored_exactly() -> None:
    """Rule: a new owner of the partition scores with the same bits."""
    model = BgNbd(0.1, 1 / 3, 2 / 3, 1e-7)
    values = {"": GammaGamma(1 / 3, 2.0, 1e-7), "JPY": GammaGamma(2 / 3, 3.0, 1e7)}
    for fitted in (FittedParameters(5, model, {}), FittedParameters(33, None, values)):
        head = purchase_counts._Head(0)
        purchase_counts._remember(head, NOTHING._replace(from_day=2, order_values=values))
        purchase_counts._remember(head, fitted)
        assert purchase_counts._from_state(head.fitted[-1], head.order_values) == fitted


@pytest.mark.parametrize(("day", "expected"), [(0, -1), (9, -1), (10, 10), (11, 10), (50, 20)])
def test_parameters_apply_from_their_day_on(day: int, expected: int) -> None:
    """Rule: the newest parameters apply whose day is not later."""
    learned = [NOTHING, FittedParameters(10, None, {}), FittedParameters(20, None, {})]
    assert at_day(learned, day).from_day == expected
