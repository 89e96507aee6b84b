"""Features of orders, the subscription and payments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.events.money import major_units
from models.features import section_values
from models.features.columns import ProfileColumns
from models.features.engagement import ratio
from models.profile.mergeable import DAY_MS
from models.profile.subscription import contractions, currency_code, earlier_price

Floats = NDArray[np.float64]


def order_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.section_value("commerce", section_values.LAST_ORDER_MS))


def dead_log_odds(c: ProfileColumns) -> Floats:
    """Log-odds of having churned after the last order, by BG/NBD (Fader, Hardie, Lee 2005) with weak parameters.

    P(alive) = 1 / (1 + a/(b+x-1) ((alpha+T)/(alpha+t_x))^(r+x)); here r = a = 1, b = 2, alpha = 28 days.
    """
    repeat = np.maximum(c.order_days - 1.0, 0.0)
    first = c.section_value("commerce", section_values.FIRST_ORDER_MS)
    age = c.days_since(first)
    recency = order_recency(c)
    return (1.0 + repeat) * np.log((28.0 + age) / (28.0 + age - recency)) - np.log(1.0 + repeat)


def order_gap(c: ProfileColumns) -> Floats:
    age = c.days_since(c.section_value("commerce", section_values.FIRST_ORDER_MS))
    recency = order_recency(c)
    return ratio(age - recency, c.order_days - 1.0)


def order_overdue(c: ProfileColumns) -> Floats:
    return ratio(order_recency(c) + 0.5, order_gap(c) + 0.5)


def order_value(c: ProfileColumns) -> Floats:
    return c.section_value("commerce", section_values.ORDER_VALUE)


def order_value_trend(c: ProfileColumns) -> Floats:
    return np.log(np.maximum(c.section_value("commerce", section_values.ORDER_TREND), 1e-3))


def refund_rate(c: ProfileColumns) -> Floats:
    return c.section_value("commerce", section_values.REFUND_RATE)


# Subscription --------------------------------------------------------------------------------------------------------


def subscribed_days(c: ProfileColumns) -> Floats:
    return c.days_since(c.subscription(section_values.SINCE_MS))


def mrr(c: ProfileColumns) -> Floats:
    return c.section_value("subscription", section_values.MRR)


def downgrades(c: ProfileColumns) -> Floats:
    out = np.zeros(c.n)
    for i, section in c.sections("subscription"):
        if len(section.log) < 2 and not section.objects:
            continue  # a single change is the start
        floor = c.now_list[i] - 180 * DAY_MS
        out[i] = sum([at > floor for at in contractions(section)])
    return out


def mrr_delta(c: ProfileColumns) -> Floats:
    """Log ratio of the current price to the price 90 days ago, or to the earliest known price."""
    then = c.section_value("subscription", section_values.MRR_KNOWN).copy()
    for i, section in c.sections("subscription"):
        if section.objects:
            then[i] = major_units(earlier_price(section, c.now_list[i] - 90 * DAY_MS) or 0, currency_code(section))
            continue
        if section.mrr is None or len(section.log) < 2 or sum([mrr >= 0 for _, _, _, mrr, _ in section.log]) < 2:
            continue  # at most one price in the log: the earliest known price holds
        floor = c.now_list[i] - 90 * DAY_MS
        prices = [(at, mrr) for at, _, _, mrr, _ in section.log if mrr >= 0]
        before = [mrr for at, mrr in prices if at <= floor]
        then[i] = major_units(before[-1] if before else prices[0][1], currency_code(section))
    # one unit of currency on both sides keeps a change from a free plan finite
    return np.log((c.section_value("subscription", section_values.MRR) + 1) / (then + 1))


def renewal_in(c: ProfileColumns) -> Floats:
    return c.days_until(c.section_value("subscription", section_values.RENEWAL_MS))


def trial_left(c: ProfileColumns) -> Floats:
    return c.days_until(c.section_value("subscription", section_values.TRIAL_END_MS))


# Payments ------------------------------------------------------------------------------------------------------------


def dunning_open(c: ProfileColumns) -> Floats:
    return c.section_value("payments", section_values.DUNNING)


def card_expires_in(c: ProfileColumns) -> Floats:
    return c.days_until(c.section_value("payments", section_values.CARD_EXPIRES_MS))


def recovered_rate(c: ProfileColumns) -> Floats:
    return ratio(c.total("payment_recovered"), c.total("payment_failed"))
