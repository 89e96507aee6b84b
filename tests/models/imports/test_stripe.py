"""Stripe: prices per month, currencies, trials, pages of the API, and newer forms of its objects."""

from __future__ import annotations

from typing import Any

import pytest

from models.imports.stripe import STRIPE
from models.imports.stripe_subscription import monthly_price, stripe_amount
from tests.models.imports.test_samples import events_of, imported

START = 1735689600


def item(amount: int | None, interval: str = "month", count: int = 1, quantity: int = 1, **recurring: Any) -> Any:
    price = {
        "id": "p",
        "unit_amount": amount,
        "recurring": {"interval": interval, "interval_count": count, **recurring},
    }
    return {"price": price, "quantity": quantity}


@pytest.mark.parametrize(
    ("items", "currency", "expected"),
    [
        ([item(4900)], "eur", 49.0),
        ([item(118800, "year")], "eur", 99.0),
        ([item(3000, "month", 3)], "usd", 10.0),
        ([item(1000, "week")], "usd", 43.33),
        ([item(1200, quantity=3), item(500)], "usd", 41.0),
        ([item(9000)], "jpy", 9000),
        ([item(9000)], "kwd", 9.0),
        ([item(9000)], "isk", 90),
        ([item(4900), item(2, usage_type="metered")], "eur", 49.0),
        ([item(2, usage_type="metered")], "eur", None),
        ([item(None)], "eur", None),
        ([], "eur", None),
    ],
)
def test_the_price_of_a_month_is_in_units_of_the_currency(items: Any, currency: str, expected: float | None) -> None:
    assert monthly_price(items, currency) == expected


@pytest.mark.parametrize(("rounding", "expected"), [("up", 20.0), ("down", 10.0)])
def test_a_price_of_packages_is_paid_for_whole_packages(rounding: str, expected: float) -> None:
    packaged = item(1000, quantity=15)
    packaged["price"]["transform_quantity"] = {"divide_by": 10, "round": rounding}
    assert monthly_price([packaged], "eur") == expected


def test_stripes_own_decimals_come_before_iso_4217() -> None:
    assert [stripe_amount(1000, code) for code in ("mga", "ugx", "isk", "clp", "tnd")] == [1000.0, 10, 10, 1000, 1.0]


def event(kind: str, previous: dict[str, Any] | None = None, **subscription: Any) -> dict[str, Any]:
    found = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "currency": "eur", "status": "active"}
    data: dict[str, Any] = {"object": {**found, "items": {"data": [item(4900)]}, **subscription}}
    if previous is not None:
        data["previous_attributes"] = previous
    return {"id": "evt_1", "object": "event", "created": START, "type": f"customer.subscription.{kind}", "data": data}


def names(row: dict[str, Any]) -> list[str]:
    outcome = STRIPE.convert(row)
    return [call["event"] for call in outcome] if isinstance(outcome, list) else [outcome.reason]


def test_a_trial_starts_and_the_subscription_when_it_is_paid_for() -> None:
    assert names(event("created", status="trialing", trial_end=START + 1)) == ["Trial Started"]
    assert names(event("updated", {"status": "trialing"})) == ["Subscription Started"]
    assert names(event("created", status="incomplete")) == ["not_started"]
    assert names(event("updated", {"status": "incomplete"})) == ["Subscription Started"]
    assert names(event("deleted", status="canceled", trial_end=START + 9, ended_at=START)) == ["Trial Ended"]


def test_several_changes_at_once_are_several_events_with_ids_of_their_own() -> None:
    row = event("updated", {"cancel_at_period_end": False, "items": {"data": [item(9900)]}}, cancel_at_period_end=True)
    calls = STRIPE.convert(row)
    assert isinstance(calls, list)
    assert [call["event"] for call in calls] == ["Subscription Cancel Scheduled", "Subscription Downgraded"]
    assert len({call["messageId"] for call in calls}) == 2
    assert calls[0]["properties"]["reason"] == "cancellation_requested"


def test_another_quantity_or_legacy_plan_changes_the_price() -> None:
    plan = {"id": "gold", "amount": 1000, "interval": "month", "interval_count": 1}
    legacy = {"items": None, "plan": plan}
    assert names(event("updated", {"quantity": 1}, **legacy, quantity=3)) == ["Subscription Upgraded"]
    cheaper = {"plan": {**plan, "amount": 900}}
    assert names(event("updated", cheaper, **legacy, quantity=1)) == ["Subscription Upgraded"]
    same = {"plan": {**plan, "id": "silver"}}
    assert names(event("updated", same, **legacy, quantity=1)) == ["Subscription Updated"]


def test_newer_versions_have_the_period_in_the_items() -> None:
    now, before = (
        {**item(4900), "current_period_start": at, "current_period_end": at + 9} for at in (START, START - 9)
    )
    row = event("updated", {"items": {"data": [before]}}, items={"data": [now]})
    assert names(row) == ["Subscription Renewed"]
    calls = STRIPE.convert(row)
    assert isinstance(calls, list)
    assert calls[0]["properties"]["period_end"] == START + 9


def test_an_update_without_former_values_takes_its_direction_from_the_events_before() -> None:
    assert names(event("updated")) == ["Subscription Updated"]


def test_a_list_of_objects_gives_their_lives() -> None:
    """Setup: subscriptions and an invoice on a page of the API, over several lines, with an expanded customer."""
    lines, report = imported("stripe", "stripe_list.json")
    assert [(event.customer, event.name, event.properties.get("mrr")) for event in events_of(lines)] == [
        ("cus_Li", "Trial Started", None),
        ("cus_Me", "Subscription Started", None),
        ("cus_Li", "Subscription Started", 98.0),
        ("cus_Li", "Payment Succeeded", None),
        ("cus_Li", "Subscription Cancelled", 98.0),
    ]
    assert report.rejected == report.left_out == {}


@pytest.mark.parametrize(
    ("kind", "found", "expected"),
    [
        ("invoice.paid", {"customer": "cus_1", "id": "in_1", "amount_paid": 0, "currency": "eur"}, "no_money_moved"),
        ("checkout.session.completed", {"customer": "cus_1", "mode": "subscription"}, "reported_elsewhere"),
        ("invoice.paid", {"customer": None, "id": "in_1", "amount_paid": 5}, "missing_customer"),
        ("payout.paid", {"id": "po_1", "object": "payout"}, "not_about_a_customer"),
        ("charge.refunded", {"customer": "cus_1", "invoice": "in_1", "amount_refunded": 5}, "Payment Refunded"),
        ("charge.dispute.created", {"charge": {"id": "ch_1", "customer": "cus_1"}, "amount": 5}, "Payment Disputed"),
        ("invoice.upcoming", {"customer": "cus_1", "object": "invoice"}, "invoice.upcoming"),
    ],
)
def test_other_events(kind: str, found: dict[str, Any], expected: str) -> None:
    assert names({"id": "evt_1", "created": START, "type": kind, "data": {"object": found}}) == [expected]
