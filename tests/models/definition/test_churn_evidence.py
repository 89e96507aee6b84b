"""What keeps the events of a log from meeting the churn definitions is found and described."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from models.definition import churn_evidence
from models.definition.churn_definition import ChurnDefinition
from models.definition.churn_evidence import NAMES_MAX, ChurnEvidence
from models.events.event import Event, decode

CHURN = """[churn.definitions.voluntary]
event = "Subscription Cancelled"
where = { reason = ["cancellation_requested"] }
[churn.definitions.involuntary]
event = "subscription_cancelled"
where = { reason = ["payment_failed"] }
[label.involuntary]
"""

Sent = tuple[str, dict[str, Any]]


def evidence(*events: Sent, churn: str = CHURN) -> ChurnEvidence:
    definition = ChurnDefinition.parse(churn)
    found = ChurnEvidence(definition)
    for name, properties in events:
        call = {"type": "track", "event": name, "userId": "c", "timestamp": 1741599000, "properties": properties}
        event = decode(json.dumps(call).encode(), [], None, None, definition.names)
        assert isinstance(event, Event), event
        found.add(event)
    return found


REQUESTED = ("subscriptionCanceled", {"reason": "cancellation_requested"})
FAILED = ("Subscription Cancelled", {"reason": "payment_failed"})


def test_a_log_that_meets_its_definitions_has_no_findings() -> None:
    assert evidence(REQUESTED, FAILED, ("Level Finished", {}), ("order_completed", {})).findings() == []


def test_a_churn_event_that_never_occurs_is_found_with_its_near_misses() -> None:
    """Rule: one finding per definition, and the names that are probably meant."""
    found = evidence(("Subscripton Cancelled", {}), ("Cancelled Subscription", {}), ("Subscripton Cancelled", {}))
    assert found.near == {"Subscripton Cancelled": 2, "Cancelled Subscription": 1}
    absent = 'No "Subscription Cancelled" event occurs, so churn definition {} is never met.'
    assert found.findings() == [
        absent.format("involuntary"),
        absent.format("voluntary"),
        'Events "Subscripton Cancelled": 2. The name resembles "Subscription Cancelled", but does not count as it: '
        "correct it, or map it in [events].",
        'Events "Cancelled Subscription": 1. The name resembles "Subscription Cancelled", but does not count as it: '
        "correct it, or map it in [events].",
    ]


@pytest.mark.parametrize("properties", [{}, {"reason": None}, {"why": "cancellation_requested"}])
def test_cancellations_without_the_required_reason_are_found(properties: dict[str, Any]) -> None:
    found = evidence(REQUESTED, *[("Subscription Cancelled", properties)] * 2)
    assert found.findings() == [
        '"Subscription Cancelled" events without reason: 2 of 3. Churn definition involuntary and voluntary requires '
        "reason, so they do not count as churn. If another property has it, map it in [events]."
    ]
    assert found.unmatched == 2


def test_cancellations_with_an_unlisted_reason_are_found() -> None:
    """Rule: with values for a file, without them for a log."""
    reasons: list[Any] = ["Too expensive", "not_paid", 7, "other", "other"]
    found = evidence(FAILED, *[("Subscription Cancelled", {"reason": reason}) for reason in reasons])
    [sentence] = found.findings()
    assert sentence == (
        '"Subscription Cancelled" events with another reason: 5 of 6, such as "Too expensive", "not_paid", "7". Churn '
        "definition involuntary and voluntary does not list it, so they do not count as churn."
    )
    [logged] = found.findings(with_values=False)
    assert "Too expensive" not in logged
    assert "5 of 6." in logged


def test_the_property_that_is_not_listed_is_named() -> None:
    churn = '[churn.definitions.a]\nevent = "Plan Left"\nwhere = { by = "customer", kind = "full" }\n'
    found = evidence(("plan_left", {"by": "customer", "kind": "part"}), churn=churn)
    assert "events with another kind: 1 of 1" in found.findings()[0]


def test_activity_whose_absence_is_churn_must_occur() -> None:
    churn = '[churn.definitions.gone]\nnot_performed = ["Order Completed", "Cart Viewed"]\nfor = "30d"\n'
    assert evidence(("Level Finished", {}), churn=churn).findings() == [
        'No "Cart Viewed" or "Order Completed" event occurs, so every customer meets churn definition gone.'
    ]
    assert evidence(("cartViewed", {}), churn=churn).findings() == []
    assert evidence(churn=churn.replace('["Order Completed", "Cart Viewed"]', '["*"]')).findings() == []


def test_compared_names_are_bounded() -> None:
    """Rule: a product with values in its names costs a bounded number of comparisons."""
    found = evidence(*[(f"Item {n} Sold", {}) for n in range(NAMES_MAX)], ("Subscripton Cancelled", {}))
    assert (found.events, found.near) == (NAMES_MAX + 1, {})


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(churn_evidence).failed == 0


def test_findings_contain_no_control_characters() -> None:
    """Rule: names and values are chosen by publishers, and findings go to terminals and logs."""
    found = evidence(("Subscripton\nCancelled", {}), ("Subscription Cancelled", {"reason": "a\x1b[2J\nb"}))
    assert len(found.findings()) == 2
    assert all(sentence.isprintable() for sentence in found.findings())
