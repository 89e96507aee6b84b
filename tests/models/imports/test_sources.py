"""Forms of other sources beside those of their samples."""

from __future__ import annotations

from typing import Any

import pytest

from models.imports import SOURCES
from models.imports.calls import timestamp_of


def calls_of(source: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    outcome = SOURCES[source].convert(row)
    assert isinstance(outcome, list), outcome
    return outcome


def reason_of(source: str, row: dict[str, Any]) -> str:
    outcome = SOURCES[source].convert(row)
    assert not isinstance(outcome, list), outcome
    return outcome.reason


def test_times_of_every_export_are_read() -> None:
    stated = [
        "2025-01-11 10:00:00.250 UTC",
        "2025-01-11 10:00:00.250000",
        1736589600.25,
        "2025-01-11T11:00:00.25+01:00",
    ]
    assert {timestamp_of(value) for value in stated} == {"2025-01-11T10:00:00.250Z"}


def test_traits_that_identify_a_person_are_left_out() -> None:
    traits = {"plan": "pro", "email": "x", "Name": "x", "firstName": "x", "phone": "x", "address": {"city": "x"}}
    row = {"type": "identify", "userId": "u", "timestamp": "2025-01-10T10:00:00Z", "traits": traits}
    assert calls_of("rudderstack", row)[0]["traits"] == {"plan": "pro"}
    assert calls_of("rudderstack", {**row, "type": "group", "groupId": "g"})[0]["traits"] == {"plan": "pro"}


@pytest.mark.parametrize(
    ("subscription", "mrr"),
    [
        ({"mrr": 4900}, 49.0),
        ({"mrr": 0, "plan_amount": 4900}, 0.0),
        ({"plan_unit_price": 2450, "plan_quantity": 2}, 49.0),
        ({"plan_amount": 30000, "billing_period": 1, "billing_period_unit": "year"}, 25.0),
        ({"plan_amount": 4000, "addons": [{"id": "a", "unit_price": 450, "quantity": 2}]}, 49.0),
        ({"plan_amount": 4900, "currency_code": "JPY"}, 4900),
        ({"subscription_items": [{"item_type": "plan", "item_price_id": "metered"}]}, None),
        ({}, None),
    ],
)
def test_chargebees_mrr_is_stated_or_computed(subscription: dict[str, Any], mrr: float | None) -> None:
    known = {"id": "s", "customer_id": "c", "currency_code": "EUR", "billing_period": 1, "billing_period_unit": "month"}
    content = {"subscription": {**known, **subscription}}
    call = calls_of(
        "chargebee", {"event_type": "subscription_activated", "occurred_at": 1735689600, "content": content}
    )
    assert call[0]["properties"].get("mrr") == mrr


def test_chargebee_reports_an_end_within_the_trial_and_a_cause_of_its_own() -> None:
    def ended(**subscription: Any) -> dict[str, Any]:
        content = {"subscription": {"id": "s", "customer_id": "c", "cancelled_at": 5, **subscription}}
        row = {"event_type": "subscription_cancelled", "occurred_at": 1735689600, "content": content}
        return calls_of("chargebee", row)[0]

    assert ended(trial_end=9)["event"] == "Trial Ended"
    assert ended(trial_end=9, activated_at=3)["event"] == "Subscription Cancelled"
    assert ended(cancel_reason="fraud_review_failed")["properties"]["reason"] == "fraud_review_failed"
    assert ended()["properties"]["reason"] == "cancellation_requested"


def test_a_future_subscription_has_not_started() -> None:
    content = {"subscription": {"id": "s", "customer_id": "c", "status": "future"}}
    row = {"event_type": "subscription_created", "occurred_at": 1735689600, "content": content}
    assert reason_of("chargebee", row) == "not_started"


def test_ga4_takes_amounts_in_dollars_only_where_no_others_are() -> None:
    row = {
        "event_name": "purchase",
        "event_timestamp": 1736503200000000,
        "user_id": "c",
        "event_params": {"currency": "EUR"},
        "ecommerce": {"purchase_revenue_in_usd": 65.1},
    }
    properties = calls_of("ga4", row)[0]["properties"]
    assert (properties["revenue"], properties["currency"]) == (65.1, "USD")
    params = [{"key": "value", "value": {"double_value": 60.0}}, {"key": "currency", "value": {"string_value": "EUR"}}]
    properties = calls_of("ga4", {**row, "event_params": params})[0]["properties"]
    assert (properties["revenue"], properties["currency"]) == (60.0, "EUR")


def test_two_ga4_events_of_one_microsecond_have_different_ids() -> None:
    row = {"event_name": "scroll", "event_timestamp": "1736503200000000", "user_pseudo_id": "v"}
    first, second = (calls_of("ga4", {**row, "batch_event_index": n})[0]["messageId"] for n in (1, 2))
    assert first != second


@pytest.mark.parametrize("user", ["", " ", "null", "undefined", None, True, "(not set)"])
def test_an_id_that_stands_for_none_is_the_visitor_or_a_rejection(user: object) -> None:
    row = {"event_type": "x", "event_time": "2025-01-10 10:00:00", "user_id": user}
    assert reason_of("amplitude", row) == "missing_customer"
    call = calls_of("amplitude", {**row, "device_id": "d"})[0]
    assert (call.get("userId"), call["anonymousId"]) == (None, "d")


def test_visitors_and_users_of_mixpanel_are_distinguished() -> None:
    def ids(**properties: Any) -> tuple[object, object]:
        call = calls_of("mixpanel", {"event": "x", "properties": {"time": 1736503200, **properties}})[0]
        return call.get("userId"), call.get("anonymousId")

    assert ids(distinct_id="u") == ("u", None)
    assert ids(distinct_id="dev", **{"$device_id": "dev"}) == (None, "dev")
    assert ids(distinct_id="$device:dev") == (None, "dev")
    assert ids(distinct_id="dev", **{"$user_id": "u", "$device_id": "dev"}) == ("u", "dev")


def test_a_visitor_of_posthog_is_anonymous() -> None:
    row = {
        "event": "x",
        "distinct_id": "a",
        "timestamp": "2025-01-10T10:00:00Z",
        "properties": {"$is_identified": False},
    }
    assert "userId" not in calls_of("posthog", row)[0]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"event": "a", "event_text": "A b"}, "track"),
        ({"group_id": "g", "seats": 5}, "group"),
        ({"previous_id": "v"}, "alias"),
        ({"url": "/x"}, "page"),
        ({"screen_name": "Home"}, "screen"),
        ({"type": "screen", "name": "Home"}, "screen"),
        ({"plan": "pro"}, "identify"),
    ],
)
def test_columns_of_a_warehouse_row_identify_its_table(row: dict[str, Any], kind: str) -> None:
    known = {"id": "m", "user_id": "u", "original_timestamp": "2025-01-10T10:00:00Z", "context_ip": "203.0.113.9"}
    call = calls_of("rudderstack", {**known, **row})[0]
    assert call["type"] == kind
    assert call.get("event", "A b") == "A b"
    assert "context_ip" not in str(call)
