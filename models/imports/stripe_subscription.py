"""Price, plan and period of a Stripe subscription, and what an update changes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from models.imports.billing_amounts import code_of, decimal_of, major_amount, monthly
from models.imports.calls import object_at, objects_at, text_at
from models.imports.source import Row

STRIPE_EXPONENTS: Final = {"ISK": 2, "MGA": 0, "UGX": 2}
"""Where Stripe's amounts deviate from ISO 4217: they have two decimals for ISK and UGX, none for MGA."""

LIVE: Final = frozenset({"active", "past_due", "unpaid"})
"""Statuses in which the subscription is paid for, or should be."""

BEFORE_START: Final = frozenset({"trialing", "incomplete", "incomplete_expired"})


def stripe_amount(minor: object, currency: object) -> float | int | None:
    """Convert an amount of Stripe to units of its currency.

    >>> stripe_amount(500, "ugx"), stripe_amount(500, "jpy")
    (5, 500)
    """
    return major_amount(minor, currency, STRIPE_EXPONENTS)


def expanded_id(value: object) -> Any:
    """Return the ID of a reference that may be expanded to the whole object."""
    return value.get("id") if isinstance(value, dict) else value


def subscription_properties(subscription: Row) -> Row:
    """Return the properties that every event of a subscription has."""
    items = _items(subscription)
    currency = code_of(subscription.get("currency") or _price(items[0]).get("currency")) if items else None
    return {
        "subscription_id": subscription.get("id"),
        "plan": plan_on_items(items),
        "mrr": monthly_price(items, currency),
        "currency": currency,
        "period_end": _period(subscription, "end"),
    }


def monthly_price(items: list[Row], currency: object) -> float | int | None:
    """Sum the prices of the items, each converted to a month; None if one has no fixed price.

    Metered items have no fixed price and count as 0, unless there are only such items. Discounts and taxes are left
    out.
    """
    total, priced = Decimal(0), False
    for item in items:
        price = _price(item)
        recurring = object_at(price, "recurring") or price
        if recurring.get("usage_type") == "metered":
            continue
        amount = _first(price.get("unit_amount"), price.get("unit_amount_decimal"), price.get("amount"))
        quantity = _packages(decimal_of(_first(item.get("quantity"), 1)), object_at(price, "transform_quantity"))
        minor = decimal_of(amount)
        if minor is None or quantity is None:
            return None
        a_month = monthly(minor * quantity, recurring.get("interval"), recurring.get("interval_count"))
        if a_month is None:
            return None
        total, priced = total + a_month, True
    return stripe_amount(str(total), currency) if priced else None


def _packages(quantity: Decimal | None, transform: Row) -> Decimal | None:
    """Return how many packages are paid for, where the price is that of a package of several units."""
    size = decimal_of(transform.get("divide_by"))
    if quantity is None or size is None or size <= 0:
        return quantity
    rounding = ROUND_CEILING if transform.get("round") == "up" else ROUND_FLOOR
    return (quantity / size).to_integral_value(rounding)


def plan_on_items(items: list[Row]) -> str | None:
    """Return the name of the first item's price: its nickname, its lookup key or its ID."""
    price = _price(items[0]) if items else {}
    return next((price[key] for key in ("nickname", "lookup_key", "id") if isinstance(price.get(key), str)), None)


def changes_of(subscription: Row, previous: Row) -> Iterator[tuple[str, Row]]:
    """Yield the event names of what an update changes, each with its own properties.

    Args:
        subscription: As it is after the update.
        previous: The former values of the attributes that it changes.
    """
    status = text_at(subscription, "status")
    if text_at(previous, "status") in BEFORE_START and status in LIVE:
        yield "Subscription Started", {}
        return
    if "pause_collection" in previous and bool(previous["pause_collection"]) != bool(
        subscription.get("pause_collection")
    ):
        yield ("Subscription Paused" if subscription.get("pause_collection") else "Subscription Resumed"), {}
    yield from _cancellation(subscription, previous)
    if status in BEFORE_START:
        return
    if change := _price_change(subscription, previous):
        yield change, {}
    elif (former := _period(_before(subscription, previous), "start")) is not None:
        now = _period(subscription, "start")
        if isinstance(now, int) and isinstance(former, int) and now > former:
            yield "Subscription Renewed", {}


def cancellation_properties(subscription: Row) -> Row:
    """Return reason and feedback. One that was scheduled was requested, also where Stripe does not state a reason."""
    details = object_at(subscription, "cancellation_details")
    reason = details.get("reason")
    if reason is None and (subscription.get("cancel_at_period_end") or subscription.get("cancel_at")):
        reason = "cancellation_requested"
    return {"reason": reason, "feedback": details.get("feedback")}


def _cancellation(subscription: Row, previous: Row) -> Iterator[tuple[str, Row]]:
    if not {"cancel_at_period_end", "cancel_at"} & previous.keys() or subscription.get("status") == "canceled":
        return
    before = _before(subscription, previous)
    was, now = (bool(state.get("cancel_at_period_end") or state.get("cancel_at")) for state in (before, subscription))
    if now and not was:
        end = subscription.get("cancel_at") or _period(subscription, "end")
        yield "Subscription Cancel Scheduled", {**cancellation_properties(subscription), "period_end": end}
    elif was and not now:
        yield "Subscription Cancel Withdrawn", {}


def _price_change(subscription: Row, previous: Row) -> str | None:
    if not {"items", "plan", "quantity"} & previous.keys():
        return None
    items, former = _items(subscription), _items(_before(subscription, previous))
    if "items" not in previous:
        former = [{"plan": previous.get("plan") or subscription.get("plan"),
                   "quantity": _first(previous.get("quantity"), subscription.get("quantity"))}]  # fmt: skip
    now, before = monthly_price(items, "EUR"), monthly_price(former, "EUR")
    if now is not None and before is not None and now != before:
        return "Subscription Upgraded" if now > before else "Subscription Downgraded"
    return "Subscription Updated" if plan_on_items(items) != plan_on_items(former) else None


def _before(subscription: Row, previous: Row) -> Row:
    return {**subscription, **previous}


def _period(subscription: Row, end: str) -> Any:
    """Return the start or end of the current period: of the subscription, or of its items in newer API versions."""
    name = f"current_period_{end}"
    if (stated := subscription.get(name)) is not None:
        return stated
    return next((item[name] for item in _items(subscription) if item.get(name) is not None), None)


def _items(subscription: Row) -> list[Row]:
    items = objects_at(subscription, "items", "data")
    if not items and isinstance(subscription.get("plan"), dict):
        return [{"plan": subscription["plan"], "quantity": subscription.get("quantity")}]
    return items


def _price(item: Row) -> Row:
    return object_at(item, "price") or object_at(item, "plan")


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


__all__ = [
    "BEFORE_START",
    "LIVE",
    "cancellation_properties",
    "changes_of",
    "expanded_id",
    "monthly_price",
    "plan_on_items",
    "stripe_amount",
    "subscription_properties",
]
