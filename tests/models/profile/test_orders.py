"""Orders as objects, refunds, cancellations and currencies."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from models.events.event import Event
from models.features.catalogue import NAMES, features
from models.profile.mergeable import DAY_MS
from models.profile.order_totals import OrderTotals, order_totals
from models.profile.schema import CURRENCIES_KEPT, ORDERS_KEPT, Commerce, Profile
from tests.models.histories import START_MS, event, profile_of


def order(day: float, order_id: Any = None, kind: str = "Completed", /, **properties: Any) -> Event:
    if order_id is not None:
        properties["order_id"] = order_id
    return event(f"Order {kind}", START_MS + round(day * DAY_MS), **properties)


def totals(*events: Event) -> OrderTotals:
    found = {repr(order_totals(commerce(*each))) for each in itertools.permutations(events)}
    assert len(found) == 1, "the order of the events matters"
    return order_totals(commerce(*events))


def commerce(*events: Event) -> Commerce:
    section = profile_of(events).commerce
    assert section is not None
    return section


def feature(profile: Profile, name: str) -> float:
    return float(features([profile], [profile.newest_ms])[0, NAMES.index(name)])


def test_partial_refunds_of_one_order_are_one_refunded_order() -> None:
    """Rule: a refund in parts is about one object; its amounts add up."""
    placed = [order(n, f"o{n}", revenue=100, currency="EUR") for n in range(4)]
    parts = [order(5 + n, "o0", "Refunded", total=5, currency="EUR") for n in range(4)]
    found = order_totals(commerce(*placed, *parts))
    assert (found.orders, found.returned, found.refunded, found.kept) == (4, 1, 2000, 38_000)
    assert feature(profile_of([*placed, *parts]), "refund_rate") == 0.25


def test_order_that_is_completed_twice_or_updated_is_one_order() -> None:
    """Rule: the first completion places an order, and its newest amount counts."""
    found = totals(
        order(0, 7, revenue=100),
        order(3, "7", revenue=100),
        order(4, 7, "Updated", revenue=80),
        order(9, 8, revenue=20),
    )
    assert (found.orders, found.days, found.valued, found.revenue, found.newest) == (2, 2, 2, 10_000, 2_000)
    assert (found.first_ms, found.last_ms) == (START_MS, START_MS + 9 * DAY_MS)


@pytest.mark.parametrize(
    ("reversal", "properties"),
    [("Cancelled", {}), ("Refunded", {}), ("Cancelled", {"total": 60}), ("Refunded", {"total": 999})],
)
def test_whole_order_is_reversed(reversal: str, properties: dict[str, Any]) -> None:
    """Rule: a cancellation, and a refund without an amount, give back the whole order, and never more than that."""
    found = totals(
        order(0, "a", revenue=50), order(1, "a", "Refunded", total=10), order(2, "a", reversal, **properties)
    )
    assert (found.orders, found.returned, found.revenue, found.refunded, found.kept) == (1, 1, 5_000, 5_000, 0)


def test_refund_of_an_order_that_was_never_seen_changes_nothing_else() -> None:
    """Rule: a log may begin after an order; its refund does not reduce the revenue of others."""
    found = totals(order(0, "old", "Refunded", total=500), order(1, "old", "Cancelled"), order(2, "new", revenue=50))
    assert (found.orders, found.returned, found.refunded, found.kept) == (1, 0, 0, 5_000)


def test_update_shows_an_order() -> None:
    """Rule: evidence of an order is enough to know it."""
    found = totals(order(1, "a", "Updated", revenue=50), order(2, "a", "Refunded", total=20))
    assert (found.orders, found.days, found.kept) == (1, 1, 3_000)
    assert order_totals(Commerce()).orders == 0


def test_orders_that_leave_the_set_are_summed() -> None:
    """Rule: nothing is lost above the limit, in any order of arrival; a late refund of such an order counts."""
    number = ORDERS_KEPT + 5
    placed = [order(n, f"o{n}", revenue=10, currency="EUR") for n in range(number)]
    sections = [commerce(*each) for each in (placed, placed[::-1], placed[5:] + placed[:5])]
    assert sections[0] == sections[1] == sections[2]
    assert len(sections[0].objects) == ORDERS_KEPT
    late = order(99, "o0", "Refunded", total=10, currency="EUR")
    found = order_totals(commerce(*placed, late))
    assert (found.orders, found.days, found.valued, found.returned) == (number, number, number, 1)
    assert (found.revenue, found.kept, found.first_ms) == (1_000 * number, 1_000 * (number - 1), START_MS)


def test_currencies_are_never_added() -> None:
    """Rule: amounts are those of the currency of most orders; further currencies are counted, not lost."""
    found = totals(
        order(0, "a", revenue=100, currency="USD"),
        order(1, "b", revenue=10_000, currency="JPY"),
        order(2, revenue=5_000, currency="JPY"),
    )
    assert (found.orders, found.currency, found.valued, found.revenue, found.others) == (3, "JPY", 2, 15_000, 1)
    assert found.mean == 7_500.0
    many = [order(n, revenue=1, currency=code) for n, code in enumerate(("AUD", "CAD", "CHF", "DKK", "EUR", "EUR"))]
    section = commerce(*many)
    assert [entry[0] for entry in section.sums] == ["AUD", "CAD", "CHF", "DKK"][:CURRENCIES_KEPT]
    assert section.uncounted == 2
    assert order_totals(section).others == 5


def test_refund_in_another_currency_does_not_reduce_the_order() -> None:
    """Rule: a refund without a currency is in that of its order."""
    placed = order(0, "a", revenue=100, currency="EUR")
    assert totals(placed, order(1, "a", "Refunded", total=40)).kept == 6_000
    assert totals(placed, order(1, "a", "Refunded", total=40, currency="JPY")).kept == 10_000


def test_negative_order_is_a_refund() -> None:
    """Rule: cash registers record a return as an order with a negative amount."""
    found = totals(order(0, revenue=100), order(1, revenue=-30))
    assert (found.orders, found.returned, found.kept) == (1, 1, 7_000)


def test_without_ids_each_event_is_an_order_or_a_refund() -> None:
    """Rule: without an id it is unknown which order is refunded; refunds reduce the revenue, not below zero."""
    found = totals(
        order(0, revenue=100), order(1, revenue=60), order(2, None, "Refunded", total=30), order(3, None, "Cancelled")
    )
    assert (found.orders, found.returned, found.revenue, found.kept) == (2, 2, 16_000, 13_000)
    assert totals(order(0, revenue=5), order(1, None, "Refunded", total=30)).kept == 0


@pytest.mark.parametrize(
    "properties",
    [
        {"order_id": "7"}, {"orderId": 7}, {"order": {"id": 7}}, {"order": "7"}, {"order.id": "7"},
        {"transaction_id": "7"},
        {"id": 7, "total_price": "50.00", "name": "#1001"},
    ],
)  # fmt: skip
def test_order_is_identified_under_the_names_of_shops(properties: dict[str, Any]) -> None:
    """Rule: Segment, GA4, WooCommerce and Shopify name the id of an order differently."""
    found = order_totals(
        commerce(order(0, revenue=50, **properties), order(1, revenue=50, **properties), order(2, 7, "Refunded"))
    )
    assert (found.orders, found.returned, found.kept) == (1, 1, 0)


def test_amount_is_read_where_it_is_readable() -> None:
    """Rule: the first readable property counts; products are added up without one; unreadable ones are noted."""
    empty = order(0, revenue="", total="59,90", currency="EUR")
    wrong = order(1, revenue="N/A", total=59.9, currency="EUR")
    lines = order(2, currency="EUR", discount=1.1, products=[{"price": 15.25, "quantity": 4}])
    none = order(3, revenue="1,234", currency="EUR")
    section = commerce(empty, wrong, lines, none)
    assert order_totals(section).revenue == 3 * 5_990
    assert [each.unreadable for each in (empty, wrong, lines, none)] == [None, ["revenue"], None, ["revenue"]]
