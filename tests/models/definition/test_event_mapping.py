"""`[events]` of churn.toml maps a user's own event names, is checked, hashed, and printed back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.definition.churn_definition import ChurnDefinition
from models.definition.event_mapping import MAPPINGS_MAX
from models.definition.toml_table import DefinitionError
from models.events.event import Event, decode, meaning_of
from models.events.taxonomy import CONTROL_EVENTS, MEANINGS

CHURN = '[churn.definitions.voluntary]\nevent = "Subscription Cancelled"\n'


def definition(*entries: str, churn: str = CHURN) -> ChurnDefinition:
    return ChurnDefinition.parse("\n".join([churn, "[events]", *entries]))


def mapped(found: ChurnDefinition, name: str, properties: dict[str, Any] | None = None) -> Event:
    call = {"type": "track", "event": name, "userId": "c", "timestamp": 1741599000, "properties": properties or {}}
    event = decode(json.dumps(call).encode(), [], None, None, found.names)
    assert isinstance(event, Event), event
    return event


def test_an_own_name_becomes_the_listed_event_with_its_properties() -> None:
    """Rule: `as` gives name, row and effect; a path fills the property that the effect and `where` read."""
    found = definition('"cancelled_plan" = { as = "Subscription Cancelled", reason = "$.why", source = "portal" }')
    for spelled in ("cancelled_plan", "Canceled Plan", "cancelledPlan"):
        event = mapped(found, spelled, {"why": "too slow", "reason": "stale"})
        assert (event.name, meaning_of(event)) == ("Subscription Cancelled", MEANINGS["Subscription Cancelled"])
        assert event.properties == {"why": "too slow", "reason": "too slow", "source": "portal"}
    assert mapped(found, "cancelled_plan", {"reason": "kept"}).properties["reason"] == "kept"
    assert mapped(found, "Subscription Cancelled", {"why": "x"}).properties == {"why": "x"}


@pytest.mark.parametrize(
    ("path", "properties", "value"),
    [
        ("$.case.number", {"case": {"number": 7}}, 7),
        ("$.items.1.id", {"items": [{"id": "a"}, {"id": "b"}]}, "b"),
        ("$.items.9.id", {"items": [{"id": "a"}]}, None),
        ("$.case.number", {"case": "text"}, None),
        ("$.case.number", {"case": {"number": None}}, None),
        ("$.case.number", {}, None),
    ],
)
def test_a_path_is_read_or_leaves_the_property(path: str, properties: dict[str, Any], value: object) -> None:
    event = mapped(
        definition(f'"ticket_done" = {{ as = "Ticket Solved", ticket_id = "{path}" }}'), "ticket_done", properties
    )
    assert event.properties.get("ticket_id") == value
    assert ("ticket_id" in event.properties) is (value is not None)


def test_paths_are_read_before_any_property_is_set() -> None:
    """Rule: two properties can be swapped."""
    event = mapped(definition('"Swap" = { a = "$.b", b = "$.a" }'), "Swap", {"a": 1, "b": 2})
    assert event.properties == {"a": 2, "b": 1}


def test_engagement_scoring_and_family_of_own_and_listed_names() -> None:
    found = definition(
        '"Nightly Export" = { engaged = false }',
        '"Report Generated" = { engaged = true }',
        '"Contract Reviewed" = { decisive = true }',
        '"Kiosk Banner Shown" = { family = "messaging" }',
        '"Hotline Called" = { family = "support", engaged = false }',
        '"Invoice Created" = { engaged = true }',
    )
    names = ("Nightly Export", "Report Generated", "Contract Reviewed", "Kiosk Banner Shown", "Hotline Called")
    rows = [meaning_of(mapped(found, name)) for name in names]
    assert [row.engaged for row in rows] == [False, True, True, False, False]
    assert [row.decisive for row in rows] == [False, False, True, False, False]
    assert [row.family for row in rows] == ["activity", "activity", "activity", "messaging", "support"]
    assert [row.counter >= 0 for row in rows] == [False, False, False, True, False]
    assert [mapped(found, name).name for name in names] == list(names)
    assert meaning_of(mapped(found, "Invoice Created")).engaged
    assert meaning_of(mapped(found, "invoice.finalized")).engaged, "an alias follows its listed event"


def test_an_alias_or_listed_event_can_be_mapped_elsewhere() -> None:
    """Rule: the user's entry wins over the table, and the properties of an alias stay readable."""
    found = definition(
        '"Account Deleted" = { as = "Subscription Cancelled", reason = "account_deleted" }',
        '"ticket_closed" = { as = "Ticket Updated" }',
    )
    for name in ("account_deleted", "contact.deleted"):
        event = mapped(found, name)
        assert (event.name, event.properties["reason"]) == ("Subscription Cancelled", "account_deleted")
    assert mapped(found, "ticket.closed").name == "Ticket Updated"
    assert mapped(found, "conversation.admin.closed", {"id": 5}).properties["ticket_id"] == 5


def test_names_in_definitions_and_goals_are_those_that_decode_gives() -> None:
    """Rule: every name in the file may have any spelling, or be a name of [events] or of another product."""
    found = definition(
        '"cancelled_plan" = { as = "Subscription Cancelled" }',
        '"Quit For Good" = { as = "contractQuit" }',
        churn="""[churn.definitions.a]
event = "cancelled_plan"
[churn.definitions.b]
event = "contract_quit"
[churn.definitions.c]
not_performed = ["order_completed", "Order Completed", "app.opened"]
for = "30d"
[goals.g]
event = "goalCompleted"
[label]
primary = ["a", "b"]
""",
    )
    assert sorted(found.by_event) == ["Subscription Cancelled", "contract_quit"]
    assert found.named("c").not_performed == ("Order Completed", "Application Opened")[::-1]  # type: ignore[union-attr]
    assert found.goals[0].event == "Goal Completed"
    assert mapped(found, "Contract Quit").name == "contract_quit"
    assert mapped(found, "quit_for_good").name == "contract_quit"
    assert found.names.near("Contract Qit") == "contract_quit"


def test_the_effective_definition_prints_and_parses_back() -> None:
    entries = (
        '"cancelled_plan" = { as = "subscription_canceled", reason = "$.why", weight = 1.5, final = true }',
        "nightly = { engaged = false, decisive = true }",
        '"B" = { family = "crm" }',
    )
    found = definition(*entries)
    again = ChurnDefinition.parse(found.to_toml())
    assert (again, again.hash, again.label_hash) == (found, found.hash, found.label_hash)
    assert definition(*reversed(entries)).hash == found.hash


def test_entries_are_part_of_every_hash_and_their_absence_of_none() -> None:
    """Rule: they change labels and profiles, so a worker refuses state from before; files without them keep theirs."""
    plain, own = ChurnDefinition.parse(CHURN), definition('"Nightly Export" = { engaged = false }')
    for which in ("hash", "label_hash", "state_hash"):
        assert getattr(own, which) != getattr(plain, which)
        assert getattr(definition(), which) == getattr(plain, which)
    variant = ChurnDefinition.parse(CHURN.replace("Subscription Cancelled", "subscription_canceled"))
    assert (variant.hash, variant.state_hash) == (plain.hash, plain.state_hash)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (['"A" = 7'], 'events.A = 7 is wrong: it must be a table such as { as = "Subscription Cancelled", '),
        (['"A" = {}'], "events.A = a table is wrong: it must be a table such as"),
        (['"A" = { as = 3 }'], "events.A.as = 3 is wrong: it must be a text"),
        (['"A b" = { as = "Subscripton Cancelled" }'], 'did you mean "Subscription Cancelled".'),
        (['"A" = { as = "Level Finished" }'], "it must be a listed event or one that this file uses"),
        (['"A" = { as = "user_deletion_requested" }'], "an event cannot become a control event"),
        (['"A" = { as = "identify" }'], "an event cannot become a control event or an identify"),
        (['"alert snoozed" = { engaged = true }'], 'events."alert snoozed" = a table is wrong: a control event always'),
        (["page = { engaged = false }"], "events.page = a table is wrong: page is a type of calls"),
        (['" _ " = { engaged = false }'], "the name of an event has 1 to 128 characters"),
        ([f"{'x' * 129} = {{ engaged = false }}"], "the name of an event has 1 to 128 characters"),
        (['"A" = { engaged = "no" }'], 'events.A.engaged = "no" is wrong: it must be true or false.'),
        (['"A" = { decisive = 1 }'], "events.A.decisive = 1 is wrong: it must be true or false."),
        (['"A" = { family = "nonsense" }'], 'events.A.family = "nonsense" is wrong: it must be one of activity, '),
        (['"A" = { family = [] }'], "events.A.family = [] is wrong: it must be one of"),
        (['"A" = { as = "page", family = "crm" }'], "the listed event of as already has a family"),
        (['"A" = { reason = "$why" }'], 'events.A.reason = "$why" is wrong: it must be a path'),
        (['"A" = { reason = "$.a..b" }'], 'events.A.reason = "$.a..b" is wrong: it must be a path'),
        (['"A" = { reason = "$.1.2.3.4.5.6.7.8.9" }'], "of at most 8 keys"),
        (['"A" = { reason = [] }'], "events.A.reason = [] is wrong: it must be a path"),
        (['"A" = { reason = nan }'], "events.A.reason = NaN is wrong: it must be a path"),
        (['"A b" = { x = 1 }', "a_b = { x = 1 }"], 'events.a_b is the same name as events."A b": keep one of them.'),
        (['"A" = { ' + ", ".join(f"p{n} = 1" for n in range(17)) + " }"], "has 17 properties: at most 16 are allowed."),
        ([f'"E{n}" = {{ engaged = false }}' for n in range(MAPPINGS_MAX + 1)], "events has 201 entries: at most 200"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_sentence(entries: list[str], message: str) -> None:
    with pytest.raises(DefinitionError) as error:
        definition(*entries)
    assert message in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_events_must_be_a_table() -> None:
    with pytest.raises(DefinitionError, match="events = 3 is wrong: it must be a table of event names"):
        ChurnDefinition.parse("events = 3\n" + CHURN)


def test_no_entry_changes_what_publishers_must_know() -> None:
    """Rule: with and without the file, an event is as valid, as signed, of the same customer and of the same time."""
    found = definition('"A" = { as = "Subscription Cancelled", userId = "$.other", timestamp = 1 }')
    for name in ("A", *CONTROL_EVENTS, "alertSnoozed", "Level Finished", "order_completed"):
        own, plain = mapped(found, name, {"other": "x"}), mapped(ChurnDefinition.parse(CHURN), name, {"other": "x"})
        assert (own.customer, own.time_ms, own.is_control) == (plain.customer, plain.time_ms, plain.is_control)
