"""The wordings: one entry a feature, by name.

A feature without an entry here is never a reason: its contribution counts as other signals (`rest`). Features of
context have none on purpose: the age of a subscription or the regularity of gaps calls for no action.
"""

from __future__ import annotations

from math import exp
from typing import Final

import numpy as np

from models.explanations.figures import count, days, every, figure, hours, percent
from models.explanations.wording import (
    Constant,
    Derived,
    FeatureLookup,
    Floats,
    Needs,
    Pace,
    Range,
    SameAs,
    Say,
    Wording,
    counted,
    flag,
    rarely,
    share_of_customers,
    typically,
    usually,
)

UNPAID_DAYS: Final = "unpaid_days"
"""Not a feature: days since the first failure of the payment that is unpaid, known to the profile."""

STANDS_FOR: Final[dict[str, str]] = {
    "silent_share": "recency_days",
    "overdue_z": "overdue_ratio",
    "trend_7_28": "events_7d",
    "trend_28_90": "events_30d",
    "stickiness": "active_days_7",
    "dead_log_odds": "order_recency_days",
    "recovered_rate": "dunning_open",
    "ticket_rate_vs_own": "tickets_30d",
    "csat_mean": "csat_last",
    "csat_trend": "csat_last",
    "referrals_converted": "referrals_90",
}
"""Features that say little to a person: each takes the side and the words of the feature that it is derived from."""

_RECENT_DAYS: Final = 7.0  # a customer who was away for longer is not "recently active"
_NEAR_DAYS: Final = 30.0
_CARD_DAYS: Final = 60.0  # a card that expires later is no reason to act today
_TRIAL_DAYS: Final = 7.0
_ONBOARDING_DAYS: Final = (7.0, 180.0)  # tenure in which onboarding can be late (models.outputs.customer_facts)
_DETRACTOR_CSAT: Final = 0.4999  # of the scale: 1 and 2 of 5 (models.experience.indices.DETRACTED)
_TOP_BOX: Final = 0.8  # 4 and 5 of 5
_DETRACTOR_NPS: Final = 0.6999  # 0 to 6 of 10
_PROMOTER: Final = 0.9  # 9 and 10 of 10
_HARD: Final = 0.4999


def _overdue(what: str, since: str, gap: str, normally: str) -> Say:
    def say(f: FeatureLookup, v: float) -> str:
        late, usual = f(since) - f(gap), f(gap)
        if late != late or late <= 0.0:
            return f"{what} at {figure(v)} times the usual gap"
        return f"{what} by {days(late)}; normally {normally} {every(usual)}"

    return say


def _on_schedule(what: str, since: str, gap: str, normally: str) -> Say:
    def say(f: FeatureLookup, v: float) -> str:
        usual = f(gap)
        rhythm = "" if usual != usual else f"; normally {normally} {every(usual)}"
        return f"{what} {days(f(since))} ago, on schedule{rhythm}"

    return say


def _events(window: str, length: float) -> Wording:
    return Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        counted("event", f"in the last {window}", f"No events in the last {window}"),
        worse=-1,
        own=Pace("events_90d", length) if length < 90 else None,
        own_words=usually(),
        peer_words=typically("have"),
        peer_code="LOW_USAGE",
        margin=1.0,
        events=True,
    )


def _active(window: int) -> Wording:
    def say(f: FeatureLookup, v: float) -> str:
        return f"Active on {figure(v) if v else 'none'} of the last {window} days"

    return Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        say,
        worse=-1,
        own=Pace("active_days_90", window, window) if window < 90 else None,
        own_words=lambda own: f"usually on {figure(own)}",
        peer_words=typically("on"),
        peer_code="LOW_USAGE",
        margin=1.0,
        events=True,
    )


def _used(window: str) -> Say:
    return lambda f, v: (f"Used {count(v, 'feature')}" if v else "No feature used") + f" in the last {window}"


def _abandoned(f: FeatureLookup, v: float) -> str:
    used = v + f("breadth_30")
    known = count(v, "feature") if used != used else f"{figure(v)} of {count(used, 'feature')}"
    return f"{known} unused for over 30 days"


def _kept(f: FeatureLookup, v: float) -> str:
    return f"Still uses all {count(f('breadth_30'), 'feature')} of the last 90 days"


def _of_its_usual(what: str) -> Say:
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


def _sum(a: Floats, b: Floats) -> Floats:
    return a + b


def _before(last: Floats, trend: Floats) -> Floats:
    return last - trend


def _monthly_tickets(tickets_30d: Floats, rate: Floats) -> Floats:
    """The own monthly rate, from the ratio that `models.features.feedback.ticket_rate` is."""
    return np.maximum((tickets_30d + 0.5) / np.exp(rate) - 0.5, 0.0)


def _referrals_stopped(f: FeatureLookup, v: float) -> str:
    earlier = f("referrals_converted")
    return f"No referral in the last 90 days; {count(earlier, 'earlier referral')} became {_noun(earlier)}"


def _noun(n: float) -> str:
    return "a customer" if figure(n) == "1" else "customers"


WORDINGS: Final[dict[str, Wording]] = {
    # Recency and rhythm
    "recency_days": Wording(
        "SILENCE",
        "RECENTLY_ACTIVE",
        lambda f, v: f"No activity for {days(v)}",
        lambda f, v: f"Last active {days(v)} ago",
        own=SameAs("gap_mean_days"),
        own_words=lambda own: f"normally active {every(own)}",
        peer_words=lambda peer: f"customers were typically active {days(peer)} ago",
        safe=Range(high=_RECENT_DAYS),
        margin=1.0,
    ),
    "gap_mean_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Active {every(v)} on average",
        peer_words=lambda peer: f"customers typically {every(peer)}",
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
        margin=0.5,
    ),
    "overdue_ratio": Wording(
        "RHYTHM_BROKEN",
        "RHYTHM_REGULAR",
        _overdue("Overdue", "recency_days", "gap_mean_days", "active"),
        _on_schedule("Last active", "recency_days", "gap_mean_days", "active"),
        own=Constant(1.0),
        at_risk=Range(1.5),
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
        reads=("recency_days", "gap_mean_days"),
    ),
    "never_engaged": flag("Never active so far", code="SILENCE"),
    # Activity
    "events_1d": _events("24 hours", 1),
    "events_7d": _events("7 days", 7),
    "events_14d": _events("14 days", 14),
    "events_30d": _events("30 days", 30),
    "events_90d": _events("90 days", 90),
    "vs_peak": Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        lambda f, v: f"Activity of the last 28 days at {percent(v)} of this customer's best 28 days",
        worse=-1,
        own=Constant(1.0),
        at_risk=Range(0.01, 0.7),
        safe=Range(0.9),
        alone=True,
        margin=0.3,
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
    ),
    "active_days_7": _active(7),
    "active_days_14": _active(14),
    "active_days_30": _active(30),
    "active_days_90": _active(90),
    "active_weeks_12": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Active in {figure(v)} of the last 12 weeks",
        worse=-1,
        peer_words=typically("in"),
        margin=1.0,
        events=True,
    ),
    "streak_broken": Wording(
        "RHYTHM_BROKEN",
        risk=lambda f, v: f"A run of {count(f('streak_days'), 'active day')} in a row has ended",
        at_risk=Range(0.5),
        alone=True,
        risk_needs=Needs("streak_days", low=5.0),
        reads=("streak_days",),
    ),
    "breadth_30": Wording(
        "DEPTH_DROP",
        "DEPTH_HEALTHY",
        _used("30 days"),
        worse=-1,
        own=Derived(_sum, ("breadth_30", "breadth_drop")),
        own_words=lambda own: f"{figure(own)} in the last 90 days",
        peer_words=typically("use"),
        peer_code="LOW_DEPTH",
        margin=1.0,
        events=True,
    ),
    "breadth_7": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        _used("7 days"),
        worse=-1,
        peer_words=typically("use"),
        margin=1.0,
        events=True,
    ),
    "breadth_drop": Wording(
        "FEATURE_ABANDONED",
        "FEATURES_KEPT",
        _abandoned,
        _kept,
        at_risk=Range(1.0),
        safe=Range(high=0.0),
        alone=True,
        safe_needs=Needs("breadth_30", low=2.0),
        named=lambda f: f("breadth_drop") + f("breadth_30"),
        reads=("breadth_30", "breadth_drop"),
    ),
    "session_minutes": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        lambda f, v: f"Sessions last {count(v, 'minute')} on average",
        worse=-1,
        peer_words=typically("spend"),
    ),
    "session_depth": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        counted("event", "per session in the last 30 days"),
        worse=-1,
        peer_words=typically("have"),
        margin=0.5,
    ),
    # Journey
    "tenure_days": Wording(
        "LOW_EVIDENCE",
        risk=lambda f, v: f"First seen {days(v)} ago",
        at_risk=Range(high=6.9999),
        alone=True,
    ),
    "goals_30d": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        counted("goal", "reached in the last 30 days", "No goal reached in the last 30 days"),
        worse=-1,
        peer_words=typically("reach"),
        margin=0.5,
    ),
    "goals": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        counted("goal", "reached so far", "No goal reached so far"),
        worse=-1,
        peer_words=typically("have reached"),
        margin=0.5,
    ),
    "goal_recency_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Last goal reached {days(v)} ago",
        peer_words=lambda peer: f"customers typically {days(peer)} ago",
        safe=Range(high=_NEAR_DAYS),
        margin=1.0,
    ),
    "goal_value_last": Wording(
        "GOAL_VALUE_LOW",
        "GOAL_VALUE_HIGH",
        lambda f, v: f"Last goal value {figure(v)}",
        worse=-1,
        own=SameAs("goal_value_mean"),
        own_words=usually(),
        peer_words=typically("reach"),
        margin=1e-3,
    ),
    "goal_value_mean": Wording(
        "GOAL_VALUE_LOW",
        "GOAL_VALUE_HIGH",
        lambda f, v: f"Recent goal values average {figure(v)}",
        worse=-1,
        peer_words=typically("reach"),
    ),
    "time_to_first_goal_days": Wording(
        "",
        "ONBOARDED",
        healthy=lambda f, v: f"First goal reached after {days(v)}",
        peer_words=lambda peer: f"customers typically need {days(peer)}",
        margin=0.5,
    ),
    "onboarding_share": Wording(
        "ONBOARDING_STALLED",
        "ONBOARDED",
        lambda f, v: f"{percent(v)} of onboarding completed",
        lambda f, v: "Onboarding completed",
        worse=-1,
        peer_words=lambda peer: f"customers typically complete {percent(peer)}",
        at_risk=Range(high=0.9999),
        safe=Range(1.0),
        alone=False,
        margin=0.1,
        risk_needs=Needs("tenure_days", *_ONBOARDING_DAYS),
    ),
    "no_goal": Wording(
        "ONBOARDING_STALLED",
        risk=lambda f, v: f"No goal reached in {days(f('tenure_days'))}",
        peer_words=lambda peer: f"{percent(1.0 - peer)} of customers have reached one",
        at_risk=Range(0.5),
        margin=0.1,
        risk_needs=Needs("tenure_days", *_ONBOARDING_DAYS),
        reads=("tenure_days",),
    ),
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
        safe=Range(high=_NEAR_DAYS),
        margin=1.0,
    ),
    "order_gap_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Orders {every(v)} on average",
        peer_words=lambda peer: f"customers typically {every(peer)}",
        safe_needs=Needs("order_recency_days", high=_NEAR_DAYS),
        margin=1.0,
    ),
    "order_overdue": Wording(
        "RHYTHM_BROKEN",
        "RHYTHM_REGULAR",
        _overdue("Order overdue", "order_recency_days", "order_gap_days", "orders"),
        _on_schedule("Last order", "order_recency_days", "order_gap_days", "orders"),
        own=Constant(1.0),
        at_risk=Range(1.5),
        safe_needs=Needs("order_recency_days", high=_NEAR_DAYS),
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
        at_risk=Range(0.0, _NEAR_DAYS),
        safe=Range(_NEAR_DAYS + 1e-4),
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
    # Support
    "tickets_open": Wording(
        "TICKET_SURGE",
        "FEW_TICKETS",
        counted("ticket", "open", "No open ticket"),
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        margin=0.4,
    ),
    "tickets_30d": Wording(
        "TICKET_SURGE",
        "FEW_TICKETS",
        counted("ticket", "in the last 30 days", "No ticket in the last 30 days"),
        own=Derived(_monthly_tickets, ("tickets_30d", "ticket_rate_vs_own")),
        own_words=lambda own: f"usually {figure(own)}",
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        margin=0.5,
    ),
    "tickets_reopened_90": Wording(
        "TICKET_REOPENED",
        risk=counted("ticket", "reopened in the last 90 days"),
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        margin=0.5,
    ),
    "time_to_solve_hours": Wording(
        "SLOW_SUPPORT",
        "FAST_SUPPORT",
        lambda f, v: f"Tickets take {hours(v)} to solve",
        peer_words=lambda peer: f"customers typically wait {hours(peer)}",
        margin=1.0,
    ),
    "errors_7d": Wording(
        "PRODUCT_ERRORS",
        risk=counted("error", "in the last 7 days"),
        peer_words=rarely("see"),
        at_risk=Range(1.0),
        margin=0.5,
    ),
    # Satisfaction
    "csat_last": Wording(
        "CSAT_DETRACTOR",
        "CSAT_SATISFIED",
        lambda f, v: f"Last satisfaction rating {percent(v)}",
        worse=-1,
        own=Derived(_before, ("csat_last", "csat_trend")),
        own_words=lambda own: f"earlier ratings average {percent(own)}",
        peer_words=typically("give", percent),
        at_risk=Range(high=_DETRACTOR_CSAT),
        safe=Range(_TOP_BOX),
        alone=True,
        margin=0.02,
    ),
    "nps_last": Wording(
        "NPS_DETRACTOR",
        "NPS_PROMOTER",
        lambda f, v: f"Last NPS score {figure(10 * v)} of 10",
        worse=-1,
        peer_words=lambda peer: f"customers typically give {figure(10 * peer)}",
        at_risk=Range(high=_DETRACTOR_NPS),
        safe=Range(_PROMOTER),
        alone=True,
        margin=0.02,
    ),
    "ces_last": Wording(
        "HIGH_EFFORT",
        "LOW_EFFORT",
        lambda f, v: f"Last ease rating {percent(v)}",
        worse=-1,
        peer_words=typically("give", percent),
        at_risk=Range(high=_HARD),
        safe=Range(_TOP_BOX),
        alone=True,
        margin=0.02,
    ),
    "sentiment": Wording(
        "NEGATIVE_REVIEW",
        "POSITIVE_REVIEW",
        lambda f, v: "Last review or mention was negative",
        lambda f, v: "Last review or mention was positive",
        worse=-1,
        at_risk=Range(high=-0.1),
        safe=Range(0.1),
        alone=True,
    ),
    "negative_reviews_90": Wording(
        "NEGATIVE_REVIEW",
        risk=counted("negative review", "in the last 90 days"),
        peer_words=rarely("write"),
        at_risk=Range(1.0),
        alone=True,
        margin=0.5,
    ),
    "negative_mentions_30": Wording(
        "NEGATIVE_REVIEW",
        risk=counted("negative mention", "in the last 30 days"),
        peer_words=rarely("have"),
        at_risk=Range(1.0),
        alone=True,
        margin=0.5,
    ),
    "barriers_90": Wording(
        "BARRIER_REPEATED",
        risk=counted("barrier", "named in the last 90 days"),
        peer_words=rarely("name"),
        at_risk=Range(2.0),
        margin=0.5,
    ),
    # Messages and referrals
    "message_open_rate_30": Wording(
        "EMAIL_DISENGAGED",
        "EMAIL_ENGAGED",
        lambda f, v: f"Opened {percent(v)} of messages in the last 30 days",
        worse=-1,
        peer_words=typically("open", percent),
        margin=0.05,
    ),
    "unsubscribed": flag(
        "Unsubscribed from messages", code="UNSUBSCRIBED", peer_words=share_of_customers("have unsubscribed")
    ),
    "days_since_click": Wording(
        "EMAIL_DISENGAGED",
        "EMAIL_ENGAGED",
        lambda f, v: f"Last click in a message {days(v)} ago",
        peer_words=lambda peer: f"customers typically {days(peer)} ago",
        safe=Range(high=_NEAR_DAYS),
        margin=1.0,
    ),
    "referrals_90": Wording(
        "REFERRALS_STOPPED",
        "REFERRALS_SENT",
        _referrals_stopped,
        counted("referral", "sent in the last 90 days"),
        worse=-1,
        at_risk=Range(high=0.0),
        safe=Range(1.0),
        alone=True,
        risk_needs=Needs("referrals_converted", low=1.0),
        reads=("referrals_converted",),
    ),
    # Missing values that are themselves a sign
    "no_rhythm": Wording(
        "LOW_EVIDENCE",
        risk=lambda f, v: "Too few active days to know what is usual",
        at_risk=Range(0.5),
        alone=True,
    ),
}


def codes_of(feature: str) -> tuple[str, ...]:
    """The codes of reasons that a feature's contribution can count for; none for a feature of context.

    >>> codes_of("recency_days"), codes_of("events_7d"), codes_of("gap_sd_days")
    (('SILENCE', 'RECENTLY_ACTIVE'), ('USAGE_DROP', 'LOW_USAGE', 'USAGE_HEALTHY'), ())
    """
    wording = WORDINGS.get(STANDS_FOR.get(feature, feature))
    if wording is None:
        return ()
    codes = (wording.code, wording.peer_code, wording.strength)
    return tuple(code for code in dict.fromkeys(codes) if code)
