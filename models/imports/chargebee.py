"""Chargebee: events of webhooks and of the list of events."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from models.imports.billing_amounts import card_expiry, code_of, decimal_of, major_amount, monthly
from models.imports.calls import CallMaker, customer_of, member, object_at, objects_at, text_at, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row

_OBJECTS: Final = ("customer", "subscription", "invoice", "transaction", "payment_source", "card", "credit_note")
_INVOLUNTARY: Final = frozenset({"not_paid", "no_card"})


def _convert(row: Row) -> Mapped:
    name, content = text_at(row, "event_type"), object_at(row, "content")
    if not name or not content:
        return NoEvent("unknown_row")
    customer = _customer(content)
    if customer is None:
        about_one = any(kind in content for kind in _OBJECTS)
        return NoEvent("missing_customer" if about_one else "not_about_a_customer")
    timestamp = timestamp_of(row.get("occurred_at"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("id"))
    handler = _EVENTS.get(name.removesuffix("_with_backdating"))
    if handler is not None:
        return handler(maker, content)
    return [maker.passed_on(name, {f"{kind}_id": member(content, kind, "id") for kind in _OBJECTS[1:]})]


def _customer(content: Row) -> Row | None:
    stated = member(content, "customer", "id")
    if stated is None:
        stated = next((found for kind in _OBJECTS[1:] if (found := member(content, kind, "customer_id"))), None)
    return customer_of(stated)


# Subscriptions -------------------------------------------------------------------------------------------------------


def _properties(content: Row) -> Row:
    subscription = object_at(content, "subscription")
    plans = [item for item in objects_at(subscription, "subscription_items") if item.get("item_type") == "plan"]
    currency = subscription.get("currency_code")
    return {
        "subscription_id": subscription.get("id"),
        "plan": plans[0].get("item_price_id") if plans else subscription.get("plan_id"),
        "mrr": _mrr(subscription),
        "currency": code_of(currency),
        "period_end": subscription.get("current_term_end"),
    }


def _mrr(subscription: Row) -> float | int | None:
    """Return the stated MRR, otherwise the prices of plan and add-ons, converted to a month."""
    currency = subscription.get("currency_code")
    if subscription.get("mrr") is not None:
        return major_amount(subscription["mrr"], currency)
    if items := objects_at(subscription, "subscription_items"):
        amounts = [decimal_of(_amount(item)) for item in items if text_at(item, "item_type") in ("plan", "addon")]
    else:
        plan = subscription.get("plan_amount")
        if plan is None:
            plan = _product(subscription.get("plan_unit_price"), subscription.get("plan_quantity"))
        amounts = [decimal_of(plan), *(decimal_of(_amount(addon)) for addon in objects_at(subscription, "addons"))]
    known = [amount for amount in amounts if amount is not None]
    if not known or len(known) < len(amounts):
        return None
    price = monthly(sum(known, Decimal(0)), subscription.get("billing_period_unit"), subscription.get("billing_period"))
    return None if price is None else major_amount(str(price), currency)


def _amount(item: Row) -> object:
    stated = item.get("amount")
    return stated if stated is not None else _product(item.get("unit_price"), item.get("quantity"))


def _product(price: object, quantity: object) -> str | None:
    one, count = decimal_of(price), decimal_of(1 if quantity is None else quantity)
    return None if one is None or count is None else str(one * count)


def _started(maker: CallMaker, content: Row) -> Mapped:
    properties = _properties(content)
    status = member(content, "subscription", "status")
    if status == "in_trial":
        trial_end = member(content, "subscription", "trial_end")
        return [maker.track("Trial Started", {**properties, "mrr": None, "trial_end": trial_end})]
    return NoEvent("not_started") if status == "future" else [maker.track("Subscription Started", properties)]


def _changed(maker: CallMaker, content: Row) -> Mapped:
    """Chargebee does not state the former price: `models.imports.plan_changes` finds it in the events before."""
    return [maker.passed_on("Subscription Updated", _properties(content))]


def _cancelled(maker: CallMaker, content: Row) -> Mapped:
    subscription = object_at(content, "subscription")
    trial_end, ended = subscription.get("trial_end"), subscription.get("cancelled_at")
    in_trial = isinstance(trial_end, int) and isinstance(ended, int) and ended <= trial_end
    event = "Trial Ended" if in_trial and subscription.get("activated_at") is None else "Subscription Cancelled"
    return [maker.track(event, {**_properties(content), "period_end": None, **_reason(subscription)})]


def _cancel_scheduled(maker: CallMaker, content: Row) -> Mapped:
    subscription = object_at(content, "subscription")
    end = subscription.get("cancelled_at") or subscription.get("current_term_end")
    own = {**_reason(subscription), "period_end": end}
    return [maker.track("Subscription Cancel Scheduled", {**_properties(content), **own})]


def _reason(subscription: Row) -> Row:
    """A cause of the system is in `cancel_reason`; without one, the customer or the merchant cancelled."""
    cause, code = text_at(subscription, "cancel_reason"), text_at(subscription, "cancel_reason_code")
    reason = "payment_failed" if cause in _INVOLUNTARY else cause or "cancellation_requested"
    return {"reason": reason, "feedback": code.strip().lower().replace(" ", "_")}


def _named(event: str) -> Callable[[CallMaker, Row], Mapped]:
    return lambda maker, content: [maker.track(event, _properties(content))]


# Payments ------------------------------------------------------------------------------------------------------------


def _transaction(content: Row) -> Row:
    transaction, invoice = object_at(content, "transaction"), object_at(content, "invoice")
    linked = objects_at(transaction, "linked_invoices")
    currency = transaction.get("currency_code") or invoice.get("currency_code")
    return {
        "invoice_id": invoice.get("id") or (linked[0].get("invoice_id") if linked else None),
        "subscription_id": transaction.get("subscription_id") or invoice.get("subscription_id"),
        "transaction_id": transaction.get("id"),
        "amount": major_amount(transaction.get("amount", invoice.get("total")), currency),
        "currency": code_of(currency),
    }


def _payment_succeeded(maker: CallMaker, content: Row) -> Mapped:
    recovered = member(content, "invoice", "dunning_status") is not None
    return [maker.track("Payment Recovered" if recovered else "Payment Succeeded", _transaction(content))]


def _payment_failed(maker: CallMaker, content: Row) -> Mapped:
    reason = member(content, "transaction", "error_code") or "payment_failed"
    return [maker.track("Payment Failed", {**_transaction(content), "reason": reason})]


def _payment_refunded(maker: CallMaker, content: Row) -> Mapped:
    return [maker.passed_on("Payment Refunded", _transaction(content))]


def _method(maker: CallMaker, content: Row) -> Mapped:
    card = object_at(content, "payment_source", "card") or object_at(content, "card")
    return [maker.track("Payment Method Updated", {"card_expires": card_expiry(card)})]


def _event_name(row: Row) -> str:
    return text_at(row, "event_type")


_EVENTS: Final[dict[str, Callable[[CallMaker, Row], Mapped]]] = {
    "subscription_created": _started,
    "subscription_started": _started,
    "subscription_activated": _started,
    "subscription_reactivated": _started,
    "subscription_changed": _changed,
    "subscription_renewed": _named("Subscription Renewed"),
    "subscription_paused": _named("Subscription Paused"),
    "subscription_resumed": _named("Subscription Resumed"),
    "subscription_cancellation_scheduled": _cancel_scheduled,
    "subscription_scheduled_cancellation_removed": _named("Subscription Cancel Withdrawn"),
    "subscription_cancelled": _cancelled,
    "payment_succeeded": _payment_succeeded,
    "payment_failed": _payment_failed,
    "payment_refunded": _payment_refunded,
    "payment_source_added": _method,
    "payment_source_updated": _method,
    "card_added": _method,
    "card_updated": _method,
}

CHARGEBEE: Final = ImportSource(
    name="chargebee",
    title="Chargebee",
    convert=_convert,
    event_name=_event_name,
    names=(
        NameMapping("subscription_created", "Subscription Started", "status `active` or `non_renewing`"),
        NameMapping("subscription_created", "Trial Started", "status `in_trial`"),
        NameMapping("subscription_started", "Subscription Started"),
        NameMapping("subscription_activated", "Subscription Started"),
        NameMapping("subscription_reactivated", "Subscription Started"),
        NameMapping("subscription_changed", "Subscription Upgraded", "MRR rises since the events before"),
        NameMapping("subscription_changed", "Subscription Downgraded", "MRR falls since the events before"),
        NameMapping("subscription_changed", "Subscription Updated", "MRR is equal, or was unknown"),
        NameMapping("subscription_renewed", "Subscription Renewed"),
        NameMapping("subscription_paused", "Subscription Paused"),
        NameMapping("subscription_resumed", "Subscription Resumed"),
        NameMapping("subscription_cancellation_scheduled", "Subscription Cancel Scheduled"),
        NameMapping("subscription_scheduled_cancellation_removed", "Subscription Cancel Withdrawn"),
        NameMapping("subscription_cancelled", "Subscription Cancelled"),
        NameMapping("subscription_cancelled", "Trial Ended", "the subscription ends within its trial"),
        NameMapping("payment_succeeded", "Payment Succeeded"),
        NameMapping("payment_succeeded", "Payment Recovered", "the invoice was in dunning"),
        NameMapping("payment_failed", "Payment Failed"),
        NameMapping("payment_refunded", "Payment Refunded"),
        NameMapping("payment_source_added", "Payment Method Updated"),
        NameMapping("payment_source_updated", "Payment Method Updated"),
        NameMapping("card_added", "Payment Method Updated"),
        NameMapping("card_updated", "Payment Method Updated"),
    ),
    fields=(
        FieldMapping("content.customer.id, otherwise customer_id of the object", "userId"),
        FieldMapping("occurred_at", "timestamp"),
        FieldMapping("id", "messageId"),
        FieldMapping("content.subscription.id", "properties.subscription_id"),
        FieldMapping("subscription_items[].item_price_id of the plan, otherwise plan_id", "properties.plan"),
        FieldMapping("mrr, otherwise the amounts of plan and add-ons with billing_period", "properties.mrr"),
        FieldMapping("currency_code", "properties.currency"),
        FieldMapping("current_term_end", "properties.period_end"),
        FieldMapping("trial_end", "properties.trial_end"),
        FieldMapping("cancel_reason", "properties.reason"),
        FieldMapping("cancel_reason_code", "properties.feedback"),
        FieldMapping("content.transaction.amount", "properties.amount"),
        FieldMapping("content.invoice.id", "properties.invoice_id"),
        FieldMapping("expiry_month, expiry_year of the card", "properties.card_expires"),
    ),
    wrappers=("list",),
    unwrap="event",
)

__all__ = ["CHARGEBEE"]
