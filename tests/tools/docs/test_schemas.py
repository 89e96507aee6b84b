"""The JSON Schemas match the code: valid records pass, and invalid ones fail."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import STATES
from models.alerts.policy import TYPES, AlertEvent, AlertScore, due_ms, step
from models.alerts.settings import BANDS, AlertSettings
from models.duration import DAY_MS
from models.events.event import Event, decode
from models.events.rejection import MAX_PROPERTIES
from models.explanations.codes import CODES, PLAYBOOKS
from models.features.scoring_point import DECISIVE, EVENT, SILENCE, SNAPSHOT
from models.outputs.alert_record import alert_value
from models.profile.apply_feedback import BARRIERS
from streams.settings import Settings
from streams.topics import ALERTS, EVENTS, LABELS, SCORES, name_of
from tools.docs import alerts, samples
from tools.docs.schemas import NAMES as SCHEMA_NAMES
from tools.docs.schemas import SCHEMAS, schema

OUT = ("alert", "score", "label")
NOW_MS = 1_709_628_985_766
VALIDATORS = {name: jsonschema.Draft202012Validator(schema(name)) for name in SCHEMA_NAMES}


def errors(name: str, document: Any) -> list[str]:
    """What is wrong with a document."""
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in VALIDATORS[name].iter_errors(document)]


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object with named fields."""
    if isinstance(node, dict):
        if "properties" in node and node.get("type") == "object":
            yield node
        for inner in node.values():
            yield from objects(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from objects(inner)


# What the schemas require --------------------------------------------------------------------------------------------


def test_every_public_topic_has_a_schema() -> None:
    """There are no other schema files."""
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{name}.schema.json" for name in SCHEMA_NAMES}
    for name, topic in zip(SCHEMA_NAMES, (EVENTS, ALERTS, SCORES, LABELS), strict=True):
        assert schema(name)["title"] == name_of(topic, Settings())
        jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_field_is_described(name: str) -> None:
    """Each field has a description, at any depth."""
    for part in objects(schema(name)):
        for field, node in part["properties"].items():
            assert len(node.get("description", "")) > 3, field


@pytest.mark.parametrize("name", OUT)
def test_published_records_have_all_fields_and_no_others(name: str) -> None:
    """Unknown fields are null, never omitted."""
    for part in objects(schema(name)):
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False


def test_enums_match_the_code() -> None:
    """States, types, bands, reasons, barriers and triggers."""
    alert, score = schema("alert")["properties"], schema("score")["properties"]
    assert alert["type"]["enum"] == list(TYPES)
    assert alert["state"]["enum"] == list(STATES[2:])
    assert alert["resolution"]["enum"] == [*alerts.RESOLUTIONS, None]
    for node in (alert["severity"], alert["score"]["properties"]["band"], score["band"]):
        assert node["enum"] == list(BANDS)
    for name in ("alert", "score"):
        codes = schema(name)["$defs"]["reason"]["properties"]["code"]["enum"]
        assert set(codes) == {*PLAYBOOKS, *CODES}
        assert schema(name)["properties"]["barriers"]["items"]["enum"] == sorted(BARRIERS)
    for node in (alert["timing"]["properties"]["trigger"], score["trigger"]):
        assert node["enum"] == [EVENT, DECISIVE, SNAPSHOT, SILENCE]


# What the code writes ------------------------------------------------------------------------------------------------


def life_tables(note: bytes) -> dict[str, AlertEvent]:
    """An alert event of every type, from the policy; `note` is stored with every score."""
    settings = AlertSettings(definition="d", dwell_ms=0)
    found: dict[str, AlertEvent] = {}

    def score(at_ms: int, percentile: float, **more: Any) -> AlertScore:
        return AlertScore(at_ms, percentile / 2, percentile, 0.1, f"c@{at_ms}", **more)

    def stepped(state: Any, at_ms: int, new: AlertScore | None = None, **more: Any) -> Any:
        state, events, _ = step(state, new, settings, at_ms, customer="c", **more)
        found.update({event.type: event for event in events})
        if state is not None:
            state.note = note
        return state

    state = stepped(None, NOW_MS, score(NOW_MS, 0.96))
    stepped(
        state, NOW_MS + 1, score(NOW_MS + 1, 0.2, oldest_new_ms=NOW_MS - DAY_MS)
    )  # the event that lowers it arrived late
    stepped(state, NOW_MS + 1, churned=True)
    state = stepped(state, NOW_MS + 1, score(NOW_MS + 1, 0.999))
    state = stepped(state, NOW_MS + 2, action=AlertAction("acknowledge"))
    state = stepped(state, NOW_MS + 3, action=AlertAction("snooze", None, NOW_MS + DAY_MS))
    state = stepped(state, due_ms(state, settings))
    stepped(state, NOW_MS + 2 * DAY_MS, score(NOW_MS + 2 * DAY_MS, 0.2))
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_an_alert_of_every_type_is_valid(kind: str) -> None:
    """The alerts contain a real score."""
    head = set(schema("alert")["required"][:10])
    note = json.dumps({key: value for key, value in published().items() if key not in head}).encode()
    value = json.loads(alert_value(life_tables(note)[kind], note))
    assert errors("alert", value) == []
    assert value["type"] == kind
    assert (value["resolution"] is None) == (value["state"] in STATES[2:5])
    assert (value["snoozed_until"] is None) == (kind != "snoozed")


def test_every_alert_of_the_simulated_customers_is_valid() -> None:
    """All alerts that docs/alerts.md is generated from, and the example on that page."""
    assert len(alerts.alert_events()) > 10
    for alert in alerts.alert_events():
        assert errors("alert", json.loads(alert.value)) == []
    assert errors("alert", json.loads(alerts.example().split("```")[1].removeprefix("json"))) == []


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """One published value of each kind, of simulated customers."""
    made = samples.outputs()
    return {"score": made.score, "label": json.loads(made.labels[-1]), "alert": published()}


def published() -> dict[str, Any]:
    """An alert of the simulated customers."""
    found: dict[str, Any] = json.loads(alerts.alert_events()[0].value)
    return found


def mutations(node: dict[str, Any], root: dict[str, Any], value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(what, container, key or new key): every field is once omitted, and once has an invalid type."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    for choice in node.get("oneOf", ()):
        if choice["type"] == "object" and isinstance(value, dict):
            node = choice
    if isinstance(value, dict):
        for name, inner in node.get("properties", {}).items():
            yield f"{path}{name}", value, name
            yield from mutations(inner, root, value[name], f"{path}{name}.")
    elif isinstance(value, list) and isinstance(node.get("items"), dict):
        for item in value[:1]:
            yield from mutations(node["items"], root, item, f"{path}0.")


@pytest.mark.parametrize("name", OUT)
def test_changed_record_is_not_valid(name: str, written: dict[str, Any]) -> None:
    """Each field is omitted and replaced by an invalid value; also, a field is added."""
    good = copy.deepcopy(written[name])
    assert errors(name, good) == []
    tried = 0
    for what, holder, key in list(mutations(schema(name), schema(name), good)):
        kept = dict(holder)
        del holder[key]
        assert not VALIDATORS[name].is_valid(good), f"without {what}"
        wrong: Any
        for wrong in ({"x": []}, [[]], "yes" if key == "consent" else True):
            holder.clear()
            holder.update(kept | {key: wrong})
            assert not VALIDATORS[name].is_valid(good), f"{what} = {wrong}"
        if isinstance(kept[key], str) and what.endswith(("time", "_at", "state", "type", "band", "code", "stage")):
            holder[key] = "yesterday"
            assert not VALIDATORS[name].is_valid(good), f"{what} = yesterday"
        holder.clear()
        holder.update(kept)
        tried += 1
    assert tried >= len(schema(name)["properties"])
    assert VALIDATORS[name].is_valid(good)
    assert not VALIDATORS[name].is_valid(good | {"more": 1})


# What the code accepts -----------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Any, ...]] = {
    "type": ("track", "identify", "page", "screen", "group", "alias", "Track", None),
    "event": ("Order Completed", "", None, 3, "x" * 200),
    "userId": ("u", 7, 7.5, "", None, True, [], "u" * 256, "u" * 257),
    "anonymousId": ("a", 0, "", None, {}),
    "messageId": ("m", 7, "", None, [], False),
    "groupId": ("g", "", None, 9, []),
    "previousId": ("p", "", None, {}),
    "timestamp": (
        NOW_MS,
        NOW_MS // 1000,
        "2024-03-05",
        "2024-03-05T10:00:00+01:00",
        "1709628985",
        "yesterday",
        None,
        3,
    ),
    "sentAt": ("2024-03-05T10:00:00Z", "now", None),
    "properties": ({}, {"a": [1, {"b": None}]}, None, [], "x", dict.fromkeys(map(str, range(MAX_PROPERTIES + 1)))),
    "traits": ({"plan": "pro"}, None, 3),
    "context": ({"active": False}, {}, None, []),
    "unheard": (1, {"of": []}),
}


def test_an_event_that_the_schema_accepts_is_accepted() -> None:
    """Half of the values are typical, and half are arbitrary."""
    rng = random.Random(4)
    valid = accepted = 0
    for _ in range(1_500):
        event = {
            name: rng.choice(values if rng.random() < 0.3 else values[:2])
            for name, values in VALUES.items()
            if name in ("type", "userId", "timestamp") or rng.random() < 0.5
        }
        fine = VALIDATORS["event"].is_valid(event)
        taken = isinstance(decode(json.dumps(event).encode(), [], NOW_MS), Event)
        assert taken or not fine, event
        valid, accepted = valid + fine, accepted + taken
    assert valid > 300
    assert valid >= 0.95 * accepted  # what it refuses beyond that is not worth sending: `event` of a page that is 3
