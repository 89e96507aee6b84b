"""Amplitude: events of the Export API."""

from __future__ import annotations

from typing import Final

from models.events.coercion import as_number
from models.imports.billing_amounts import code_of
from models.imports.calls import CallMaker, customer_of, text_at, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_PREFIX: Final = "[Amplitude] "
_PAGES: Final = {"Page Viewed": "page", "Screen Viewed": "screen"}
_NAMES: Final = {
    "session_start": "Session Started",
    "Start Session": "Session Started",
    "session_end": "Session Ended",
    "End Session": "Session Ended",
}
_REVENUE: Final = frozenset({"revenue_amount", "verified_revenue", "unverified_revenue", "Revenue"})
_OPERATIONS: Final = ("$setOnce", "$set")


def _convert(row: Row) -> Mapped:
    name = text_at(row, "event_type")
    if not name:
        return NoEvent("missing_event_name")
    if name == "$groupidentify":
        return NoEvent("not_about_a_customer")
    customer = customer_of(row.get("user_id"), row.get("device_id"))
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("event_time") or row.get("client_event_time") or row.get("time"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("$insert_id") or row.get("insert_id") or row.get("uuid"))
    if name == "$identify":
        return [maker.identify(_traits(row.get("user_properties")))]
    stated = row.get("event_properties")
    properties = stated if isinstance(stated, dict) else {}
    plain = name.removeprefix(_PREFIX)
    if plain in _PAGES:
        return [maker.page(_PAGES[plain], _page(properties))]
    revenue = _revenue(row, properties)
    if plain in _REVENUE:
        if revenue.get("revenue") is None:
            return NoEvent("no_money_moved")
        event = "Order Completed" if revenue["revenue"] > 0 else "Order Refunded"
        return [maker.track(event, {**properties, **revenue, "revenue": abs(revenue["revenue"])})]
    return [maker.track(_NAMES.get(plain, plain), {**properties, **revenue})]


def _traits(stated: object) -> Row:
    """Return the user properties that an identify sets: as operations, or as the state after them."""
    if not isinstance(stated, dict):
        return {}
    operations = [stated[name] for name in _OPERATIONS if isinstance(stated.get(name), dict)]
    if not operations:
        return {name: value for name, value in stated.items() if not name.startswith("$")}
    return {name: value for operation in operations for name, value in operation.items()}


def _page(properties: Row) -> Row:
    names = {"Page Title": "name", "Page URL": "url", "Page Path": "path", "Screen Name": "name"}
    plain = {name.removeprefix(_PREFIX): value for name, value in properties.items()}
    return {**plain, **{names[name]: value for name, value in plain.items() if name in names}}


def _revenue(row: Row, properties: Row) -> Row:
    """Return the revenue of any event: `$revenue`, otherwise `$price` times `$quantity`, and its currency."""

    def found(name: str) -> object:
        return properties.get(f"${name}", row.get(f"${name}", row.get(name)))

    amount, price = as_number(found("revenue")), as_number(found("price"))
    if amount is None and price is not None:
        amount = price * (as_number(found("quantity")) or 1.0)
    if amount is None:
        return {}
    return {"revenue": amount, "currency": code_of(found("currency")), "product_id": found("productId")}


def _event_name(row: Row) -> str:
    return text_at(row, "event_type")


AMPLITUDE: Final = ImportSource(
    name="amplitude",
    title="Amplitude",
    convert=_convert,
    event_name=_event_name,
    names=(
        *(NameMapping(_PREFIX + name, event, "a call of this type") for name, event in _PAGES.items()),
        *(NameMapping(name, event, "also with the prefix `[Amplitude]`") for name, event in _NAMES.items()),
        NameMapping("$identify", "identify", "a call of this type"),
        *(NameMapping(name, "Order Completed", "a revenue event above 0") for name in sorted(_REVENUE)),
        *(NameMapping(name, "Order Refunded", "a revenue event below 0") for name in sorted(_REVENUE)),
    ),
    fields=(
        FieldMapping("user_id", "userId"),
        FieldMapping("device_id", "anonymousId"),
        FieldMapping("event_time", "timestamp"),
        FieldMapping("$insert_id, otherwise uuid", "messageId"),
        FieldMapping("event_properties", "properties"),
        FieldMapping("$revenue, otherwise $price times $quantity", "properties.revenue"),
        FieldMapping("$currency", "properties.currency"),
        FieldMapping("user_properties of $identify", "traits"),
    ),
)

__all__ = ["AMPLITUDE"]
