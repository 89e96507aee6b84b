"""Customer value: MRR, customer lifetime value (CLV), CLV at risk and revenue at risk."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from models.events.money import major_units, round_major
from models.profile.mergeable import DAY_MS
from models.profile.order_totals import order_totals
from models.profile.schema import Commerce
from models.profile.subscription import SubscriptionState, currency_code, other_currencies, plan_of, prices_of
from models.profile.view import ProfileView
from models.retention.life_table import PERIOD_DAYS
from models.value.forecast_state import ValueForecast

MONTH_MS: Final = PERIOD_DAYS * DAY_MS


class PurchaseValue(msgspec.Struct, gc=False, frozen=True):
    """Predicted purchases of a customer without a subscription."""

    alive: float
    """P(alive): probability that the customer is still active."""
    expected: float
    """Expected purchases over the configured months, discounted."""
    order_value: float
    """Expected value of a purchase."""


class CustomerValue(msgspec.Struct, gc=False, frozen=True):
    """Amounts in units of the currency; None if unknown."""

    mrr: float | None
    clv: float | None
    clv_at_risk: float | None
    revenue_at_risk: float | None
    basis: str | None  # "subscription": MRR is the price; "orders": MRR is the past revenue per month
    purchases: PurchaseValue | None = None
    """Predicted purchases of a customer without a subscription."""
    currency: str | None = None
    """Code of the currency of all amounts; None if events do not state one."""
    other_amounts: int = 0
    """Subscriptions that run, or orders, with amounts in other currencies, which the figures leave out."""


NOTHING: Final = CustomerValue(None, None, None, None, None)


def customer_value(
    profile_view: ProfileView, probability: float, horizon_ms: int, at_ms: int, value_forecast: ValueForecast
) -> CustomerValue:
    """Compute a customer's value as of a time.

    revenue_at_risk = probability x mrr x horizon / 30 d. clv = monthly margin x sum over months k of S(k) d^k (Gupta
    and Lehmann 2003; Fader and Hardie 2007). Up to the horizon S(k) is (1 - p)^(k / horizon), from the customer's
    score. After it, S falls like that of the plan's subscriptions of the same age. clv_at_risk is the increase of clv
    if the customer certainly stayed over the horizon. mrr is the sum of the subscriptions that run and are not paused.
    An ended subscription has a clv of 0, and its price as mrr. Without a subscription, value comes from orders, see
    `_of_orders`.
    """
    subscription, commerce = profile_view.subscription, profile_view.commerce
    horizon = horizon_ms / MONTH_MS
    price, recurring = prices_of(subscription)
    if price is None or recurring is None:
        return NOTHING if commerce is None else _of_orders(commerce, probability * horizon, at_ms, value_forecast)
    assert subscription is not None  # it has a price
    state, code = SubscriptionState(subscription), currency_code(subscription)
    if state.started and not state.active:
        return CustomerValue(major_units(price, code), 0.0, 0.0, 0.0, "subscription", currency=code or None)
    mrr = major_units(recurring, code)
    age = max(at_ms - (state.since_ms or profile_view.first_ms), 0) // MONTH_MS
    near, certain = _within(probability, horizon, value_forecast), _within(0.0, horizon, value_forecast)
    later = value_forecast.survival.discounted_months(plan_of(profile_view.identity, subscription), age, horizon)
    margin = mrr * value_forecast.settings.margin
    clv = margin * (near + (1.0 - probability) * later)
    return CustomerValue(
        round_major(mrr, code),
        round_major(clv, code),
        round_major(margin * (certain - near + probability * later), code),
        round_major(probability * mrr * horizon, code),
        "subscription",
        currency=code or None,
        other_amounts=other_currencies(subscription),
    )


def _of_orders(commerce: Commerce, months_at_risk: float, at_ms: int, value_forecast: ValueForecast) -> CustomerValue:
    """Compute the value of a customer whose revenue comes from orders.

    mrr is the past revenue per month, after refunds, in the currency of most orders. clv = margin x expected value of a
    purchase (Gamma-Gamma) x expected discounted purchases (BG/NBD). P(alive) is a factor of the expected purchases, and
    clv_at_risk is what that factor takes away.
    """
    forecast = value_forecast.purchase_model.forecast(commerce, at_ms)
    if forecast is None:
        return NOTHING
    totals, code = order_totals(commerce), forecast.currency
    mrr = major_units(totals.kept, code) / max((at_ms - totals.first_ms) / MONTH_MS, 1.0)
    margin = value_forecast.settings.margin * forecast.order_value
    clv = margin * forecast.purchases
    return CustomerValue(
        round_major(mrr, code),
        round_major(clv, code),
        round_major(margin * forecast.purchases_if_alive * (1.0 - forecast.alive), code),
        round_major(mrr * months_at_risk, code),
        "orders",
        PurchaseValue(round(forecast.alive, 4), round(forecast.purchases, 3), round_major(forecast.order_value, code)),
        code or None,
        totals.others,
    )


def _within(probability: float, horizon: float, value_forecast: ValueForecast) -> float:
    """Sum (1 - p)^(k / horizon) d^k over the months k before the horizon; 1 for a horizon of up to a month."""
    settings = value_forecast.settings
    months = min(math.ceil(horizon), settings.months)
    if months == 1:
        return 1.0
    kept = settings.monthly * (1.0 - probability) ** (1.0 / horizon)
    return math.fsum(kept**k for k in range(months))
