"""What a customer is worth: a month, over the months ahead, and how much of it the present risk puts at stake."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from models.lifetimes import PERIOD_DAYS
from models.outlook import Outlook
from models.portrait import Portrait
from models.primitives import DAY_MS
from models.subscription import SubscriptionState

MONTH_MS: Final = PERIOD_DAYS * DAY_MS


class Value(msgspec.Struct, gc=False, frozen=True):
    """In the currency's units; None where nothing is known."""

    mrr: float | None
    clv: float | None
    clv_at_risk: float | None
    revenue_at_risk: float | None
    basis: str | None  # "subscription": the price; "orders": revenue a month so far


NOTHING: Final = Value(None, None, None, None, None)


def worth(portrait: Portrait, probability: float, horizon_ms: int, at_ms: int, outlook: Outlook) -> Value:
    """A customer's value as of a time.

    revenue_at_risk = probability x mrr x horizon / 30 d. clv = monthly margin x sum over months k of S(k) d^k (Gupta
    and Lehmann 2003; Fader and Hardie 2007): up to the horizon S is (1 - p)^(k / horizon), which the score says of this
    customer; from there on it falls as the plan's subscriptions of the same age do. clv_at_risk is what clv would be
    more if the customer were sure to stay over the horizon. A subscription that has ended is worth nothing.
    """
    subscription, commerce = portrait.subscription, portrait.commerce
    if subscription is not None and subscription.mrr is not None:
        state = SubscriptionState(subscription)
        mrr = subscription.mrr[2] / 100.0
        if state.started and not state.active:
            return Value(round(mrr, 2), 0.0, 0.0, 0.0, "subscription")
        basis, plan = "subscription", _plan(portrait)
        age = max(at_ms - (state.since_ms or portrait.first_ms), 0) // MONTH_MS
    elif commerce is not None and commerce.revenue > 0:
        months = max((at_ms - commerce.first_ms) / MONTH_MS, 1.0)
        mrr, basis, plan, age = commerce.revenue / 100.0 / months, "orders", "", 0
    else:
        return NOTHING
    horizon = horizon_ms / MONTH_MS
    settings = outlook.settings
    near, sure = _within(probability, horizon, outlook), _within(0.0, horizon, outlook)
    later = outlook.survival.lasting(plan, age, horizon)
    margin = mrr * settings.margin
    clv = margin * (near + (1.0 - probability) * later)
    return Value(
        round(mrr, 2),
        round(clv, 2),
        round(margin * (sure - near + probability * later), 2),
        round(probability * mrr * horizon, 2),
        basis,
    )


def _within(probability: float, horizon: float, outlook: Outlook) -> float:
    """Sum of (1 - p)^(k / horizon) d^k over the months k before the horizon; 1 for one of a month or less."""
    settings = outlook.settings
    months = min(math.ceil(horizon), settings.months)
    kept = settings.monthly * (1.0 - probability) ** (1.0 / horizon)
    return math.fsum(kept**k for k in range(months))


def _plan(portrait: Portrait) -> str:
    identity = portrait.identity
    return identity.plan[2] if identity is not None and identity.plan is not None else ""
