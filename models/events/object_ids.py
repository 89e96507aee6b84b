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


def subscription_key(properties: dict[str, Any]) -> int:
    """Return the key of the subscription that an event is about, 0 without an id.

    >>> subscription_key({"mrr": 5}), subscription_key({"subscriptionId": "7"}) == subscription_key({"subscription": 7})
    (0, True)
    """
    identity = subscription_text(properties)
    return 0 if identity is None else xxh3_64_intdigest(identity.encode("utf-8", "replace")) or 1


__all__ = ["SUBSCRIPTION_IDS", "subscription_key", "subscription_text"]
