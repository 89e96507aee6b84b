"""What a customer is worth: a month, over the months ahead, and how much of it the present risk puts at stake."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from models.profile.mergeable import DAY_MS
from models.profile.schema import Commerce
from models.profile.subscription import SubscriptionState
from models.profile.view import ProfileView
from models.retention.life_table import PERIOD_DAYS
from models.value.forecast_state import ValueForecast

MONTH_MS: Final = PERIOD_DAYS * DAY_MS
ALIVE_MIN: Final = 1e-6  # who is as good as gone has nothing at risk


class PurchaseValue(msgspec.Struct, gc=False, frozen=True):
    """What a customer without a subscription will buy."""

    alive: float
    """Probability that they buy at all any more."""
    expected: float
    """Purchases over the months that value is counted for, discounted."""
    order_value: float
    """Expected of one."""


class CustomerValue(msgspec.Struct, gc=False, frozen=True):
    """In the currency's units; None where nothing is known."""

    mrr: float | None
    clv: float | None
    clv_at_risk: float | None
    revenue_at_risk: float | None
    basis: str | None  # "subscription": the price; "orders": revenue a month so far
    purchases: PurchaseValue | None = None
    """What will be bought, where there is no subscription."""


NOTHING: Final = CustomerValue(None, None, None, None, None)


def customer_value(
    profile_view: ProfileView, probability: float, horizon_ms: int, at_ms: int, value_forecast: ValueForecast
) -> CustomerValue:
    """A customer's value as of a time.

    revenue_at_risk = probability x mrr x horizon / 30 d. clv = monthly margin x sum over months k of S(k) d^k (Gupta
    and Lehmann 2003; Fader and Hardie 2007): up to the horizon S is (1 - p)^(k / horizon), which the score says of this
    customer; from there on it falls as the plan's subscriptions of the same age do. clv_at_risk is what clv would be
    more if the customer were sure to stay over the horizon. A subscription that has ended is worth nothing. Without
    one, see `_of_orders`.
    """
    subscription, commerce = profile_view.subscription, profile_view.commerce
    horizon = horizon_ms / MONTH_MS
    if subscription is None or subscription.mrr is None:
        return NOTHING if commerce is None else _of_orders(commerce, probability * horizon, at_ms, value_forecast)
    state = SubscriptionState(subscription)
    mrr = subscription.mrr[2] / 100.0
    if state.started and not state.active:
        return CustomerValue(round(mrr, 2), 0.0, 0.0, 0.0, "subscription")
    age = max(at_ms - (state.since_ms or profile_view.first_ms), 0) // MONTH_MS
    near, sure = _within(probability, horizon, value_forecast), _within(0.0, horizon, value_forecast)
    later = value_forecast.survival.lasting(_plan(profile_view), age, horizon)
    margin = mrr * value_forecast.settings.margin
    clv = margin * (near + (1.0 - probability) * later)
    return CustomerValue(
        round(mrr, 2),
        round(clv, 2),
        round(margin * (sure - near + probability * later), 2),
        round(probability * mrr * horizon, 2),
        "subscription",
    )


def _of_orders(commerce: Commerce, months_at_risk: float, at_ms: int, value_forecast: ValueForecast) -> CustomerValue:
    """Where revenue is orders: mrr is what they brought a month so far; clv = margin x expected value of a purchase
    (Gamma-Gamma) x expected purchases, discounted (BG/NBD), which P(alive) scales: the rest is at risk."""
    ahead = value_forecast.buying.ahead(commerce, at_ms)
    if ahead is None:
        return NOTHING
    mrr = commerce.revenue / 100.0 / max((at_ms - commerce.first_ms) / MONTH_MS, 1.0)
    clv = value_forecast.settings.margin * ahead.order_value * ahead.purchases
    return CustomerValue(
        round(mrr, 2),
        round(clv, 2),
        round(clv * (1.0 / max(ahead.alive, ALIVE_MIN) - 1.0), 2),
        round(mrr * months_at_risk, 2),
        "orders",
        PurchaseValue(round(ahead.alive, 4), round(ahead.purchases, 3), round(ahead.order_value, 2)),
    )


def _within(probability: float, horizon: float, value_forecast: ValueForecast) -> float:
    """Sum of (1 - p)^(k / horizon) d^k over the months k before the horizon; 1 for one of a month or less."""
    settings = value_forecast.settings
    months = min(math.ceil(horizon), settings.months)
    if months == 1:
        return 1.0
    kept = settings.monthly * (1.0 - probability) ** (1.0 / horizon)
    return math.fsum(kept**k for k in range(months))


def _plan(profile_view: ProfileView) -> str:
    identity = profile_view.identity
    return identity.plan[2] if identity is not None and identity.plan is not None else ""
