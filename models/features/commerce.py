"""What customers pay, as numbers: orders, the subscription, payments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.features import section_values as readings
from models.features.columns import ProfileColumns
from models.features.engagement import ratio
from models.profile.mergeable import DAY_MS
from models.profile.subscription import DOWNGRADED

Floats = NDArray[np.float64]


def order_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.part("commerce", readings.LAST_ORDER_MS))


def dead_log_odds(c: ProfileColumns) -> Floats:
    """Log odds of having died after the last order, BG/NBD (Fader, Hardie, Lee 2005) with weak parameters.

    P(alive) = 1 / (1 + a/(b+x-1) ((alpha+T)/(alpha+t_x))^(r+x)); here r = a = 1, b = 2, alpha = 28 days.
    """
    repeat = np.maximum(c.order_days - 1.0, 0.0)
    first = c.part("commerce", readings.FIRST_ORDER_MS)
    age = c.days_since(first)
    quiet = order_recency(c)
    return (1.0 + repeat) * np.log((28.0 + age) / (28.0 + age - quiet)) - np.log(1.0 + repeat)


def order_gap(c: ProfileColumns) -> Floats:
    age = c.days_since(c.part("commerce", readings.FIRST_ORDER_MS))
    quiet = order_recency(c)
    return ratio(age - quiet, c.order_days - 1.0)


def order_overdue(c: ProfileColumns) -> Floats:
    return ratio(order_recency(c) + 0.5, order_gap(c) + 0.5)


def order_value(c: ProfileColumns) -> Floats:
    return c.part("commerce", readings.ORDER_VALUE)


def order_value_trend(c: ProfileColumns) -> Floats:
    return np.log(np.maximum(c.part("commerce", readings.ORDER_TREND), 1e-3))


def refund_rate(c: ProfileColumns) -> Floats:
    return c.part("commerce", readings.REFUND_RATE)


# Subscription --------------------------------------------------------------------------------------------------------


def subscribed_days(c: ProfileColumns) -> Floats:
    return c.days_since(c.subscription(readings.SINCE_MS))


def mrr(c: ProfileColumns) -> Floats:
    return c.part("subscription", readings.MRR) / 100


def downgrades(c: ProfileColumns) -> Floats:
    out = np.zeros(c.n)
    for i, part in c.parts_at("subscription"):
        if len(part.log) < 2:
            continue  # one change is the start
        floor = c.now_list[i] - 180 * DAY_MS
        out[i] = sum(kind == DOWNGRADED and at > floor for at, _, kind, _, _ in part.log)
    return out


def mrr_delta(c: ProfileColumns) -> Floats:
    """Log of the price now against the price 90 days ago, as far back as changes are known."""
    then = c.part("subscription", readings.MRR_KNOWN).copy()
    for i, part in c.parts_at("subscription"):
        if part.mrr is None or len(part.log) < 2 or sum([mrr >= 0 for _, _, _, mrr, _ in part.log]) < 2:
            continue  # one price, whenever that is
        floor = c.now_list[i] - 90 * DAY_MS
        prices = [(at, mrr) for at, _, _, mrr, _ in part.log if mrr >= 0]
        before = [mrr for at, mrr in prices if at <= floor]
        then[i] = before[-1] if before else prices[0][1]
    # a unit of currency on either side: from free is no infinity
    return np.log((c.part("subscription", readings.MRR) + 100) / (then + 100))


def renewal_in(c: ProfileColumns) -> Floats:
    return c.days_until(c.part("subscription", readings.RENEWAL_MS))


def trial_left(c: ProfileColumns) -> Floats:
    return c.days_until(c.part("subscription", readings.TRIAL_END_MS))


# Payments ------------------------------------------------------------------------------------------------------------


def dunning_open(c: ProfileColumns) -> Floats:
    return c.part("payments", readings.DUNNING)


def card_expires_in(c: ProfileColumns) -> Floats:
    return c.days_until(c.part("payments", readings.CARD_EXPIRES_MS))


def recovered_rate(c: ProfileColumns) -> Floats:
    return ratio(c.total("payment_recovered"), c.total("payment_failed"))
