"""The wordings: one entry per feature, by name.

A feature without an entry here is never a reason: its contribution counts as other signals (`rest`). Context features
have none on purpose: the age of a subscription or the regularity of gaps requires no action.
"""

from __future__ import annotations

from typing import Final

from models.explanations.commerce_wordings import COMMERCE_WORDINGS
from models.explanations.feedback_wordings import FEEDBACK_WORDINGS
from models.explanations.usage_wordings import USAGE_WORDINGS
from models.explanations.wording import Wording

RENDERED_AS: Final[dict[str, str]] = {
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
"""Features that mean little to a person: each has the side and the wording of the feature that it is derived from."""

WORDINGS: Final[dict[str, Wording]] = {**USAGE_WORDINGS, **COMMERCE_WORDINGS, **FEEDBACK_WORDINGS}


def codes_of(feature: str) -> tuple[str, ...]:
    """The codes of reasons that a feature's contribution can count for; none for a context feature.

    >>> codes_of("recency_days"), codes_of("events_7d"), codes_of("gap_sd_days")
    (('SILENCE', 'RECENTLY_ACTIVE'), ('USAGE_DROP', 'LOW_USAGE', 'USAGE_HEALTHY'), ())
    """
    wording = WORDINGS.get(RENDERED_AS.get(feature, feature))
    if wording is None:
        return ()
    codes = (wording.code, wording.peer_code, wording.strength)
    return tuple(code for code in dict.fromkeys(codes) if code)
