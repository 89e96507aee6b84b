"""PostHog: events of batch exports and of the API."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from models.events.coercion import as_number
from models.imports.calls import CallMaker, customer_of, identifier, text_at, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_PAGES: Final = {"$pageview": "page", "$screen": "screen"}
_NAMES: Final = {
    "survey sent": "Survey Response Submitted",
    "survey shown": "Survey Sent",
    "$exception": "Error Shown",
}
_AUTOMATIC: Final = frozenset(
    {"$pageleave", "$feature_flag_called", "$web_vitals", "$$heatmap", "$csp_violation", "$opt_in", "$groupidentify"}
)
"""Events that the library sends by itself."""


def _convert(row: Row) -> Mapped:
    name, properties = row.get("event"), _object(row.get("properties"))
    if not isinstance(name, str) or not name:
        return NoEvent("missing_event_name" if "distinct_id" in row else "unknown_row")
    customer = _customer(row.get("distinct_id", properties.get("distinct_id")), properties)
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("timestamp"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("uuid"))
    if name in _PAGES:
        return [maker.page(_PAGES[name], _page(properties))]
    if name in ("$identify", "$set"):
        return _identity(maker, properties)
    if name == "$create_alias" and identifier(properties.get("alias")) is not None:
        return [maker.alias(properties["alias"])]
    if name == "$groupidentify" and identifier(properties.get("$group_key")) is not None:
        return [maker.group(properties["$group_key"], _object(properties.get("$group_set")))]
    own = _own(properties)
    if name.startswith("survey "):
        own.update(_survey(properties))
    event = _NAMES.get(name, name)
    return [maker.passed_on(event, own) if name in _AUTOMATIC else maker.track(event, own)]


def _object(value: object) -> Row:
    """Read an object; warehouses store it as text."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def _customer(distinct: object, properties: Row) -> Row | None:
    """Read the user. A distinct ID that is the device's, or not identified, is an anonymous visitor."""
    device = properties.get("$device_id")
    if properties.get("$is_identified") is False or (device is not None and distinct == device):
        return customer_of(None, distinct)
    return customer_of(distinct, device)


def _identity(maker: CallMaker, properties: Row) -> Mapped:
    traits = {**_object(properties.get("$set_once")), **_object(properties.get("$set"))}
    calls = [maker.identify(traits)]
    visitor = properties.get("$anon_distinct_id")
    if identifier(visitor) is not None:
        call = maker.alias(visitor)
        if "messageId" in call:
            call["messageId"] = f"{call['messageId']}:alias"
        calls.append(call)
    return calls


def _page(properties: Row) -> Row:
    name = properties.get("$screen_name") or properties.get("title")
    stated = {"name": name, "url": properties.get("$current_url"), "path": properties.get("$pathname")}
    return {**_own(properties), **stated}


def _survey(properties: Row) -> Row:
    """Return the survey and a numeric response; what the scale means is not stated."""
    score: Any = as_number(properties.get("$survey_response"))
    return {"survey": properties.get("$survey_name"), "survey_id": properties.get("$survey_id"), "score": score}


def _own(properties: Row) -> Row:
    return {name: value for name, value in properties.items() if not name.startswith("$") and name not in _RESERVED}


def _event_name(row: Row) -> str:
    return text_at(row, "event")


_RESERVED: Final = frozenset({"distinct_id", "token"})

POSTHOG: Final = ImportSource(
    name="posthog",
    title="PostHog",
    convert=_convert,
    event_name=_event_name,
    names=(
        *(NameMapping(name, event, "a call of this type") for name, event in _PAGES.items()),
        NameMapping("$identify", "identify", "a call of this type"),
        NameMapping("$identify", "alias", "besides, with `$anon_distinct_id`"),
        NameMapping("$set", "identify", "a call of this type"),
        NameMapping("$create_alias", "alias", "a call of this type"),
        NameMapping("$groupidentify", "group", "a call of this type"),
        *map(NameMapping, _NAMES, _NAMES.values()),
    ),
    fields=(
        FieldMapping("distinct_id", "userId"),
        FieldMapping("distinct_id if it is the device's or not identified", "anonymousId"),
        FieldMapping("timestamp", "timestamp"),
        FieldMapping("uuid", "messageId"),
        FieldMapping("properties without those that begin with $", "properties"),
        FieldMapping("properties.$set, $set_once of $identify", "traits"),
        FieldMapping("properties.$current_url, $pathname, $screen_name", "properties.url, path, name"),
        FieldMapping("properties.$survey_name, $survey_id, $survey_response", "properties.survey, survey_id, score"),
        FieldMapping("properties.$group_key", "groupId"),
    ),
    wrappers=("results",),
)

__all__ = ["POSTHOG"]
