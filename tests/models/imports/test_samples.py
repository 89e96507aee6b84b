"""A small export of every source gives the events that it must give, and the decoder accepts every one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson
import pytest

from models.events.event import Event, decode
from models.events.event_names import LISTED
from models.imports import SOURCES
from models.imports.conversion import converted, with_plan_changes
from models.imports.import_report import ImportReport
from models.imports.source import NumberedRow
from streams.export_rows import json_rows
from streams.sorted_lines import sorted_lines
from tests.paths import ROOT

SAMPLES: Final = ROOT / "tests" / "models" / "imports" / "samples"

# customer, event, and the properties that matter; in the order of time
Expected = list[tuple[str, str, dict[str, Any]]]

STRIPE_SUB = {"subscription_id": "sub_1Qa", "currency": "EUR"}
PRO = {**STRIPE_SUB, "plan": "pro", "mrr": 49.0}
IN_A, IN_B = ({**STRIPE_SUB, "invoice_id": name, "amount": 49.0} for name in ("in_1A", "in_1B"))
CHARGEBEE_SUB = {"subscription_id": "169luiTsub", "currency": "USD"}

EXPECTED: Final[dict[str, Expected]] = {
    "stripe": [
        ("cus_Ra1", "Customer Created", {"customer_id": "cus_Ra1"}),
        ("cus_Ra1", "Subscription Started", PRO),
        ("cus_Ra1", "Payment Succeeded", IN_A),
        ("cus_Ra1", "Payment Succeeded", IN_A),
        ("cus_Ra1", "Subscription Renewed", {**PRO, "period_end": 1740787200}),
        ("cus_Ra1", "Payment Failed", {**IN_B, "reason": "payment_failed"}),
        ("cus_Ra1", "Payment Recovered", IN_B),
        ("cus_Ra1", "Subscription Upgraded", {**STRIPE_SUB, "plan": "team-yearly", "mrr": 99.0}),
        ("cus_Ra1", "Subscription Downgraded", PRO),
        ("cus_Ra1", "Subscription Paused", PRO),
        ("cus_Ra1", "Subscription Resumed", PRO),
        (
            "cus_Ra1",
            "Subscription Cancel Scheduled",
            {"reason": "cancellation_requested", "feedback": "too_expensive", "period_end": 1740787200},
        ),
        ("cus_Ra1", "Subscription Cancel Withdrawn", PRO),
        (
            "cus_Ra1",
            "Subscription Cancelled",
            {**STRIPE_SUB, "reason": "cancellation_requested", "feedback": "missing_features"},
        ),
        ("cus_Jp", "Order Refunded", {"order_id": "pi_9", "amount": 700, "currency": "JPY"}),
        ("cus_Ra1", "Payment Disputed", {"charge_id": "ch_8", "amount": 49.0, "reason": "fraudulent"}),
        ("cus_Ug", "Order Completed", {"order_id": "pi_7", "revenue": 500, "currency": "UGX"}),
        ("cus_Jp", "Payment Method Updated", {"card_expires": "2028-01-01"}),
        ("cus_Ra1", "Payment Attempted", {"charge_id": "ch_8", "status": "succeeded"}),
    ],
    "chargebee": [
        ("169luiTcus", "Subscription Started", {**CHARGEBEE_SUB, "plan": "basic-USD-Monthly", "mrr": 49.0}),
        ("cus_trial", "Trial Started", {"subscription_id": "sub_trial", "trial_end": 1736899200}),
        ("169luiTcus", "Payment Succeeded", {"invoice_id": "INV-12", "amount": 49.0, **CHARGEBEE_SUB}),
        ("169luiTcus", "Subscription Upgraded", {**CHARGEBEE_SUB, "mrr": 99.0}),
        ("169luiTcus", "Subscription Renewed", {**CHARGEBEE_SUB, "mrr": 99.0, "period_end": 1740787200}),
        ("169luiTcus", "Payment Failed", {"invoice_id": "INV-13", "amount": 99.0, "reason": "card_declined"}),
        ("169luiTcus", "Payment Recovered", {"invoice_id": "INV-13", "amount": 99.0}),
        ("169luiTcus", "Subscription Downgraded", {**CHARGEBEE_SUB, "mrr": 39.0}),
        (
            "169luiTcus",
            "Subscription Cancel Scheduled",
            {"reason": "cancellation_requested", "feedback": "too_expensive", "period_end": 1740787200},
        ),
        ("169luiTcus", "Subscription Cancel Withdrawn", CHARGEBEE_SUB),
        ("169luiTcus", "Subscription Cancelled", {**CHARGEBEE_SUB, "reason": "payment_failed"}),
        ("169luiTcus", "Payment Method Updated", {"card_expires": "2030-04-01"}),
        ("169luiTcus", "Customer Updated", {}),
        ("169luiTcus", "Payment Refunded", {"amount": 9.0, "currency": "USD"}),
    ],
    "ga4": [
        ("1026454.4271112504", "Session Started", {}),
        ("1026454.4271112504", "page", {"url": "https://shop.example/basket", "name": "Basket"}),
        ("c-77", "Signed In", {"method": "email"}),
        (
            "c-77",
            "Order Completed",
            {
                "order_id": "T-1001",
                "revenue": 59.9,
                "currency": "EUR",
                "products": [{"product_id": "SKU-5", "name": "Lamp", "price": 29.95, "quantity": 2.0}],
            },
        ),
        ("c-77", "Order Refunded", {"order_id": "T-1001", "revenue": 29.95, "currency": "EUR"}),
        ("c-77", "quiz_finished", {"score": "7", "level": "b"}),
    ],
    "amplitude": [
        ("dev-5R", "Session Started", {}),
        ("u-500", "identify", {"plan": "pro", "segment": "smb"}),
        ("u-500", "page", {"url": "https://app.example/reports", "name": "Reports"}),
        ("u-500", "Play Song", {"title": "x", "length": 210}),
        ("u-500", "Order Completed", {"revenue": 9.98, "currency": "USD", "product_id": "gems"}),
        ("u-500", "Order Refunded", {"revenue": 4.99}),
        ("u-500", "Checkout Finished", {"revenue": 20.0}),
        ("u-500", "Session Ended", {}),
    ],
    "mixpanel": [
        ("18c-dev", "page", {"url": "https://app.example/", "name": "Home"}),
        ("u-9", "alias", {"previousId": "18c-dev"}),
        ("u-9", "Played Song", {"artist": "x"}),
        ("u-9", "Order Completed", {"revenue": 12.5, "currency": "EUR", "order_id": "o-1"}),
        ("u-9", "Session Ended", {"duration": 63}),
    ],
    "posthog": [
        ("dev-ph", "page", {"url": "https://app.example/pricing", "path": "/pricing", "name": "Pricing"}),
        ("user-31", "identify", {"plan": "pro"}),
        ("user-31", "alias", {"previousId": "dev-ph"}),
        ("user-31", "report exported", {"format": "pdf"}),
        ("user-31", "$feature_flag_called", {}),
        ("user-31", "Survey Response Submitted", {"survey": "Onboarding", "survey_id": "sv-1", "score": 4.0}),
        ("user-31", "group", {"seats": 5}),
        ("user-31", "plan viewed", {"plan": "team"}),
        ("dev-ph", "report exported", {}),
    ],
    "rudderstack": [
        ("u-1", "Order Completed", {"order_id": "o-1", "revenue": "59.90", "currency": "EUR"}),
        ("e3a0", "page", {"name": "Pricing", "path": "/pricing"}),
        ("u-1", "identify", {"plan": "team"}),
        ("u-1", "group", {"seats": 5}),
        ("u-1", "Subscription Cancelled", {"subscription_id": "s-1", "reason": "cancellation_requested"}),
        ("e3a0", "page", {"path": "/"}),
        ("u-1", "identify", {"plan": "team"}),
    ],
    "snowplow": [
        ("bc2e92ec6c204a14", "page", {"url": "https://shop.example/lamps", "path": "/lamps"}),
        ("c-88", "link_click", {"targetUrl": "https://shop.example/x"}),
        ("c-88", "Video Played", {"category": "media", "label": "intro", "value": 42.0}),
        ("c-88", "Order Completed", {"order_id": "o-7", "revenue": 19.5, "currency": "EUR"}),
        ("c-88", "Order Completed", {"order_id": "o-8", "revenue": 120.0, "currency": "USD"}),
        ("c-88", "Order Refunded", {"order_id": "o-8", "revenue": 20.0, "currency": "USD"}),
        ("device-3", "screen", {"name": "Cart"}),
    ],
}

# Rows without an event: the reason, how many, and the first line
WITHOUT: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "stripe": {"missing_customer": (1, 22), "nothing_changed": (1, 10), "not_about_a_customer": (1, 18)},
    "chargebee": {"not_about_a_customer": (1, 12)},
    "ga4": {"missing_customer": (1, 7)},
    "amplitude": {"not_about_a_customer": (1, 8)},
    "mixpanel": {"missing_customer": (1, 6)},
    "posthog": {},
    "rudderstack": {"missing_customer": (1, 8)},
    "snowplow": {"missing_customer": (1, 9), "reported_elsewhere": (1, 5)},
}


def imported(source: str, file: str | None = None) -> tuple[list[bytes], ImportReport]:
    lines = (SAMPLES / (file or f"{source}.jsonl")).read_bytes().splitlines()
    report, found = ImportReport(), SOURCES[source]
    rows: Iterable[NumberedRow] = json_rows(lines, found.wrappers, found.unwrap)
    rows = found.prepare(rows) if found.prepare is not None else rows
    made = converted(rows, lambda row, _: found.convert(row), found.event_name, report, {})
    return list(with_plan_changes((line for _, line in sorted_lines(made)), report)), report


def events_of(lines: list[bytes]) -> list[Event]:
    events = [decode(line, (), None) for line in lines]
    return [event for event in events if isinstance(event, Event)]


@pytest.mark.parametrize("source", SOURCES)
def test_an_export_gives_its_events(source: str) -> None:
    lines, report = imported(source)
    events = events_of(lines)
    assert len(events) == len(lines) == report.events
    found = [
        (event.customer, event.name, {name: event.properties.get(name) for name in properties})
        for event, (_, _, properties) in zip(events, EXPECTED[source], strict=True)
    ]
    assert found == EXPECTED[source]
    without = {**report.rejected, **report.left_out}
    assert {reason: (rows.rows, rows.first_line) for reason, rows in without.items()} == WITHOUT[source]


@pytest.mark.parametrize("source", SOURCES)
def test_every_event_has_a_time_and_an_id_that_a_second_import_repeats(source: str) -> None:
    lines, _ = imported(source)
    calls = [orjson.loads(line) for line in lines]
    assert all(call["messageId"] and call["timestamp"].endswith("Z") for call in calls)
    assert imported(source)[0] == lines
    times = [event.time_ms for event in events_of(lines)]
    assert times == sorted(times)


@pytest.mark.parametrize("source", SOURCES)
def test_the_table_of_names_lists_every_name_that_the_sample_renames(source: str) -> None:
    """Rule: the documentation, which is generated of this table, is true for the sample. Aliases need no row."""
    _, report = imported(source)
    listed = {(row.source_name, row.event) for row in SOURCES[source].names}
    listed |= {(f"[Amplitude] {name}", event) for name, event in listed if source == "amplitude"}
    renamed = {names for names, count in report.names.items() if count and names[0] != names[1]}
    assert {(name, event) for name, event in renamed if LISTED.resolve(name).name != event} <= listed


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("row", [{}, {"type": 3, "event": [], "properties": 7}, {"data": {"object": []}}])
def test_a_row_of_another_kind_is_rejected(source: str, row: dict[str, Any]) -> None:
    outcome = SOURCES[source].convert(row)
    assert not isinstance(outcome, list)
    assert outcome.is_rejection


def test_unlisted_events_of_a_billing_system_are_not_the_customers_activity() -> None:
    for source in ("stripe", "chargebee"):
        unlisted = [event for event in events_of(imported(source)[0]) if event.name.startswith("Customer ")]
        assert unlisted
        assert all(event.automated for event in unlisted)


def test_names_and_addresses_of_persons_are_not_imported() -> None:
    assert b"email" not in b"".join(imported("posthog")[0])
