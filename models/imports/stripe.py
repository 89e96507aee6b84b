"""Stripe: events of the Events API and of webhooks, and lists of subscriptions and invoices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from models.imports.billing_amounts import card_expiry, code_of
from models.imports.calls import CallMaker, customer_of, member, object_at, objects_at, text_at, timestamp_of
from models.imports.source import FieldMapping, ImportSource, Mapped, NameMapping, NoEvent, Row
from models.imports.stripe_disputes import with_disputed_charges
from models.imports.stripe_subscription import (
    BEFORE_START,
    cancellation_properties,
    changes_of,
    expanded_id,
    stripe_amount,
    subscription_properties,
)


def _convert(row: Row) -> Mapped:
    kind = text_at(row, "object")
    if kind in _LISTED:
        return _LISTED[kind](row)
    name, found = text_at(row, "type"), object_at(row, "data", "object")
    if not name or not found:
        return NoEvent("unknown_row")
    customer = _customer(found)
    if customer is None:
        known = "customer" in found or name.startswith("charge.dispute.")
        return NoEvent("missing_customer" if known else "not_about_a_customer")
    timestamp = timestamp_of(row.get("created"))
    if isinstance(timestamp, NoEvent):
        return timestamp
    maker = CallMaker(customer, timestamp, row.get("id"))
    handler = _EVENTS.get(name)
    if handler is None:
        return [maker.passed_on(name, _plain(found))]
    return handler(maker, found, object_at(row, "data", "previous_attributes"))


def _customer(found: Row) -> Row | None:
    if found.get("object") == "customer":
        return customer_of(found.get("id"))
    stated = found.get("customer") or member(found, "charge", "customer") or found.get("client_reference_id")
    return customer_of(expanded_id(stated))


def _plain(found: Row) -> Row:
    """Return the members of an unlisted object that identify it and its state, without names and addresses."""
    kind = found.get("object")
    kept = {f"{kind}_id": found.get("id"), "status": found.get("status"), "reason": found.get("reason")}
    return {name: value for name, value in kept.items() if isinstance(value, str)}


# Subscriptions -------------------------------------------------------------------------------------------------------


def _created(maker: CallMaker, subscription: Row, _previous: Row) -> Mapped:
    status, properties = text_at(subscription, "status"), subscription_properties(subscription)
    if status == "trialing":
        properties.pop("mrr")
        return [maker.track("Trial Started", {**properties, "trial_end": subscription.get("trial_end")})]
    if status in BEFORE_START:
        return NoEvent("not_started")
    return [maker.track("Subscription Started", properties)]


def _updated(maker: CallMaker, subscription: Row, previous: Row) -> Mapped:
    properties = subscription_properties(subscription)
    if not previous:
        return [maker.passed_on("Subscription Updated", properties)]
    changes = list(changes_of(subscription, previous))
    calls = [
        maker.track(event, {**properties, **own}, part=event if len(changes) > 1 else "")
        for event, own in changes
        if event != "Subscription Updated"
    ]
    if any(event == "Subscription Updated" for event, _ in changes):
        calls.append(maker.passed_on("Subscription Updated", properties))
    return calls or NoEvent("nothing_changed")


def _deleted(maker: CallMaker, subscription: Row, _previous: Row) -> Mapped:
    return [maker.track(_end_of(subscription), _ended(subscription))]


def _end_of(subscription: Row) -> str:
    """A trial that ends before it is paid for is no churn."""
    ended, trial_end = subscription.get("ended_at"), subscription.get("trial_end")
    in_trial = isinstance(ended, int) and isinstance(trial_end, int) and ended <= trial_end
    return "Trial Ended" if in_trial else "Subscription Cancelled"


def _ended(subscription: Row) -> Row:
    properties = {**subscription_properties(subscription), **cancellation_properties(subscription)}
    properties.pop("period_end")
    return properties


def _named(event: str) -> Callable[[CallMaker, Row, Row], Mapped]:
    return lambda maker, subscription, _previous: [maker.track(event, subscription_properties(subscription))]


# Payments ------------------------------------------------------------------------------------------------------------


def _invoice_properties(invoice: Row, amount: object) -> Row:
    subscription = invoice.get("subscription") or member(invoice, "parent", "subscription_details", "subscription")
    return {
        "invoice_id": invoice.get("id"),
        "subscription_id": expanded_id(subscription),
        "amount": stripe_amount(amount, invoice.get("currency")),
        "currency": code_of(invoice.get("currency")),
    }


def _paid(maker: CallMaker, invoice: Row, _previous: Row) -> Mapped:
    paid, attempts = invoice.get("amount_paid"), invoice.get("attempt_count")
    if not paid:
        return NoEvent("no_money_moved")
    recovered = isinstance(attempts, int) and attempts > 1
    event = "Payment Recovered" if recovered else "Payment Succeeded"
    # invoice.paid and invoice.payment_succeeded report one payment
    return [maker.track(event, _invoice_properties(invoice, paid), message_id=f"{invoice.get('id')}:paid")]


def _payment_failed(maker: CallMaker, invoice: Row, _previous: Row) -> Mapped:
    intent_error = member(invoice, "payment_intent", "last_payment_error")
    reason = member(invoice, "charge", "failure_code") or member(intent_error, "decline_code") or "payment_failed"
    return [
        maker.track("Payment Failed", {**_invoice_properties(invoice, invoice.get("amount_due")), "reason": reason})
    ]


def _refunded(maker: CallMaker, charge: Row, previous: Row) -> Mapped:
    total, before = charge.get("amount_refunded"), previous.get("amount_refunded")
    amount = total - before if isinstance(total, int) and isinstance(before, int) else total
    refunds = objects_at(charge, "refunds", "data")
    invoice = expanded_id(charge.get("invoice"))
    properties = {
        "order_id": None if invoice else expanded_id(charge.get("payment_intent")) or charge.get("id"),
        "invoice_id": invoice,
        "charge_id": charge.get("id"),
        "amount": stripe_amount(amount, charge.get("currency")),
        "currency": code_of(charge.get("currency")),
        "reason": refunds[0].get("reason") if refunds else None,
    }
    if invoice:
        return [maker.passed_on("Payment Refunded", properties)]
    return [maker.track("Order Refunded", properties)]


def _disputed(maker: CallMaker, dispute: Row, _previous: Row) -> Mapped:
    properties = {
        "dispute_id": dispute.get("id"),
        "charge_id": expanded_id(dispute.get("charge")),
        "amount": stripe_amount(dispute.get("amount"), dispute.get("currency")),
        "currency": code_of(dispute.get("currency")),
        "reason": dispute.get("reason"),
    }
    return [maker.track("Payment Disputed", properties)]


def _checkout(maker: CallMaker, session: Row, _previous: Row) -> Mapped:
    if session.get("mode") != "payment":
        return NoEvent("reported_elsewhere")
    if session.get("payment_status") == "unpaid":
        return NoEvent("no_money_moved")
    properties = {
        "order_id": expanded_id(session.get("payment_intent")) or session.get("id"),
        "revenue": stripe_amount(session.get("amount_total"), session.get("currency")),
        "currency": code_of(session.get("currency")),
    }
    return [maker.track("Order Completed", properties, message_id=f"{session.get('id')}:paid")]


def _card(maker: CallMaker, method: Row, _previous: Row) -> Mapped:
    card = object_at(method, "card") or method
    return [maker.track("Payment Method Updated", {"card_expires": card_expiry(card)})]


# Lists of objects ----------------------------------------------------------------------------------------------------


def _subscription_row(subscription: Row) -> Mapped:
    """Read the life of a subscription from its newest state: start, scheduled cancellation and end."""
    customer = _customer(subscription)
    if customer is None:
        return NoEvent("missing_customer")
    if text_at(subscription, "status") in ("incomplete", "incomplete_expired"):
        return NoEvent("not_started")
    identity, trial_end = subscription.get("id"), subscription.get("trial_end")
    started, ended = subscription.get("start_date") or subscription.get("created"), subscription.get("ended_at")
    properties = subscription_properties(subscription)
    calls: list[Row] = []

    def add(at: object, event: str, own: Row) -> NoEvent | None:
        timestamp = timestamp_of(at)
        if isinstance(timestamp, NoEvent):
            return timestamp
        calls.append(CallMaker(customer, timestamp, identity).track(event, own, part=event))
        return None

    in_trial = isinstance(trial_end, int) and (subscription.get("status") == "trialing" or trial_end == ended)
    if trial_end is not None:
        rejected = add(started, "Trial Started", {**properties, "mrr": None, "trial_end": trial_end})
        if not in_trial and not rejected:
            rejected = add(trial_end, "Subscription Started", properties)
    else:
        rejected = add(started, "Subscription Started", properties)
    if ended is not None and not rejected:
        rejected = add(ended, _end_of(subscription), _ended(subscription))
    elif subscription.get("cancel_at_period_end") and subscription.get("canceled_at") and not rejected:
        own = {**properties, **cancellation_properties(subscription)}
        rejected = add(subscription["canceled_at"], "Subscription Cancel Scheduled", own)
    return rejected or calls


def _invoice_row(invoice: Row) -> Mapped:
    customer = _customer(invoice)
    if customer is None:
        return NoEvent("missing_customer")
    if invoice.get("status") != "paid":
        return NoEvent("no_money_moved")
    timestamp = timestamp_of(member(invoice, "status_transitions", "paid_at") or invoice.get("created"))
    return timestamp if isinstance(timestamp, NoEvent) else _paid(CallMaker(customer, timestamp), invoice, {})


def _event_name(row: Row) -> str:
    kind = text_at(row, "object")
    return kind if kind in _LISTED else text_at(row, "type")


_LISTED: Final[dict[str, Callable[[Row], Mapped]]] = {"subscription": _subscription_row, "invoice": _invoice_row}
_EVENTS: Final[dict[str, Callable[[CallMaker, Row, Row], Mapped]]] = {
    "customer.subscription.created": _created,
    "customer.subscription.updated": _updated,
    "customer.subscription.deleted": _deleted,
    "customer.subscription.paused": _named("Subscription Paused"),
    "customer.subscription.resumed": _named("Subscription Resumed"),
    "invoice.paid": _paid,
    "invoice.payment_succeeded": _paid,
    "invoice.payment_failed": _payment_failed,
    "charge.refunded": _refunded,
    "charge.dispute.created": _disputed,
    "checkout.session.completed": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "payment_method.attached": _card,
    "customer.source.created": _card,
    "customer.source.updated": _card,
}

STRIPE: Final = ImportSource(
    name="stripe",
    title="Stripe",
    convert=_convert,
    event_name=_event_name,
    names=(
        NameMapping("customer.subscription.created", "Subscription Started", "status `active` or `past_due`"),
        NameMapping("customer.subscription.created", "Trial Started", "status `trialing`"),
        NameMapping("customer.subscription.updated", "Subscription Started", "status leaves `trialing`, `incomplete`"),
        NameMapping("customer.subscription.updated", "Subscription Upgraded", "the price per month rises"),
        NameMapping("customer.subscription.updated", "Subscription Downgraded", "the price per month falls"),
        NameMapping("customer.subscription.updated", "Subscription Renewed", "the current period starts later"),
        NameMapping("customer.subscription.updated", "Subscription Cancel Scheduled", "`cancel_at_period_end` is set"),
        NameMapping("customer.subscription.updated", "Subscription Cancel Withdrawn", "and is unset"),
        NameMapping("customer.subscription.updated", "Subscription Paused", "`pause_collection` is set"),
        NameMapping("customer.subscription.updated", "Subscription Resumed", "and is unset"),
        NameMapping("customer.subscription.updated", "Subscription Updated", "another plan at the same price"),
        NameMapping("customer.subscription.paused", "Subscription Paused"),
        NameMapping("customer.subscription.resumed", "Subscription Resumed"),
        NameMapping("customer.subscription.deleted", "Subscription Cancelled"),
        NameMapping("customer.subscription.deleted", "Trial Ended", "the subscription ends within its trial"),
        NameMapping("invoice.paid", "Payment Succeeded", "more than 0 was paid"),
        NameMapping("invoice.paid", "Payment Recovered", "after more than one attempt"),
        NameMapping("invoice.payment_succeeded", "Payment Succeeded", "the same event as `invoice.paid`"),
        NameMapping("invoice.payment_failed", "Payment Failed"),
        NameMapping("charge.refunded", "Order Refunded", "the charge has no invoice"),
        NameMapping("charge.refunded", "Payment Refunded", "the charge has an invoice"),
        NameMapping(
            "charge.dispute.created", "Payment Disputed", "if `charge` is expanded, because it has the customer"
        ),
        NameMapping("checkout.session.completed", "Order Completed", "mode `payment`, paid"),
        NameMapping("payment_method.attached", "Payment Method Updated"),
        NameMapping("customer.source.created", "Payment Method Updated"),
        NameMapping("customer.source.updated", "Payment Method Updated"),
        NameMapping("subscription", "Subscription Started", "an object of a list, at its start"),
        NameMapping("subscription", "Subscription Cancelled", "an object of a list, at its end"),
        NameMapping("invoice", "Payment Succeeded", "an object of a list with status `paid`"),
    ),
    fields=(
        FieldMapping("data.object.customer", "userId"),
        FieldMapping("client_reference_id", "userId, without customer"),
        FieldMapping("created", "timestamp"),
        FieldMapping("id", "messageId"),
        FieldMapping("subscription", "properties.subscription_id"),
        FieldMapping("items.data[].price, quantity", "properties.mrr"),
        FieldMapping("items.data[0].price: nickname, lookup_key or id", "properties.plan"),
        FieldMapping("currency", "properties.currency"),
        FieldMapping("current_period_end", "properties.period_end"),
        FieldMapping("trial_end", "properties.trial_end"),
        FieldMapping("cancellation_details.reason", "properties.reason"),
        FieldMapping("cancellation_details.feedback", "properties.feedback"),
        FieldMapping("invoice", "properties.invoice_id"),
        FieldMapping("payment_intent", "properties.order_id"),
        FieldMapping("amount_paid, amount_due, amount_refunded, amount", "properties.amount"),
        FieldMapping("amount_total", "properties.revenue"),
        FieldMapping("card.exp_month, card.exp_year", "properties.card_expires"),
    ),
    wrappers=("data",),
    prepare=with_disputed_charges,
)

__all__ = ["STRIPE"]
