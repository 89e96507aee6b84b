"""The taxonomy of event names is complete and consistent, and covers unknown names."""

from __future__ import annotations

import pytest

from models.events.taxonomy import COUNTER_INDEX, COUNTERS, FAMILY_COUNTERS, MEANINGS, UNKNOWN, meaning
from models.profile.apply import _EFFECTS
from models.profile.mergeable import CARRY

# Names that the contract promises to publishers; a missing one would silently count as activity.
PROMISED = """Signed In|Feature Used|Session Started|Goal Completed|Signed Up|Trial Started|Onboarding Step Completed|
Order Completed|Order Refunded|Subscription Started|Subscription Renewed|Subscription Upgraded|Subscription Downgraded|
Subscription Paused|Subscription Cancel Scheduled|Subscription Cancelled|Payment Succeeded|Payment Failed|
Payment Recovered|Payment Disputed|Ticket Created|Ticket Reopened|Ticket Solved|Survey Response Submitted|Review Posted|
Social Mention|Email Opened|Email Unsubscribed|Referral Sent|Referral Converted|Renewal Due Set|Meeting Held|
Consent Updated|User Deletion Requested|Alert Acknowledged|Alert Snoozed|Alert Dismissed|Intervention Sent|page|screen|
identify|group|alias"""


@pytest.mark.parametrize("name", [name.strip() for name in PROMISED.split("|")])
def test_every_promised_name_is_in_the_table(name: str) -> None:
    """Rule: each event name of the contract has a row."""
    assert name in MEANINGS


def test_every_effect_of_the_table_exists_and_is_used() -> None:
    """Rule: each effect in the table has an implementation, and each implementation is in the table."""
    assert {row.effect for row in MEANINGS.values()} - {""} == set(_EFFECTS)


def test_every_counter_belongs_to_the_table() -> None:
    """Rule: each counter has one index, leaves room for the carry, and is incremented by a row or an effect."""
    assert len(set(COUNTERS)) == len(COUNTERS) < CARRY
    by_rows = {COUNTERS[row.counter] for row in MEANINGS.values() if row.counter >= 0}
    by_effects = {"engaged", "automated", "negative_review", "negative_mention"}
    assert by_rows | by_effects == set(COUNTERS)
    assert COUNTER_INDEX["negative_review"] == 16
    assert COUNTER_INDEX["negative_mention"] == 17


def test_counters_of_a_family_are_those_of_its_rows() -> None:
    """Rule: a family's counters are the counters that its events increment."""
    assert set(FAMILY_COUNTERS) == {row.family for row in MEANINGS.values()}
    assert {c for counters in FAMILY_COUNTERS.values() for c in counters} <= set(COUNTERS)


@pytest.mark.parametrize("name", ["Level Finished", "PAGE", "order completed", "", "x" * 128])
def test_an_unknown_name_is_activity(name: str) -> None:
    """Rule: an unknown event name is valid, engaged and not decisive."""
    assert meaning(name) is UNKNOWN
    assert (UNKNOWN.engaged, UNKNOWN.decisive, UNKNOWN.counter, UNKNOWN.effect) == (True, False, -1, "")


def test_events_not_caused_by_the_customer_are_not_engagement() -> None:
    """Rule: a sent e-mail, a paid invoice, a renewal or a handled alert is not engagement."""
    for name in ("Email Sent", "Email Delivered", "Payment Succeeded", "Payment Failed", "Subscription Renewed"):
        assert not meaning(name).engaged
    for name in ("Subscription Cancelled", "Order Refunded", "Intervention Sent", "Alert Dismissed", "identify"):
        assert not meaning(name).engaged


def test_handling_an_alert_increments_no_counter() -> None:
    """Rule: the handling of an alert never influences the score."""
    for name in ("Alert Acknowledged", "Alert Snoozed", "Alert Dismissed"):
        assert meaning(name).counter == -1
        assert not meaning(name).decisive
