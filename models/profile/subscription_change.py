"""One change of a subscription, as an event reports it."""

from __future__ import annotations

from typing import Final

import msgspec

from models.events.coercion import time_ms
from models.events.event import Event
from models.events.money import read_money
from models.events.object_ids import subscription_key
from models.events.readers import first_readable
from models.events.unreadable import unreadable
from models.profile.customer_attributes import customer_plan

# Kinds of subscription change
STARTED, UPGRADED, DOWNGRADED, PAUSED, RESUMED, CANCEL_SCHEDULED, CANCEL_WITHDRAWN, CANCELLED = range(8)
RENEWED = 8
CHANGES: Final = {
    "Subscription Started": STARTED,
    "Subscription Renewed": RENEWED,
    "Subscription Upgraded": UPGRADED,
    "Subscription Downgraded": DOWNGRADED,
    "Subscription Paused": PAUSED,
    "Subscription Resumed": RESUMED,
    "Subscription Cancel Scheduled": CANCEL_SCHEDULED,
    "Subscription Cancel Withdrawn": CANCEL_WITHDRAWN,
    "Subscription Cancelled": CANCELLED,
}

RANK: Final = (1, 3, 3, 4, 4, 5, 5, 6, 2)
"""By kind: the place in the life cycle of one subscription, which orders its changes of one time."""

VOLUNTARY, INVOLUNTARY, UNSTATED = range(3)
CAUSES: Final = ("voluntary", "involuntary", "unstated")
_CAUSE_OF: Final = {  # Stripe's vocabulary of a cancellation's reason
    "cancellation_requested": VOLUNTARY,
    "payment_failed": INVOLUNTARY,
    "payment_disputed": INVOLUNTARY,
}

_PERIOD_END_NAMES: Final = (
    "period_end", "current_period_end", "periodEnd", "currentPeriodEnd", "current_term_end", "next_billing_at",
    "next_billing_date", "renews_at", "renewal_date",
)  # fmt: skip

ALL: Final = -1
"""The key of a change that ends all subscriptions of a customer: they are deleted."""


class SubscriptionChange(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A change of a subscription. The fields after `cause` have defaults, because older records end there."""

    at_ms: int
    unused: int  # older records: id hash
    kind: int
    price: int  # minor units a month, -1 for none
    plan: str
    cause: int
    """Cause of an end."""
    key: int = 0
    """Of the subscription (`models.events.object_ids`), 0 for an event without an id."""
    currency: str = ""
    period_end_ms: int = 0

    @property
    def rank(self) -> int:
        """Place in the life cycle of the subscription."""
        return RANK[self.kind]

    @property
    def price_rank(self) -> int:
        """Place among prices and plans of one time: what an end carries describes what has ended."""
        return 0 if self.kind == CANCELLED else RANK[self.kind]


def change_of(event: Event) -> SubscriptionChange:
    """Convert a subscription event to a change."""
    kind, properties = CHANGES[event.name], event.properties
    found, cause = read_money(properties, ("mrr",)), UNSTATED
    price = found.amount if found.amount is not None and found.amount >= 0 else None
    if found.unreadable is not None or (found.amount is not None and price is None):
        unreadable(event, found.unreadable or "mrr")
    if kind == CANCELLED:
        reason = properties.get("reason")
        cause = _CAUSE_OF.get(reason, UNSTATED) if isinstance(reason, str) else UNSTATED
    return SubscriptionChange(
        event.time_ms,
        0,
        kind,
        -1 if price is None else price,
        customer_plan(event, context=False) or "",
        cause,
        subscription_key(properties),
        found.currency if price is not None else "",
        first_readable(event, _PERIOD_END_NAMES, time_ms) or 0,
    )


def by_life_cycle(changes: list[SubscriptionChange], running: bool) -> list[SubscriptionChange]:
    """Order the changes of one time that carry no id, which may be about two subscriptions.

    While a subscription runs, an end and a start of one time are a switch: the end is that of the running one.
    Otherwise the changes follow the life cycle of one subscription, then the log.

    Args:
        changes: In the order of the log.
        running: Whether the subscription runs before this time.
    """
    if len(changes) < 2:
        return changes
    return sorted(changes, key=lambda change: 0 if running and change.kind == CANCELLED else change.rank)
