"""Read the identity of the object that an event is about, from the places where senders put it.

An identity is reduced to a 64-bit hash, which is enough to distinguish objects. 0 means that there is none.
"""

from __future__ import annotations

from typing import Any, Final

from xxhash import xxh3_64_intdigest

SUBSCRIPTION_IDS: Final = (
    "subscription_id",  # RudderStack, Chargebee
    "subscriptionId",  # Segment (JavaScript), Paddle
    "subscriptionID",
    "subscription",  # Stripe: the id on invoices, or the expanded object
    "subscription.id",  # flattened: Chargebee, Segment's Stripe source
    "content.subscription.id",  # Chargebee's envelope, flattened
    "subscr_id",  # PayPal
)
"""Names of the property that identifies a subscription, in this order."""

ORDER_IDS: Final = (
    "order_id",  # Segment, RudderStack, WooCommerce
    "orderId",
    "orderID",
    "order",  # the id, or the expanded object
    "order.id",  # flattened
    "transaction_id",  # GA4
    "transactionId",
    "checkout_id",
    "parent_id",  # WooCommerce: the order of a refund
)
"""Names of the property that identifies an order, in this order."""

TICKET_IDS: Final = (
    "ticket_id",  # Zendesk, Freshdesk
    "ticketId",
    "ticketID",
    "ticket",  # the id, or the expanded object
    "ticket.id",  # flattened
    "conversation_id",  # Intercom, Segment's live chat
    "conversationId",
    "conversation",
    "conversation.id",
    "case_id",  # Salesforce
    "caseId",
    "issue_id",
)
"""Names of the property that identifies a ticket, in this order."""

_SUBSCRIPTION_PLACES: Final = (("content", "subscription"), ("data", "subscription"))
"""Nested objects that are a subscription: in Chargebee's content, in Paddle's data."""

_NO_IDS: Final = frozenset({"", "null", "undefined", "none", "nan", "0", "[object object]"})
"""Texts that stand for a missing value in the sender's language."""


def _text(value: object) -> str | None:
    if isinstance(value, str):
        identity = value.strip()
        return None if identity.lower() in _NO_IDS else identity
    if isinstance(value, int) and not isinstance(value, bool) and value:
        return str(value)
    return None


def _of_object(value: object) -> str | None:
    """Read the id of an expanded subscription. An object of another type is none."""
    if not isinstance(value, dict) or value.get("object", "subscription") != "subscription":
        return None
    return _text(value.get("id")) or _text(value.get("subscription_id"))


def subscription_text(properties: dict[str, Any]) -> str | None:
    """Return the id of the subscription that an event is about, None without one.

    >>> subscription_text({"subscription_id": "sub_A"}), subscription_text({"subscription": {"id": "sub_A"}})
    ('sub_A', 'sub_A')
    >>> subscription_text({"object": "subscription", "id": "sub_A"}), subscription_text({"id": "evt_1"})
    ('sub_A', None)
    """
    for name in SUBSCRIPTION_IDS:
        value = properties.get(name)
        if value is not None and (identity := _text(value) or _of_object(value)) is not None:
            return identity
    data = properties.get("data")
    for value in (properties, data.get("object") if isinstance(data, dict) else None):  # Stripe's objects have a type
        typed = isinstance(value, dict) and value.get("object") == "subscription"
        if typed and (identity := _of_object(value)) is not None:
            return identity
    for outer, inner in _SUBSCRIPTION_PLACES:
        holder = properties.get(outer)
        if isinstance(holder, dict) and (identity := _of_object(holder.get(inner))) is not None:
            return identity
    return None


def order_key(properties: dict[str, Any], own_id: bool = False) -> int:
    """Return the key of the order that an event is about, 0 without an id.

    Args:
        properties: Of the event.
        own_id: Whether `id` is the order's, as in Shopify's and WooCommerce's orders. In a refund it is the refund's.

    >>> order_key({"order_id": 7}) == order_key({"order": {"id": "7"}}) == order_key({"id": "7"}, own_id=True) != 0
    True
    """
    return _key(properties, ORDER_IDS) or (_key(properties, ("id",)) if own_id else 0)


def ticket_key(properties: dict[str, Any]) -> int:
    """Return the key of the ticket that an event is about, 0 without an id.

    >>> ticket_key({"ticket_id": "t-1"}) == ticket_key({"ticket": {"id": "t-1"}}) != ticket_key({"id": "t-1"}) == 0
    True
    """
    return _key(properties, TICKET_IDS)


def _key(properties: dict[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = properties.get(name)
        if value is None:
            continue
        identity = _text(value)
        if identity is None and isinstance(value, dict):
            identity = _text(value.get("id"))
        if identity is not None:
            return xxh3_64_intdigest(identity.encode("utf-8", "replace")) or 1
    return 0


def subscription_key(properties: dict[str, Any]) -> int:
    """Return the key of the subscription that an event is about, 0 without an id.

    >>> subscription_key({"mrr": 5}), subscription_key({"subscriptionId": "7"}) == subscription_key({"subscription": 7})
    (0, True)
    """
    identity = subscription_text(properties)
    return 0 if identity is None else xxh3_64_intdigest(identity.encode("utf-8", "replace")) or 1


__all__ = [
    "ORDER_IDS",
    "SUBSCRIPTION_IDS",
    "TICKET_IDS",
    "order_key",
    "subscription_key",
    "subscription_text",
    "ticket_key",
]
