"""Build calls of the event format from the parts that every export has: customer, time, ID and properties."""

from __future__ import annotations

from typing import Any, Final

from models.duration import rfc3339
from models.events.coercion import time_ms
from models.imports.source import NoEvent, Row

_NO_IDS: Final = frozenset({"", "null", "undefined", "none", "nan", "(not set)", "[object object]"})
"""Texts that stand for a missing ID in the sender's language."""

_PERSONAL: Final = frozenset(
    {"email", "name", "first_name", "last_name", "firstname", "lastname", "full_name", "phone", "address", "username"}
    | {"avatar", "birthday", "ip"}
)
"""Traits that identify a person. No feature reads them, so they stay where they are."""


def identifier(value: object) -> str | int | None:
    """Return an ID exactly as sent, None for a value that is no ID.

    >>> identifier("c-1"), identifier(17), identifier("undefined"), identifier(" "), identifier(True)
    ('c-1', 17, None, None, None)
    """
    if isinstance(value, str):
        return None if value.strip().lower() in _NO_IDS else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def customer_of(user: object, visitor: object = None) -> Row | None:
    """Return the members of a call that name its customer: `userId`, or `anonymousId` without a user.

    >>> customer_of(None, "v-1"), customer_of("c-1", "v-1"), customer_of("", None)
    ({'anonymousId': 'v-1'}, {'userId': 'c-1', 'anonymousId': 'v-1'}, None)
    """
    found = {"userId": identifier(user), "anonymousId": identifier(visitor)}
    return {name: value for name, value in found.items() if value is not None} or None


def timestamp_of(value: object, per_ms: int = 1) -> str | NoEvent:
    """Return a time as RFC 3339; a rejection for a time that is missing or unreadable.

    Args:
        value: RFC 3339, or an epoch number.
        per_ms: Units per millisecond, for epoch numbers finer than milliseconds.

    >>> timestamp_of(1362873600), timestamp_of("1362873600000000", 1000)
    ('2013-03-10T00:00:00Z', '2013-03-10T00:00:00Z')
    >>> timestamp_of("soon").reason, timestamp_of(None).reason
    ('bad_time', 'missing_time')
    """
    if value is None or value == "":
        return NoEvent("missing_time")
    if isinstance(value, str):
        value = value.removesuffix(" UTC")  # BigQuery's form; a time without an offset is UTC
    if per_ms != 1:
        try:
            value = int(value) // per_ms  # type: ignore[call-overload]
        except (TypeError, ValueError):
            return NoEvent("bad_time")
    at_ms = time_ms(value)
    return NoEvent("bad_time") if at_ms is None else rfc3339(at_ms)


def without_blanks(properties: Row) -> Row:
    """Drop members that are null or empty: they state nothing."""
    return {name: value for name, value in properties.items() if value is not None and value != ""}


class CallMaker:
    """Makes the calls of one row, which share customer, time and the source's event ID.

    >>> maker = CallMaker({"userId": "c-1"}, "2025-03-10T00:00:00Z", "evt_1")
    >>> maker.track("Payment Failed", {"amount": 5.0, "reason": None})["properties"], maker.page("page", {})["type"]
    ({'amount': 5.0}, 'page')
    """

    __slots__ = ("_common", "_message_id")

    def __init__(self, customer: Row, timestamp: str, message_id: object = None) -> None:
        self._common = {**customer, "timestamp": timestamp}
        self._message_id = identifier(message_id)

    def track(self, event: str, properties: Row, *, part: str = "", message_id: str | None = None) -> Row:
        """Make a track call.

        Args:
            event: Its name.
            properties: Its properties; those without a value are dropped.
            part: Distinguishes several events of one row.
            message_id: Replaces the row's ID, where several rows report one fact.
        """
        call: Row = {"type": "track", "event": event, **self._common}
        return self._finished(call, "properties", properties, part, message_id)

    def passed_on(self, event: str, properties: Row) -> Row:
        """Make a track call of an unlisted event of a system: it is not the customer's activity."""
        return {**self.track(event, properties), "context": {"active": False}}

    def page(self, kind: str, properties: Row) -> Row:
        """Make a page or screen call."""
        return self._finished({"type": kind, **self._common}, "properties", properties)

    def identify(self, traits: Row) -> Row:
        """Make an identify call."""
        return self._finished({"type": "identify", **self._common}, "traits", _impersonal(traits))

    def group(self, group_id: object, traits: Row) -> Row:
        """Make a group call."""
        return self._finished({"type": "group", **self._common, "groupId": group_id}, "traits", _impersonal(traits))

    def alias(self, previous_id: object) -> Row:
        """Make an alias call."""
        return self._finished({"type": "alias", **self._common, "previousId": previous_id}, "properties", {})

    def _finished(self, call: Row, name: str, values: Row, part: str = "", message_id: str | None = None) -> Row:
        identity = message_id if message_id is not None else self._message_id
        if identity is not None:
            call["messageId"] = f"{identity}:{part}" if part else identity
        if kept := without_blanks(values):
            call[name] = kept
        return call


def object_at(row: object, *path: str) -> Row:
    """Return a nested object, an empty one where there is none.

    >>> object_at({"a": {"b": {"c": 1}}}, "a", "b"), object_at({"a": "x"}, "a", "b")
    ({'c': 1}, {})
    """
    found = member(row, *path)
    return found if isinstance(found, dict) else {}


def objects_at(row: object, *path: str) -> list[Row]:
    """Return the objects of a nested list, none where there is no list.

    >>> objects_at({"a": [{"b": 1}, 7]}, "a"), objects_at({"a": "x"}, "a")
    ([{'b': 1}], [])
    """
    found = member(row, *path)
    return [element for element in found if isinstance(element, dict)] if isinstance(found, list) else []


def text_at(row: object, *path: str) -> str:
    """Return a nested text, "" where there is none.

    >>> text_at({"type": "page"}, "type"), text_at({"type": ["page"]}, "type")
    ('page', '')
    """
    found = member(row, *path)
    return found if isinstance(found, str) else ""


def _impersonal(traits: Row) -> Row:
    return {name: value for name, value in traits.items() if name.lower().strip("$") not in _PERSONAL}


def member(row: object, *path: str) -> Any:
    """Return a nested member, None where a step is missing.

    >>> member({"a": {"b": 1}}, "a", "b"), member({"a": None}, "a", "b")
    (1, None)
    """
    for name in path:
        if not isinstance(row, dict):
            return None
        row = row.get(name)
    return row


__all__ = [
    "CallMaker",
    "customer_of",
    "identifier",
    "member",
    "object_at",
    "objects_at",
    "text_at",
    "timestamp_of",
    "without_blanks",
]
