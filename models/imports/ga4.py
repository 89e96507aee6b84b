"""Google Analytics 4: events that its BigQuery export stores, as JSON."""

from __future__ import annotations

from typing import Any, Final

from models.events.coercion import as_number
from models.imports.billing_amounts import code_of
from models.imports.calls import CallMaker, customer_of, identifier, member, text_at, timestamp_of, without_blanks
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_MICROSECONDS: Final = 1000  # per millisecond
_VALUES: Final = ("string_value", "int_value", "double_value", "float_value")
_PAGES: Final = {"page_view": "page", "screen_view": "screen"}
_NAMES: Final = {
    "login": "Signed In",
    "sign_up": "Signed Up",
    "session_start": "Session Started",
    "purchase": "Order Completed",
    "in_app_purchase": "Order Completed",
    "ecommerce_purchase": "Order Completed",
    "refund": "Order Refunded",
    "purchase_refund": "Order Refunded",
    "view_item": "Product Viewed",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "begin_checkout": "Checkout Started",
    "app_remove": "Application Uninstalled",
    "app_exception": "Error Shown",
}
_SCREEN_NAMES: Final = ("firebase_screen", "firebase_screen_class", "screen_name")


def _convert(row: Row) -> Mapped:
    name = text_at(row, "event_name")
    if not name:
        return NoEvent("missing_event_name")
    customer = customer_of(row.get("user_id"), row.get("user_pseudo_id"))
    if customer is None:
        return NoEvent("missing_customer")
    timestamp = timestamp_of(row.get("event_timestamp"), _MICROSECONDS)
    if isinstance(timestamp, NoEvent):
        return timestamp
    parameters = _parameters(row.get("event_params"))
    maker = CallMaker(customer, timestamp, _message_id(row, parameters))
    if name in _PAGES:
        return [maker.page(_PAGES[name], _page(name, parameters))]
    event = _NAMES.get(name, name)
    if event in ("Order Completed", "Order Refunded"):
        return [maker.track(event, {**parameters, **_order(row, parameters, event)})]
    return [maker.track(event, parameters)]


def _message_id(row: Row, parameters: Row) -> str:
    """GA4 has no event ID: visitor, time, name and the places in the upload identify an event."""
    order = [row.get(name) for name in ("batch_page_id", "batch_ordering_id", "batch_event_index")]
    places = [row.get("event_bundle_sequence_id"), *order]
    parts = [row.get("user_pseudo_id") or row.get("user_id"), row.get("event_timestamp"), row["event_name"], *places]
    if (transaction := _transaction(row, parameters)) is not None:
        parts.append(transaction)
    return ".".join(str(part) for part in parts if part is not None)


def _parameters(listed: object) -> Row:
    """Return the parameters of the list of key and typed value; an object of names and values stays as it is."""
    if isinstance(listed, dict):
        return without_blanks(listed)
    if not isinstance(listed, list):
        return {}
    found: Row = {}
    for entry in listed:
        key, value = member(entry, "key"), member(entry, "value")
        if isinstance(key, str):
            found[key] = _typed(value) if isinstance(value, dict) else value
    return without_blanks(found)


def _typed(value: Row) -> Any:
    """Return the member that has the value. BigQuery's JSON has integers as texts."""
    return next((value[kind] for kind in _VALUES if value.get(kind) is not None), None)


def _page(name: str, parameters: Row) -> Row:
    if name == "screen_view":
        screen = next((parameters[key] for key in _SCREEN_NAMES if key in parameters), None)
        return {"name": screen, **parameters}
    return {"name": parameters.get("page_title"), "url": parameters.get("page_location"), **parameters}


def _transaction(row: Row, parameters: Row) -> str | int | None:
    return identifier(member(row, "ecommerce", "transaction_id") or parameters.get("transaction_id"))


def _order(row: Row, parameters: Row, event: str) -> Row:
    """Return order, amount and products. Amounts in the local currency come first, because `currency` states it."""
    kind = "purchase_revenue" if event == "Order Completed" else "refund_value"
    revenue, currency = member(row, "ecommerce", kind), code_of(parameters.get("currency"))
    if not as_number(revenue):
        revenue = parameters.get("value", row.get("event_value"))
    if not as_number(revenue) and as_number(in_usd := member(row, "ecommerce", f"{kind}_in_usd")):
        revenue, currency = in_usd, "USD"
    items = row.get("items")
    products = [_product(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else None
    return {
        "order_id": _transaction(row, parameters),
        "revenue": as_number(revenue),
        "currency": currency,
        "products": products or None,
    }


def _product(item: Row) -> Row:
    names = {"item_id": "product_id", "item_name": "name", "item_category": "category"}
    product: dict[str, Any] = {names[key]: item.get(key) for key in names}
    return without_blanks(
        {**product, "price": as_number(item.get("price")), "quantity": as_number(item.get("quantity"))}
    )


def _event_name(row: Row) -> str:
    return text_at(row, "event_name")


GA4: Final = ImportSource(
    name="ga4",
    title="Google Analytics 4",
    convert=_convert,
    event_name=_event_name,
    names=(
        *(NameMapping(n, e, "a call of this type") for n, e in _PAGES.items()),
        *map(NameMapping, _NAMES, _NAMES.values()),
    ),
    fields=(
        FieldMapping("user_id", "userId"),
        FieldMapping("user_pseudo_id", "anonymousId"),
        FieldMapping("event_timestamp (microseconds)", "timestamp"),
        FieldMapping("user_pseudo_id, event_timestamp, event_name and the places in the upload", "messageId"),
        FieldMapping("event_params[].key, value", "properties"),
        FieldMapping("ecommerce.transaction_id", "properties.order_id"),
        FieldMapping("ecommerce.purchase_revenue, refund_value, otherwise value", "properties.revenue"),
        FieldMapping("currency of event_params; USD for amounts that exist in USD only", "properties.currency"),
        FieldMapping("items", "properties.products"),
        FieldMapping("page_location, page_title", "properties.url, properties.name"),
    ),
)

__all__ = ["GA4"]
