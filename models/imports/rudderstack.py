"""RudderStack: events as JSON, and rows of its warehouse tables. Segment's exports have the same forms."""

from __future__ import annotations

from typing import Final

from models.imports.calls import (
    CallMaker,
    customer_of,
    identifier,
    member,
    object_at,
    text_at,
    timestamp_of,
    without_blanks,
)
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_TYPES: Final = frozenset({"track", "page", "screen", "identify", "group", "alias"})
_STANDARD: Final = frozenset(
    {"id", "anonymous_id", "user_id", "event", "event_text", "type", "channel", "group_id", "previous_id"}
    | {"timestamp", "original_timestamp", "sent_at", "received_at", "uuid_ts", "loaded_at", "rudder_id"}
)
"""Columns that every warehouse table has."""

_NOT_PROPERTIES: Final = ("context_", "_")


def _convert(row: Row) -> Mapped:
    return _event(row) if text_at(row, "type") in _TYPES and not _is_snake(row) else _warehouse_row(row)


def _is_snake(row: Row) -> bool:
    return "anonymous_id" in row or "user_id" in row or "original_timestamp" in row


def _event(row: Row) -> Mapped:
    """Keep an event as it is, without members that are never read."""
    kind = row["type"]
    customer = customer_of(row.get("userId"), row.get("anonymousId"))
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("timestamp") or row.get("originalTimestamp") or row.get("receivedAt"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("messageId"))
    properties = object_at(row, "properties")
    call = _made(maker, kind, row.get("event"), row.get("groupId"), row.get("previousId"), row)
    if isinstance(call, NoEvent):
        return call
    name = text_at(row, "name")
    if kind in ("page", "screen") and name:
        properties = {"name": name, **properties}
    if kind in ("track", "page", "screen") and properties:
        call["properties"] = without_blanks(properties)
    active = member(row, "context", "active")
    if active is False:
        call["context"] = {"active": False}
    return [call]


def _made(maker: CallMaker, kind: str, event: object, group: object, previous: object, row: Row) -> Row | NoEvent:
    if kind == "track":
        return maker.track(event, {}) if isinstance(event, str) and event else NoEvent("missing_event_name")
    if kind in ("page", "screen"):
        return maker.page(kind, {})
    if kind == "alias":
        return maker.alias(previous)
    traits = object_at(row, "traits") or object_at(row, "context", "traits")
    return maker.identify(traits) if kind == "identify" else maker.group(group, traits)


def _warehouse_row(row: Row) -> Mapped:
    """Read a row of a table. The table follows from columns that only one table has."""
    if not _is_snake(row):
        return NoEvent("unknown_row")
    customer = customer_of(row.get("user_id"), row.get("anonymous_id"))
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("timestamp") or row.get("original_timestamp") or row.get("received_at"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("id"))
    own = {name: value for name, value in row.items() if name not in _STANDARD and not name.startswith(_NOT_PROPERTIES)}
    event = text_at(row, "event_text") or text_at(row, "event")
    if event:
        return [maker.track(event, own)]
    if identifier(row.get("previous_id")) is not None:
        return [maker.alias(row["previous_id"])]
    if identifier(row.get("group_id")) is not None:
        return [maker.group(row["group_id"], own)]
    kind = text_at(row, "type")
    if kind == "screen" or (not kind and "screen_name" in row):
        return [maker.page("screen", own)]
    if kind == "page" or (not kind and ("url" in row or "path" in row)):
        return [maker.page("page", own)]
    return [maker.identify({**_context_traits(row), **own})]


def _context_traits(row: Row) -> Row:
    prefix = "context_traits_"
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def _event_name(row: Row) -> str:
    return text_at(row, "event_text") or text_at(row, "event") or text_at(row, "type")


RUDDERSTACK: Final = ImportSource(
    name="rudderstack",
    title="RudderStack",
    convert=_convert,
    event_name=_event_name,
    names=(
        NameMapping("type track", "the name in `event`", "unchanged"),
        NameMapping("type page, screen, identify, group, alias", "the same type", "unchanged"),
        NameMapping("row with event_text or event", "the name in `event_text`", "tables `tracks` and of one event"),
        NameMapping("row with previous_id", "alias", "table `aliases`"),
        NameMapping("row with group_id", "group", "table `groups`"),
        NameMapping("row with url or path", "page", "table `pages`"),
        NameMapping("row with screen_name, or type `screen`", "screen", "table `screens`"),
        NameMapping("any other row", "identify", "tables `identifies` and `users`"),
    ),
    fields=(
        FieldMapping("userId, user_id", "userId"),
        FieldMapping("anonymousId, anonymous_id", "anonymousId"),
        FieldMapping("timestamp, otherwise originalTimestamp, original_timestamp", "timestamp"),
        FieldMapping("messageId, id", "messageId"),
        FieldMapping("properties; columns without the standard ones and context_", "properties"),
        FieldMapping("traits, context.traits, context_traits_", "traits"),
        FieldMapping("groupId, group_id", "groupId"),
        FieldMapping("previousId, previous_id", "previousId"),
        FieldMapping("context.active", "context.active"),
    ),
)

__all__ = ["RUDDERSTACK"]
