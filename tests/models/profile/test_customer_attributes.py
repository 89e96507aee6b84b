"""Attributes of a customer in the places and formats of real systems; identifiers are kept whole."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from models.events.event import Event, decode
from models.profile.apply import apply
from models.profile.schema import Identity, Profile
from tests.models.events.test_event import call
from tests.models.histories import event

URN = "urn:example:tenant:eu-central-1:organization:00000000-0000-4000-8000-00000000000"


def applied(*events: Event) -> tuple[Profile, Identity]:
    profile = Profile()
    for one in events:
        apply(profile, one)
    return profile, profile.identity or Identity()


def sent(**changes: Any) -> Event:
    decoded = decode(call(**changes), [], None)
    assert isinstance(decoded, Event)
    return decoded


def value(stamp: tuple[int, int, str] | None) -> str | None:
    return None if stamp is None else stamp[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "group", "groupId": URN + "1"},
        {"type": "page", "context": {"groupId": URN + "1"}},
        {"type": "identify", "traits": {"account": URN + "1"}},
        {"type": "identify", "traits": {"company": {"id": URN + "1", "name": "Acme"}}},
        {"type": "identify", "traits": {}, "context": {"traits": {"account_id": URN + "1"}}},
        {"event": "Signed Up", "properties": {"accountId": URN + "1"}},
    ],
)
def test_account_is_kept_whole_wherever_it_stands(changes: dict[str, Any]) -> None:
    """Rule: two tenants that differ in the last of 78 characters are two accounts."""
    assert value(applied(sent(**changes))[1].account) == URN + "1"


@pytest.mark.parametrize("name", ["plan", "segment", "source", "account"])
@pytest.mark.parametrize("text", ["x" * 65, "x" * 256, "é" * 128])
def test_attributes_up_to_256_bytes_are_kept_whole(name: str, text: str) -> None:
    assert value(getattr(applied(sent(type="identify", traits={name: text}))[1], name)) == text


@pytest.mark.parametrize("name", ["plan", "segment", "source", "account"])
@pytest.mark.parametrize("bad", ["x" * 257, "é" * 129, "undefined", "[object Object]", True, [], {}])
def test_other_values_are_missing_and_noted(name: str, bad: object) -> None:
    """Rule: an attribute is refused, never cut, and the text of a missing value is none."""
    one = sent(type="identify", traits={name: bad})
    assert getattr(applied(one)[1], name) is None
    assert one.unreadable == [name]


@pytest.mark.parametrize(
    "traits", [{"plan": "pro"}, {"plan": {"id": "price_1", "nickname": "pro"}}, {"planName": "pro"}]
)
def test_plan_is_read_as_text_and_as_object(traits: dict[str, Any]) -> None:
    assert value(applied(sent(type="identify", traits=traits))[1].plan) == "pro"


def test_context_of_any_event_updates_the_customer() -> None:
    """Rule: mobile libraries state traits in the context; of an ordinary event, properties describe something else."""
    one = sent(event="Plan Viewed", properties={"plan": "enterprise"}, context={"traits": {"plan": "free"}})
    assert value(applied(one)[1].plan) == "free"
    assert applied(sent(event="Plan Viewed", properties={"plan": "enterprise"}))[1].plan is None


def test_subscription_s_own_plan_wins_over_the_context() -> None:
    properties, context = {"plan": "pro"}, {"traits": {"plan": "free", "segment": "smb"}}
    _, identity = applied(sent(event="Subscription Started", properties=properties, context=context))
    assert (value(identity.plan), value(identity.segment)) == ("pro", "smb")


def test_context_does_not_depend_on_order() -> None:
    events = [event("page", 1_728_000_000_000 + at) for at in range(3)]
    for number, one in enumerate(events):
        one.traits = {"plan": f"p{number}"}
        one.group = f"g{number}"
    for order in itertools.permutations(events):
        _, identity = applied(*order)
        assert (value(identity.plan), value(identity.account)) == ("p2", "g2")


@pytest.mark.parametrize(
    ("traits", "subscribed"),
    [
        ({"email_opt_in": True}, 1),
        ({"email_opt_in": "false"}, 0),
        ({"unsubscribed_from_emails": True}, 0),
        ({"unsubscribed": "0"}, 1),
        ({"email_opt_in": "?"}, None),
    ],
)
def test_traits_state_whether_messages_are_wanted(traits: dict[str, Any], subscribed: int | None) -> None:
    stamp = applied(sent(type="identify", traits=traits))[1].subscribed
    assert (None if stamp is None else stamp[2]) == subscribed


@pytest.mark.parametrize(
    ("traits", "referred"),
    [
        ({"referred": True}, True),
        ({"referred": "yes"}, True),
        ({"referred_by": "c-9"}, True),
        ({"referral_code": "ANNA10"}, True),
        ({"referrer": "https://example.org/"}, False),
        ({"referrer": "$direct"}, False),
        ({"referrer": ""}, False),
        ({"referred": "false"}, False),
    ],
)
def test_a_referral_is_by_a_customer_not_by_a_web_page(traits: dict[str, Any], referred: bool) -> None:
    assert applied(sent(type="identify", traits=traits))[1].referred is referred
