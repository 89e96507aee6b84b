"""Wordings of features of support, satisfaction, messages and missing values."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.explanations.figures import count, days, figure, hours, percent
from models.explanations.wording import (
    NEAR_DAYS,
    Derived,
    FeatureLookup,
    Floats,
    Needs,
    Range,
    Wording,
    counted,
    flag,
    rarely,
    share_of_customers,
    typically,
)

_DETRACTOR_CSAT: Final = 0.4999  # of the scale: 1 and 2 of 5 (models.experience.indices.CSAT_DETRACTOR_BELOW)

_TOP_BOX: Final = 0.8  # 4 and 5 of 5

_DETRACTOR_NPS: Final = 0.6999  # 0 to 6 of 10

_PROMOTER: Final = 0.9  # 9 and 10 of 10

_HARD: Final = 0.4999


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


FEEDBACK_WORDINGS: Final[dict[str, Wording]] = {
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
        safe=Range(high=NEAR_DAYS),
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
