"""Mixpanel: events of the raw export."""

from __future__ import annotations

from typing import Final

from models.imports.calls import CallMaker, customer_of, identifier, text_at, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_DEVICE: Final = "$device:"
_NAMES: Final = {
    "$signup": "Signed Up",
    "$ae_session": "Session Ended",
    "$ae_first_open": "Application Installed",
    "$ae_updated": "Application Updated",
    "$ae_crashed": "Application Crashed",
}
_PAGES: Final = {"$mp_web_page_view": "page", "mp_page_view": "page"}
_RESERVED: Final = frozenset({"distinct_id", "time", "token", "distinct_id_before_identity"})


def _convert(row: Row) -> Mapped:
    name, properties = row.get("event"), row.get("properties")
    if not isinstance(properties, dict):
        return NoEvent("unknown_row")
    if not isinstance(name, str) or not name:
        return NoEvent("missing_event_name")
    timestamp = timestamp_of(properties.get("time"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    message_id = properties.get("$insert_id")
    if name in ("$identify", "$create_alias", "$merge"):
        return _identity(timestamp, message_id, name, properties)
    customer = _customer(properties)
    if customer is None:
        return NoEvent("missing_customer")
    maker = CallMaker(customer, timestamp, message_id)
    own = _own(properties)
    if name in _PAGES:
        url = properties.get("$current_url") or properties.get("current_url")
        title = properties.get("current_page_title")
        return [maker.page(_PAGES[name], {"name": title, "url": url, **own})]
    if name == "$ae_session":
        own["duration"] = properties.get("$ae_session_length")
    return [maker.track(_NAMES.get(name, name), own)]


def _customer(properties: Row) -> Row | None:
    """Read the user. A distinct ID that is the device's is an anonymous visitor."""
    user, distinct, device = (properties.get(name) for name in ("$user_id", "distinct_id", "$device_id"))
    if identifier(user) is not None:
        return customer_of(user, device)
    of_device = isinstance(distinct, str) and (distinct.startswith(_DEVICE) or distinct.removeprefix(_DEVICE) == device)
    if of_device:
        return customer_of(None, str(distinct).removeprefix(_DEVICE))
    return customer_of(distinct, device)


def _identity(timestamp: str, message_id: object, name: str, properties: Row) -> Mapped:
    """Read which visitor became which user."""
    if name == "$identify":
        user, visitor = properties.get("$identified_id"), properties.get("$anon_id")
    elif name == "$create_alias":
        user, visitor = properties.get("alias"), properties.get("distinct_id")
    else:
        merged = properties.get("$distinct_ids")
        visitor, user = (*merged, None, None)[:2] if isinstance(merged, list) else (None, None)
    customer = customer_of(user)
    if customer is None:
        return NoEvent("missing_customer")
    maker = CallMaker(customer, timestamp, message_id)
    if isinstance(visitor, str):
        visitor = visitor.removeprefix(_DEVICE)
    return [maker.identify({}) if identifier(visitor) is None else maker.alias(visitor)]


def _own(properties: Row) -> Row:
    """Drop what Mixpanel adds: its names begin with `$` or `mp_`."""
    return {
        name: value for name, value in properties.items() if not name.startswith(("$", "mp_")) and name not in _RESERVED
    }


def _event_name(row: Row) -> str:
    return text_at(row, "event")


MIXPANEL: Final = ImportSource(
    name="mixpanel",
    title="Mixpanel",
    convert=_convert,
    event_name=_event_name,
    names=(
        *(NameMapping(name, event, "a call of this type") for name, event in _PAGES.items()),
        *map(NameMapping, _NAMES, _NAMES.values()),
        NameMapping("$identify", "alias", "a call of this type, from visitor to user"),
        NameMapping("$create_alias", "alias", "a call of this type"),
        NameMapping("$merge", "alias", "a call of this type"),
    ),
    fields=(
        FieldMapping("properties.$user_id, otherwise distinct_id", "userId"),
        FieldMapping("properties.$device_id; distinct_id if it is the device's", "anonymousId"),
        FieldMapping("properties.time (seconds)", "timestamp"),
        FieldMapping("properties.$insert_id", "messageId"),
        FieldMapping("properties without those that begin with $ or mp_", "properties"),
        FieldMapping("properties.$current_url, current_page_title", "properties.url, properties.name"),
        FieldMapping("properties.$ae_session_length", "properties.duration"),
    ),
)

__all__ = ["MIXPANEL"]
