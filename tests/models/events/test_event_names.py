"""Event names are recognised in every spelling, under the names of common sources, and near misses are found."""

from __future__ import annotations

import doctest
import json
import time
from typing import Any

import pytest

from models.events import aliases, event, event_names, near_miss, passive_rule, property_source, spelling, taxonomy
from models.events.aliases import ALIASES, SOURCES
from models.events.event import Event, decode, meaning_of
from models.events.event_names import CALLS, LISTED, NAMES_CACHED, EventNames, near
from models.events.spelling import fold, name_words
from models.events.taxonomy import CONTROL_EVENTS, IGNORED, MEANINGS, UNKNOWN, UNKNOWN_PASSIVE

LISTED_NAMES = sorted(set(MEANINGS) - set(CALLS))


def decoded(name: str, properties: dict[str, Any] | None = None, names: EventNames = LISTED) -> Event:
    call = {"type": "track", "event": name, "userId": "c", "timestamp": 1741599000, "properties": properties or {}}
    found = decode(json.dumps(call).encode(), [], None, None, names)
    assert isinstance(found, Event), found
    return found


def spellings(name: str) -> set[str]:
    """Write a name as libraries and warehouses do."""
    parts = name.replace("-", " ").split()
    camel = parts[0].lower() + "".join(part.capitalize() for part in parts[1:])
    variants = {"_".join(parts).lower(), "-".join(parts).lower(), ".".join(parts).lower(), camel, "".join(parts)}
    variants |= {name.upper(), name.lower(), name.capitalize(), f"  {'  '.join(parts)} ", "_".join(parts).upper()}
    variants |= {"\u00a0".join(parts), "\u200b" + name, f"${camel}"}
    return variants | {variant.replace("ncelled", "nceled").replace("NCELLED", "NCELED") for variant in variants}


@pytest.mark.parametrize("module", [aliases, event, event_names, near_miss, passive_rule, property_source, spelling])
def test_docstring_examples_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_every_spelling_of_every_listed_name_is_the_listed_event() -> None:
    """Rule: snake, camel, kebab and dotted case, capitals, odd spaces and American spelling make no difference."""
    for name in LISTED_NAMES:
        for variant in spellings(name):
            rule = LISTED.resolve(variant)
            assert (rule.name, rule.meaning) == (name, MEANINGS[name]), variant


@pytest.mark.parametrize("variant", ["order_completed", "Order completed", "orderCompleted", "ORDER COMPLETED"])
def test_decode_gives_the_canonical_name_and_its_row(variant: str) -> None:
    found = decoded(variant)
    assert (found.name, meaning_of(found)) == ("Order Completed", MEANINGS["Order Completed"])


def test_listed_names_and_aliases_are_distinct() -> None:
    """Rule: no two listed names fold alike, no alias is a listed name, and none has two meanings."""
    assert len({fold(name) for name in LISTED_NAMES}) == len(LISTED_NAMES)
    by_fold: dict[str, set[str]] = {}
    for alias, name in ALIASES.items():
        by_fold.setdefault(fold(alias), set()).add(name)
    assert all(len(names) == 1 for names in by_fold.values())
    assert set(by_fold).isdisjoint(map(fold, LISTED_NAMES))


def test_every_alias_means_its_listed_event() -> None:
    for alias, name in ALIASES.items():
        assert (decoded(alias).name, meaning_of(decoded(alias))) == (name, MEANINGS[name])
    assert set(SOURCES) <= set(ALIASES)


def test_control_events_have_no_aliases() -> None:
    """Rule: only the listed control events, in any spelling, act on a customer or an alert."""
    assert CONTROL_EVENTS.isdisjoint(ALIASES.values())
    for name in CONTROL_EVENTS:
        assert all(decoded(variant).is_control for variant in spellings(name))


def test_types_of_calls_match_exactly_as_names() -> None:
    """Rule: a product's own event `Group` or `Alias` is not a group call."""
    for name in ("Group", "GROUP", "Alias", "Identify", "Page", "Screen"):
        assert decoded(name).name == name
        assert meaning_of(decoded(name)) is UNKNOWN
    assert decoded("page").name == "page"


@pytest.mark.parametrize("properties", [{}, {"data": {"object": {}}}, {"item": {}}, {"data": {"item": {}}}])
def test_an_alias_reads_the_properties_of_its_source(properties: dict[str, Any]) -> None:
    """Rule: a raw Stripe subscription has its reason, whether the object or the whole notification was published."""
    stripe = {"id": "sub_1", "cancellation_details": {"reason": "payment_failed", "feedback": "too_expensive"}}
    inner = properties
    while inner:
        inner = next(iter(inner.values()))
    inner.update(stripe)
    found = decoded("customer.subscription.deleted", properties)
    assert found.name == "Subscription Cancelled"
    wanted = ("sub_1", "payment_failed", "too_expensive")
    assert tuple(found.properties[key] for key in ("subscription_id", "reason", "feedback")) == wanted


def test_an_alias_never_replaces_a_property_that_was_sent() -> None:
    found = decoded("customer.subscription.deleted", {"id": "evt_1", "subscription_id": "sub_1"})
    assert found.properties["subscription_id"] == "sub_1"
    rated = decoded("conversation.rating.added", {"conversation_rating": {"rating": 2}})
    assert (rated.name, rated.properties["kind"], rated.properties["score"]) == ("Survey Response Submitted", "csat", 2)


def test_every_listed_event_counts_changes_state_or_is_ignored_for_a_reason() -> None:
    """Rule: no event with a meaning is without effect, and no event with an effect is called ignored."""
    without = {name for name, row in MEANINGS.items() if not row.engaged and row.counter < 0 and not row.effect}
    assert without == set(IGNORED)
    assert all(reason.endswith(".") for reason in IGNORED.values())
    assert not any(MEANINGS[name].decisive for name in IGNORED)


PASSIVE = """Email Drafted|push_attempted|InAppMessageAttempted|SMS Undelivered|PushNotSent|InAppDisplay|
Newsletter Sent|weekly_digest_sent|WhatsApp Message Delivered|In-App Message Queued|Reminder Sent|
Import Failed|invoice.updated|Invoice Finalized|INVOICE FINALIZED|chargeUpdated|Payout Paid|webhook_received|
Report Generated|Data Synced|Session Expired|Account Created by System|Account Suspended|saved automatically|
Sent Newsletter|Delivered Email|Received Push|creditNoteCreated|push_delivery|Message Received|Order Shipped|
Payment Scheduled|Campaign Sent|Notification Sent|Reward Issued|Export Failed|sms.inbound.bounce"""

ACTIVE = """Email Verified|Email Changed|Notification Settings Changed|Push Enabled|Payment Accepted|
Level Finished|Message Sent|message_sent|Invite Sent|Gift Sent|giftSent|Friend Request Sent|Sent Message|
Invoice Viewed|invoice_downloaded|Invoice Clicked|Report Shared|Meeting Scheduled|Scheduled Report Viewed|Consent|
Present Opened|Notification Clicked|Search|Nightly Export|Sentiment Checked|Charged Up Mode|Feed|Application Started"""


@pytest.mark.parametrize("name", [name.strip() for name in PASSIVE.split("|")])
def test_what_is_done_to_the_customer_is_not_engagement(name: str) -> None:
    """Rule: an unlisted name in a passive form does not count, in any spelling that shows its words."""
    parts = name_words(name)
    for variant in (name, "_".join(parts), " ".join(parts).upper(), "".join(part.capitalize() for part in parts)):
        assert not meaning_of(decoded(variant)).engaged, variant


@pytest.mark.parametrize("name", [name.strip() for name in ACTIVE.split("|")])
def test_what_the_customer_does_is_engagement(name: str) -> None:
    """Rule: every other unlisted name counts, also if people send or schedule by hand."""
    assert meaning_of(decoded(name)).engaged


NEAR = {
    "Subscription Cancelled": "Subscripton Cancelled|Cancelled Subscription|subscription_canceld|subscriptoncancelled|"
    "Subscription Cancellation|cancelSubscription|Subscription Cancelation|Subscriptions Cancelled",
    "Payment Failed": "Failed Payment|payement_failed|Payment Failure|PAYMENT FALIED",
    "User Deletion Requested": "User Deletion Request|user_deletion_requestd",
    "Order Refunded": "Order Refundd|refundOrder",
}


def test_near_misses_of_decisive_events_are_found() -> None:
    """Rule: one or two typos, another order, or another form of the same words."""
    for name, misses in NEAR.items():
        for miss in misses.split("|"):
            assert near(miss) == name, miss


def test_other_names_are_not_near() -> None:
    """Rule: neither a listed name in any spelling, nor an alias, nor another word is a near miss."""
    for name in LISTED_NAMES:
        assert [variant for variant in spellings(name) if near(variant)] == []
    assert [alias for alias in ALIASES if near(alias)] == []
    for name in (
        "Ticket Rated",
        "Trial Stopped",
        "Level Finished",
        "Subscription Removed",
        "Plan Viewed",
        "",
        "x" * 99,
    ):
        assert near(name) is None


def test_names_of_definitions_are_recognised_in_every_spelling_and_have_near_misses() -> None:
    """Rule: a churn event with a name of the user's own is as safe against spelling as a listed one."""
    names = EventNames(used=["Contract Quit", "order_completed"], decisive=["Contract Quit"])
    for variant in ("contract_quit", "contractQuit", "CONTRACT  QUIT", "Contract Quit"):
        assert decoded(variant, names=names).name == "Contract Quit"
    assert decoded("order_completed", names=names).name == "Order Completed"
    assert (names.near("Contratc Quit"), near("Contratc Quit")) == ("Contract Quit", None)
    assert decoded("contract_quit").name == "contract_quit"


def test_resolved_names_are_bounded() -> None:
    """Rule: a producer that sends a new name with each event neither fills the memory nor changes a result."""
    names = EventNames()
    for number in range(NAMES_CACHED + 10):
        assert names.resolve(f"Item {number} Delivered").meaning is UNKNOWN_PASSIVE
    assert len(names.cached) <= NAMES_CACHED
    assert names.resolve("order_completed").name == "Order Completed"
    assert names.resolve("page").name == "page"


def test_a_known_name_costs_one_lookup() -> None:
    """Rule: the second event of a name needs neither folding nor classing (measured: 0.1 us; the bound is loose)."""
    LISTED.resolve("order_completed")
    start = time.perf_counter()
    for _ in range(10_000):
        LISTED.resolve("order_completed")
    assert time.perf_counter() - start < 10_000 * 5e-6


def test_taxonomy_examples_hold() -> None:
    assert doctest.testmod(taxonomy).failed == 0
