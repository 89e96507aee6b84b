"""The values that features read from each profile section, as one tuple per section.

No value depends on the scoring time, so a section that several rows share is read once. NaN means unknown. The indexes
of a section's values are the constants below; `READERS` is the table of sections.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any, Final

from models.events.money import major_units
from models.profile.apply_feedback import SHRINK, USUAL
from models.profile.order_totals import order_totals
from models.profile.schema import Commerce, Feedback, Identity, Journey, Payments, Subscription
from models.profile.subscription import SubscriptionState, currency_code, holdings_of, prices_of
from models.profile.ticket_object import ticket_totals

# Indexes of the values, in the order of the functions below
FIRST_GOAL_MS, LAST_GOAL_MS, GOAL_LAST, GOAL_MEAN, ONBOARDED_SHARE, SESSION_MINUTES, CLICKED_MS = range(7)
FIRST_ORDER_MS, LAST_ORDER_MS, ORDER_DAYS, ORDER_VALUE, ORDER_TREND, REFUND_RATE = range(6)
ACTIVE, PAUSED, CANCEL_SCHEDULED, SINCE_MS, MRR, RENEWAL_MS, TRIAL_END_MS, MRR_KNOWN = range(8)
DUNNING, CARD_EXPIRES_MS = range(2)
SOLVE_HOURS, CSAT_MEAN, CSAT_LAST, CSAT_TREND, NPS_LAST, CES_LAST, ANSWERED_MS, NO_ANSWER, SENTIMENT = range(9)
OPEN, UNMATCHED, COUNTED = range(9, 12)
REFERRED, SUBSCRIBED = range(2)


def of_journey(j: Journey) -> tuple[float, ...]:
    values = j.goal_values
    return (
        j.first_goal_ms,
        j.last_goal_ms,
        values[-1][2] / 1000 if values else nan,
        sum([value for _, _, value in values]) / len(values) / 1000 if values else nan,
        1.0 if j.onboarded_ms < 1e18 else len(j.steps) / j.steps_total if j.steps_total else nan,
        j.session_s_sum / j.sessions_timed / 60 if j.sessions_timed else nan,
        j.clicked_ms,
    )


def of_commerce(o: Commerce) -> tuple[float, ...]:
    totals = order_totals(o)
    orders, valued, revenue = totals.orders, totals.valued, totals.revenue
    return (
        totals.first_ms,
        totals.last_ms,
        totals.days if orders else nan,
        totals.mean,
        float(totals.newest) * valued / revenue if valued > 1 and revenue and totals.newest else nan,
        totals.returned / orders if orders else nan,
    )


def of_subscription(s: Subscription) -> tuple[float, ...]:
    state, renewal, code = SubscriptionState(s), s.renewal_due or s.period_end, currency_code(s)
    if s.objects:
        return _of_objects(s, state)
    return (
        float(state.active),
        float(state.paused),
        float(state.cancel_scheduled),
        state.since_ms if state.active else 0.0,
        major_units(s.mrr[2], code) if s.mrr else nan,
        renewal[2] if renewal else nan,
        s.trial_end[2] if s.trial_end else nan,
        major_units(_first_price(s), code) if s.mrr else nan,
    )


def _of_objects(s: Subscription, state: SubscriptionState) -> tuple[float, ...]:
    """The values for a customer whose subscriptions have ids."""
    known, _ = prices_of(s)
    price = nan if known is None else major_units(known, currency_code(s))
    renewal_ms = s.renewal_due[2] if s.renewal_due else holdings_of(s).period_end_ms or nan
    return (
        float(state.active),
        float(state.paused),
        float(state.cancel_scheduled),
        state.since_ms if state.active else 0.0,
        price,
        renewal_ms,
        s.trial_end[2] if s.trial_end else nan,
        price,
    )


def _first_price(s: Subscription) -> int:
    """The price of the first change with a price, else the current price."""
    for _, _, _, mrr, _ in s.log:
        if mrr >= 0:
            return mrr
    assert s.mrr is not None
    return s.mrr[2]


def of_payments(p: Payments) -> tuple[float, ...]:
    known = p.failed_ms or p.settled_ms  # a card's expiry alone is no payment
    return float(p.failed_ms > p.settled_ms) if known else nan, p.card_expires[2] if p.card_expires else nan


def of_feedback(v: Feedback) -> tuple[float, ...]:
    csat, nps, ces = v.csat, v.nps, v.ces
    tickets = ticket_totals(v)
    weight, usual = SHRINK, USUAL
    earlier = csat[:-1]
    return (
        tickets.solve_ms / tickets.timed / 3.6e6 if tickets.timed else nan,
        (v.csat_sum + weight * usual) / (v.csat_count + weight) / 1000 if v.csat_count else nan,
        csat[-1][2] / 1000 if csat else nan,
        csat[-1][2] / 1000 - sum([score for _, _, score in earlier]) / len(earlier) / 1000 if earlier else nan,
        nps[-1][2] / 1000 if nps else nan,
        ces[-1][2] / 1000 if ces else nan,
        max([responses[-1][0] for responses in (csat, nps, ces) if responses], default=nan),
        float(not (csat or nps or ces)),
        v.sentiment[2] if v.sentiment else nan,
        tickets.open,
        tickets.unmatched,
        tickets.counted,
    )


def of_identity(i: Identity) -> tuple[float, ...]:
    return float(i.referred), i.subscribed[2] if i.subscribed else nan


READERS: Final[dict[str, tuple[int, Callable[[Any], tuple[float, ...]]]]] = {
    "journey": (7, of_journey),
    "commerce": (6, of_commerce),
    "subscription": (8, of_subscription),
    "payments": (2, of_payments),
    "feedback": (12, of_feedback),
    "identity": (2, of_identity),
}
"""By section: the number of values, and the function that reads them."""
