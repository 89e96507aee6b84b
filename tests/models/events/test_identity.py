"""Ids that identify no customer, and which of two ids is the customer."""

from __future__ import annotations

from typing import Any

import pytest

from models.events.event import Event
from models.events.identity import BLOCKED_IDS, is_blocked
from tests.models.events.test_event import call, event, reason

ZEROS = ("0", "00000", "-", "--", "00000000-0000-0000-0000-000000000000", "0" * 40, 0, -1, "-1", "0-0")
SPELLED = ("NULL", "Undefined", " none ", "NaN", "[object Object]", "Anonymous", "GUEST", "True", "N/A")


@pytest.mark.parametrize("identity", [*sorted(BLOCKED_IDS), *ZEROS, *SPELLED])
def test_a_blocked_id_is_no_customer(identity: object) -> None:
    """Rule: the text of a missing value identifies no customer, in any case and as either id."""
    assert reason(call(userId=identity)) == "blocked_customer"
    assert reason(call(userId=None, anonymousId=identity)) == "blocked_customer"
    assert reason(call(userId=identity, anonymousId=identity)) == "blocked_customer"


@pytest.mark.parametrize(
    "identity", ["1", 1, "007", "100", -7, "c-0", "null-device", "Anonymous Ltd", "nan@example.org", "un\u212anown"]
)
def test_an_id_that_only_resembles_one_is_a_customer(identity: object) -> None:
    """Rule: only the whole id is compared, and a number with another digit than zero is an id."""
    assert event(call(userId=identity)).customer == str(identity)
    assert not is_blocked(str(identity))


@pytest.mark.parametrize("identity", ["", "  ", "undefined", "0", 0, "null"])
def test_an_empty_or_blocked_user_id_beside_an_anonymous_id_is_that_visitor(identity: object) -> None:
    """Rule: a program without a user sends an empty or missing value; its visitor is still known."""
    decoded = event(call(userId=identity, anonymousId="v-1"))
    assert (decoded.customer, decoded.anonymous) == ("v-1", True)


@pytest.mark.parametrize("identity", ["u" * 257, "\u00e9" * 129])
def test_a_user_id_that_is_too_long_is_not_replaced(identity: str) -> None:
    """Rule: an id is refused, never cut, and never replaced by another customer's."""
    assert reason(call(userId=identity, anonymousId="v-1")) == "bad_customer"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"userId": ""}, "bad_customer"),
        ({"userId": " "}, "bad_customer"),
        ({"userId": "", "anonymousId": ""}, "bad_customer"),
        ({"userId": "", "anonymousId": "null"}, "blocked_customer"),
        ({"userId": None, "anonymousId": ""}, "bad_customer"),
        ({"userId": None}, "missing_customer"),
    ],
)
def test_without_a_usable_id_the_reason_is_that_of_the_last(ids: dict[str, Any], expected: str) -> None:
    assert reason(call(**ids)) == expected


def group(**changes: Any) -> Event:
    return event(call(type="group", properties=None, **changes))


def test_a_blocked_group_is_no_account() -> None:
    """Rule: customers of a program without an account are not one account. The event still counts."""
    decoded = group(groupId="undefined", traits={"plan": "pro"})
    assert (decoded.group, decoded.properties, decoded.unreadable) == (None, {"plan": "pro"}, ["groupId"])
    assert group(groupId="id").group == "id"


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "alias"])
def test_context_names_the_account_and_the_traits_of_any_call(kind: str) -> None:
    """Rule: `context.groupId` and `context.traits` are read in every call; only traits that have a meaning are kept."""
    context = {"groupId": "acme", "traits": {"plan": "pro", "email": "anna@example.org"}, "ip": "::1"}
    decoded = event(call(type=kind, context=context))
    assert (decoded.group, decoded.traits, decoded.unreadable) == ("acme", {"plan": "pro"}, None)


def test_group_id_of_a_group_call_takes_precedence() -> None:
    assert group(groupId="acme", context={"groupId": "other"}).group == "acme"


@pytest.mark.parametrize(
    ("context", "noted"),
    [
        ({"groupId": "null"}, ["context.groupId"]),
        ({"groupId": {}}, ["context.groupId"]),
        ({"groupId": "g" * 257}, ["context.groupId"]),
        ({"traits": [1]}, ["context.traits"]),
        ({"groupId": "", "traits": None}, None),
    ],
)
def test_unreadable_context_is_noted_and_changes_nothing(context: dict[str, Any], noted: list[str] | None) -> None:
    """Rule: what a library adds to the context never rejects an event."""
    decoded = event(call(context=context))
    assert (decoded.group, decoded.traits, decoded.unreadable) == (None, None, noted)
