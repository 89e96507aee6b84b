"""Wordings of features of orders, subscriptions and payments."""

from __future__ import annotations

from math import exp
from typing import Final

from models.explanations.figures import count, days, every, figure, percent
from models.explanations.wording import (
    NEAR_DAYS,
    UNPAID_DAYS,
    Constant,
    FeatureLookup,
    Needs,
    Range,
    Renderer,
    SameAs,
    Wording,
    counted,
    flag,
    on_schedule,
    overdue,
    rarely,
    share_of_customers,
    typically,
)

_CARD_DAYS: Final = 60.0  # a card that expires later is no reason to act today

_TRIAL_DAYS: Final = 7.0


def _of_its_usual(what: str) -> Renderer:
    return lambda f, v: f"{what} at {percent(exp(v))} of this customer's average"


def _price(f: FeatureLookup, v: float) -> str:
    change = percent(abs(exp(v) - 1.0))
    return f"Pays {change} less than 90 days ago" if v < 0 else f"Pays {change} more than 90 days ago"


def _ahead(what: str, v: float, furthest: float) -> str:
    return f"{what} in {days(v)}{' or more' if v >= furthest else ''}"


def _renewal_low_use(f: FeatureLookup, v: float) -> str:
    return f"Renewal in {days(v)}, active on {figure(f('active_days_30'))} of the last 30 days{_usual(f, 30.0)}"


def _trial_low_use(f: FeatureLookup, v: float) -> str:
    return f"Trial ends in {days(v)}, active on {figure(f('active_days_7'))} of the last 7 days{_usual(f, 7.0)}"


def _usual(f: FeatureLookup, window: float) -> str:
    """The customer's usual active days in a window, where there is a history."""
    life = min(90.0, f("tenure_days"))
    if not life >= 2 * window:
        return ""
    return f"; usually on {figure(min(window, f('active_days_90') * window / life))}"


def _unpaid(f: FeatureLookup, v: float) -> str:
    since = f(UNPAID_DAYS)
    when = "" if since != since else " today" if since < 1 else f" {count(since, 'day')} ago"
    return f"Last payment failed{when} and is still unpaid"


def _card(f: FeatureLookup, v: float) -> str:
    return f"Card expires in {days(v)}" if v >= 0 else f"Card expired {days(-v)} ago"


COMMERCE_WORDINGS: Final[dict[str, Wording]] = {
    # Commerce
    "orders": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Ordered on {count(v, 'day')} so far",
        worse=-1,
        peer_words=typically("on"),
        margin=0.5,
    ),
    "order_recency_days": Wording(
        "SILENCE",
        "RECENTLY_ACTIVE",
        lambda f, v: f"No order for {days(v)}",
        lambda f, v: f"Last order {days(v)} ago",
        own=SameAs("order_gap_days"),
        own_words=lambda own: f"normally orders {every(own)}",
        peer_words=lambda peer: f"customers typically ordered {days(peer)} ago",
        safe=Range(high=NEAR_DAYS),
        margin=1.0,
    ),
    "order_gap_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Orders {every(v)} on average",
        peer_words=lambda peer: f"customers typically {every(peer)}",
        safe_needs=Needs("order_recency_days", high=NEAR_DAYS),
        margin=1.0,
    ),
    "order_overdue": Wording(
        "RHYTHM_BROKEN",
        "RHYTHM_REGULAR",
        overdue("Order overdue", "order_recency_days", "order_gap_days", "orders"),
        on_schedule("Last order", "order_recency_days", "order_gap_days", "orders"),
        own=Constant(1.0),
        at_risk=Range(1.5),
        safe_needs=Needs("order_recency_days", high=NEAR_DAYS),
        reads=("order_recency_days", "order_gap_days"),
    ),
    "order_value": Wording(
        "ORDER_VALUE_LOW",
        "ORDER_VALUE_HIGH",
        lambda f, v: f"Orders average {figure(v)}",
        worse=-1,
        peer_words=typically("spend"),
    ),
    "order_value_trend": Wording(
        "ORDER_VALUE_LOW",
        "ORDER_VALUE_HIGH",
        _of_its_usual("Last order"),
        worse=-1,
        own=Constant(0.0),
        margin=0.2,
    ),
    "refund_rate": Wording(
        "REFUND",
        risk=lambda f, v: f"{percent(v)} of orders refunded",
        peer_words=lambda peer: f"customers typically {percent(peer)}",
        at_risk=Range(1e-4),
        margin=0.01,
    ),
    # Subscription
    "mrr_delta_90": Wording("DOWNGRADE", "EXPANSION", _price, worse=-1, own=Constant(0.0), margin=0.02),
    "downgrades_180": Wording(
        "DOWNGRADE",
        risk=counted("downgrade", "in the last 180 days"),
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        alone=True,
        margin=0.5,
    ),
    "cancel_scheduled": flag(
        "Cancellation scheduled", code="CANCEL_INTENT", peer_words=share_of_customers("have one scheduled")
    ),
    "paused": flag("Subscription paused", code="CANCEL_INTENT", peer_words=share_of_customers("have paused")),
    "renewal_in_days": Wording(
        "RENEWAL_NEAR_LOW_USE",
        "RENEWAL_DISTANT",
        _renewal_low_use,
        lambda f, v: _ahead("Renewal", v, 90.0),
        at_risk=Range(0.0, NEAR_DAYS),
        safe=Range(NEAR_DAYS + 1e-4),
        alone=True,
        reads=("active_days_30", "active_days_90", "tenure_days"),
    ),
    "trial_left_days": Wording(
        "TRIAL_ENDING_INACTIVE",
        risk=_trial_low_use,
        at_risk=Range(0.0, _TRIAL_DAYS),
        alone=True,
        reads=("active_days_7", "active_days_90", "tenure_days"),
    ),
    # Payments
    "payments_failed_30": Wording(
        "PAYMENT_FAILED",
        risk=lambda f, v: f"{count(v, 'payment')} failed in the last 30 days",
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        alone=True,
        margin=0.5,
    ),
    "dunning_open": flag("", code="PAYMENT_FAILED", strength="PAYMENTS_SETTLED")._replace(
        risk=_unpaid,
        healthy=lambda f, v: "Last payment went through",
        peer_words=share_of_customers("have an unpaid payment", "paying customers"),
        at_risk=Range(0.5),
        headline=2.0,
        reads=(UNPAID_DAYS,),
    ),
    "card_expires_in_days": Wording(
        "CARD_EXPIRING",
        "CARD_VALID",
        _card,
        lambda f, v: f"Card valid for {days(v)}{' or more' if v >= 90.0 else ''}",
        at_risk=Range(high=_CARD_DAYS),
        safe=Range(_CARD_DAYS + 1e-4),
        alone=True,
    ),
}
