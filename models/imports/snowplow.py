"""Snowplow: enriched events as the JSON of the analytics SDKs."""

from __future__ import annotations

from typing import Any, Final

from models.events.coercion import as_number
from models.imports.billing_amounts import code_of
from models.imports.calls import CallMaker, customer_of, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_PAGES: Final = {"page_view": "page", "screen_view": "screen"}
_NAMES: Final = {
    "transaction": "Order Completed",
    "application_error": "Error Shown",
    "application_install": "Application Installed",
}
_ECOMMERCE: Final = {
    "transaction": "Order Completed",
    "refund": "Order Refunded",
    "product_view": "Product Viewed",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
}
"""By the type of `snowplow_ecommerce_action`."""

_UNSTRUCT: Final = "unstruct_event_"
_SPEC: Final = "contexts_com_snowplowanalytics_snowplow_ecommerce_"


def _convert(row: Row) -> Mapped:
    name = _event_name(row)
    if not name:
        return NoEvent("missing_event_name" if "event_id" in row else "unknown_row")
    if name == "transaction_item":
        return NoEvent("reported_elsewhere")
    visitor = row.get("domain_userid") or row.get("network_userid")
    customer = customer_of(row.get("user_id"), visitor or _session_user(row))
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("derived_tstamp") or row.get("collector_tstamp"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker, own = CallMaker(customer, timestamp, row.get("event_id")), _unstruct(row)
    if name in _PAGES:
        page = {"name": row.get("page_title"), "url": row.get("page_url"), "path": row.get("page_urlpath")}
        return [maker.page(_PAGES[name], {**page, **own})]
    if name == "snowplow_ecommerce_action":
        return [maker.track(_ECOMMERCE.get(str(own.get("type")), name), {**own, **_ecommerce(row)})]
    if row.get("event") == "struct":
        own = {part: row.get(f"se_{part}") for part in ("category", "label", "property", "value")}
    elif name == "transaction":
        own = {**own, **_transaction(row)}
    return [maker.track(_NAMES.get(name, name), own)]


def _unstruct(row: Row) -> Row:
    """Return the data of the self-describing event: its column is named after its schema."""
    for key, value in row.items():
        if key.startswith(_UNSTRUCT):
            data = value.get("data", value) if isinstance(value, dict) and "schema" in value else value
            if isinstance(data, dict):
                return data
    return {}


def _context(row: Row, prefix: str) -> Row:
    """Return the first entity whose column begins with the prefix, whatever the version of its schema is."""
    for key, value in row.items():
        if key.startswith(prefix):
            first = value[0] if isinstance(value, list) and value else value
            return first if isinstance(first, dict) else {}
    return {}


def _session_user(row: Row) -> Any:
    """Mobile trackers name the device in the session entity."""
    return _context(row, "contexts_com_snowplowanalytics_snowplow_client_session_").get("userId")


def _ecommerce(row: Row) -> Row:
    entity = _context(row, f"{_SPEC}transaction_") or {}
    refund = _context(row, f"{_SPEC}refund_")
    if not entity and not refund:
        return {}
    amount = refund.get("refund_amount") if refund else entity.get("revenue")
    stated = refund or entity
    currency = code_of(stated.get("currency"))
    return {"order_id": stated.get("transaction_id"), "revenue": as_number(amount), "currency": currency}


def _transaction(row: Row) -> Row:
    currency = code_of(row.get("tr_currency"))
    return {"order_id": row.get("tr_orderid"), "revenue": as_number(row.get("tr_total")), "currency": currency}


def _event_name(row: Row) -> str:
    if row.get("event") == "struct" and isinstance(row.get("se_action"), str):
        return str(row["se_action"])
    name = row.get("event_name") or row.get("event")
    return name if isinstance(name, str) else ""


SNOWPLOW: Final = ImportSource(
    name="snowplow",
    title="Snowplow",
    convert=_convert,
    event_name=_event_name,
    names=(
        *(NameMapping(name, event, "a call of this type") for name, event in _PAGES.items()),
        *map(NameMapping, _NAMES, _NAMES.values()),
        *(NameMapping("snowplow_ecommerce_action", event, f"type `{kind}`") for kind, event in _ECOMMERCE.items()),
        NameMapping("struct", "the name in `se_action`"),
    ),
    fields=(
        FieldMapping("user_id", "userId"),
        FieldMapping("domain_userid, otherwise network_userid or the session entity's userId", "anonymousId"),
        FieldMapping("derived_tstamp, otherwise collector_tstamp", "timestamp"),
        FieldMapping("event_id", "messageId"),
        FieldMapping("unstruct_event_*", "properties"),
        FieldMapping("se_category, se_label, se_property, se_value", "properties"),
        FieldMapping("page_url, page_urlpath, page_title", "properties.url, path, name"),
        FieldMapping("tr_orderid; transaction_id of the entity", "properties.order_id"),
        FieldMapping("tr_total; revenue or refund_amount of the entity", "properties.revenue"),
        FieldMapping("tr_currency; currency of the entity", "properties.currency"),
    ),
)

__all__ = ["SNOWPLOW"]
