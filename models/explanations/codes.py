"""The reason codes: which raise the risk, which are protective, their playbooks, and their urgency."""

from __future__ import annotations

from typing import Final

LOW_EVIDENCE: Final = "LOW_EVIDENCE"

PLAYBOOKS: Final[dict[str, str]] = {
    "SILENCE": "reengage",
    "RHYTHM_BROKEN": "reengage",
    "USAGE_DROP": "reengage",
    "LOW_USAGE": "reengage",
    "DEPTH_DROP": "show_value",
    "LOW_DEPTH": "show_value",
    "FEATURE_ABANDONED": "show_value",
    "GOAL_VALUE_LOW": "show_value",
    "ORDER_VALUE_LOW": "show_value",
    "ONBOARDING_STALLED": "onboarding_help",
    "TRIAL_ENDING_INACTIVE": "trial_help",
    "PAYMENT_FAILED": "recover_payment",
    "CARD_EXPIRING": "recover_payment",
    "REFUND": "listen",
    "DOWNGRADE": "plan_review",
    "CANCEL_INTENT": "save_offer",
    "RENEWAL_NEAR_LOW_USE": "renewal_review",
    "TICKET_SURGE": "support_review",
    "TICKET_REOPENED": "support_review",
    "SLOW_SUPPORT": "support_review",
    "PRODUCT_ERRORS": "support_review",
    "HIGH_EFFORT": "support_review",
    "CSAT_DETRACTOR": "listen",
    "NPS_DETRACTOR": "listen",
    "NEGATIVE_REVIEW": "listen",
    "BARRIER_REPEATED": "listen",
    "EMAIL_DISENGAGED": "reengage",
    "UNSUBSCRIBED": "reengage",
    "REFERRALS_STOPPED": "reengage",
    "SEATS_SHRINKING": "account_review",
    "CHAMPION_LEFT": "account_review",
    LOW_EVIDENCE: "learn_more",
}
"""Codes of reasons that raise the risk, each with the procedure that a team would start with.

`SEATS_SHRINKING` and `CHAMPION_LEFT` are reserved: no feature supports them yet.
"""

STRENGTHS: Final[tuple[str, ...]] = (
    "RECENTLY_ACTIVE",
    "RHYTHM_REGULAR",
    "USAGE_HEALTHY",
    "DEPTH_HEALTHY",
    "FEATURES_KEPT",
    "GOAL_VALUE_HIGH",
    "ORDER_VALUE_HIGH",
    "ONBOARDED",
    "PAYMENTS_SETTLED",
    "CARD_VALID",
    "EXPANSION",
    "RENEWAL_DISTANT",
    "FEW_TICKETS",
    "FAST_SUPPORT",
    "LOW_EFFORT",
    "CSAT_SATISFIED",
    "NPS_PROMOTER",
    "POSITIVE_REVIEW",
    "EMAIL_ENGAGED",
    "REFERRALS_SENT",
)
"""Codes of protective reasons."""

RISKS: Final[tuple[str, ...]] = tuple(code for code in PLAYBOOKS if code not in ("SEATS_SHRINKING", "CHAMPION_LEFT"))
"""Codes that a reason for risk can have today."""

CODES: Final[tuple[str, ...]] = (*RISKS, *STRENGTHS)
"""All codes that a reason can have today."""

_PAYMENT: Final = ("PAYMENT_FAILED", "CARD_EXPIRING", "REFUND")
_CANCELLATION: Final = ("CANCEL_INTENT", "RENEWAL_NEAR_LOW_USE", "TRIAL_ENDING_INACTIVE", "DOWNGRADE")
_SUPPORT: Final = (
    *("TICKET_SURGE", "TICKET_REOPENED", "SLOW_SUPPORT", "PRODUCT_ERRORS", "HIGH_EFFORT"),
    *("CSAT_DETRACTOR", "NPS_DETRACTOR", "NEGATIVE_REVIEW", "BARRIER_REPEATED"),
)
_USAGE: Final = (
    *("USAGE_DROP", "LOW_USAGE", "DEPTH_DROP", "LOW_DEPTH", "FEATURE_ABANDONED", "SILENCE", "RHYTHM_BROKEN"),
    "ONBOARDING_STALLED",
)
URGENCY: Final[dict[str, int]] = {
    code: place for place, codes in enumerate((_PAYMENT, _CANCELLATION, _SUPPORT, _USAGE)) for code in codes
}
"""Order of codes by urgency of action: payment before cancellation, support and usage. All other codes follow."""
LEAST_URGENT: Final = 4
