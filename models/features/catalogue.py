"""The ordered catalogue of features, and the function that computes all features of a batch.

A feature is one entry of `FEATURES`: an added entry is computed, scored, explained, documented and stored. Values are
bounded by their transform. NaN means that a value cannot be known; it is never a normal value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features import commerce, engagement, feedback, section_values
from models.features.columns import ProfileColumns
from models.features.row_buffer import RowBuffer
from models.profile.schema import Profile

Floats = NDArray[np.float64]


class Feature(NamedTuple):
    """One entry of the catalogue.

    Attributes:
        name: Stable name, part of every stored example.
        unit: Unit of the raw value.
        sentence: Description of the value, as a noun phrase for tables.
        reason: Topic, named by a reason code; the hold of alerts in a feed outage goes by topics
            (`models.explanations.silence`). Codes of published reasons: `models.explanations.feature_wordings`.
        relative: Whether the feature is also read as its difference from the peer mean.
        missing: When the value cannot be known.
        compute: Function from a batch to one raw value per row, in `unit`; NaN for missing.
        transform: Bounded, elementwise; "log": log1p up to 10,000; "share": clip to 0..1; "flag"; "clip:L,H".
    """

    name: str
    unit: str
    sentence: str
    reason: str
    relative: bool
    missing: str
    compute: Callable[[ProfileColumns], Floats]
    transform: str


NEVER = "never missing"
NO_ENGAGEMENT = "no engagement yet"
NO_GAP = "fewer than two active days"
NO_ORDER = "no order yet"
NO_SUBSCRIPTION = "no subscription known"

# fmt: off
FEATURES: Final[tuple[Feature, ...]] = (
    # Recency and rhythm
    Feature("recency_days", "days", "time since the customer was last active", "SILENCE", True, NO_ENGAGEMENT,
            engagement.recency, "log"),
    Feature("gap_mean_days", "days", "mean time between active days; newer gaps weigh more", "RHYTHM_BROKEN", False,
            NO_GAP,
            lambda c: c.gaps[1], "log"),
    Feature("gap_sd_days", "days", "standard deviation of the time between active days", "RHYTHM_BROKEN", False,
            "fewer than three active days",
            lambda c: c.gaps[2], "log"),
    Feature("overdue_ratio", "ratio", "time since the last activity, divided by the customer's mean gap",
            "RHYTHM_BROKEN", True, NO_GAP,
            engagement.overdue_ratio, "log"),
    Feature("overdue_z", "standard deviations",
            "time since the last activity beyond the mean gap, in standard deviations of the gaps", "RHYTHM_BROKEN",
            True, "fewer than three active days", engagement.overdue_z, "clip:-3,10"),
    Feature("silent_share", "share", "share of the customer's life since the last activity", "SILENCE", False,
            NO_ENGAGEMENT, engagement.silent_share, "share"),
    # Activity
    Feature("events_1h", "events", "active events in the current hour and the one before", "USAGE_DROP", False, NEVER,
            lambda c: c.count("engaged", hours=2), "log"),
    Feature("events_1d", "events", "active events in the last 24 hours", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", hours=24), "log"),
    Feature("events_7d", "events", "active events in the last 7 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=7), "log"),
    Feature("events_14d", "events", "active events in the last 14 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=14), "log"),
    Feature("events_30d", "events", "active events in the last 30 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=30), "log"),
    Feature("events_90d", "events", "active events in the last 90 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=90), "log"),
    Feature("trend_7_28", "log ratio", "daily activity in the last week compared with the last four weeks",
            "USAGE_DROP", True, NEVER,
            engagement.log_trend("engaged", 7, 28), "clip:-4,4"),
    Feature("trend_28_90", "log ratio", "daily activity in the last four weeks compared with the last 90 days",
            "USAGE_DROP", True, NEVER,
            engagement.log_trend("engaged", 28, 90), "clip:-4,4"),
    Feature("vs_peak", "share", "activity in the last 28 days compared with the best 28 days of the last three months",
            "USAGE_DROP", True, "no engagement in three months", engagement.vs_peak, "share"),
    Feature("active_days_7", "days", "active days among the last 7", "USAGE_DROP", True, NEVER,
            lambda c: c.active_days(7) / 7, "share"),
    Feature("active_days_14", "days", "active days among the last 14", "USAGE_DROP", True, NEVER,
            lambda c: c.active_days(14) / 14, "share"),
    Feature("active_days_30", "days", "active days among the last 30", "USAGE_DROP", True, NEVER,
            lambda c: c.active_days(30) / 30, "share"),
    Feature("active_days_90", "days", "active days among the last 90", "USAGE_DROP", True, NEVER,
            lambda c: c.active_days(90) / 90, "share"),
    Feature("active_weeks_12", "weeks", "active weeks among the last 12", "USAGE_DROP", True, NEVER,
            lambda c: c.active_weeks(12) / 12, "share"),
    Feature("stickiness", "ratio", "share of active days in the last 7 days, divided by the share in the last 30",
            "USAGE_DROP", True,
            "no active day in 30", engagement.stickiness, "clip:0,4.3"),
    Feature("streak_days", "days", "length of the newest run of active days", "RHYTHM_BROKEN", False, NEVER,
            lambda c: c.streak[0], "log"),
    Feature("streak_broken", "flag", "a run of five or more active days has ended", "RHYTHM_BROKEN", False, NEVER,
            engagement.streak_broken, "flag"),
    Feature("breadth_30", "features", "distinct features used in the last 30 days", "DEPTH_DROP", True, NEVER,
            lambda c: c.used_features(0, 30), "log"),
    Feature("breadth_7", "features", "distinct features used in the last 7 days", "DEPTH_DROP", True, NEVER,
            lambda c: c.used_features(0, 7), "log"),
    Feature("breadth_drop", "features", "features last used 30 to 90 days ago", "FEATURE_ABANDONED", True, NEVER,
            lambda c: c.used_features(30, 90), "log"),
    Feature("session_minutes", "minutes", "mean length of a session", "DEPTH_DROP", False, "no timed session",
            engagement.session_minutes, "log"),
    Feature("session_depth", "events", "active events per session in the last 30 days", "DEPTH_DROP", True,
            "no session in 30 days",
            lambda c: engagement.ratio(c.count("engaged", days=30), c.count("session", days=30)), "log"),
    Feature("automated_share_30", "share", "share of automated events in the last 30 days", "USAGE_DROP", False,
            "no event in 30 days", engagement.automated_share, "share"),
    Feature("never_engaged", "flag", "the customer has never been active", "SILENCE", False, NEVER,
            lambda c: (c.engaged_ms == 0).astype(np.float64), "flag"),
    # Journey
    Feature("tenure_days", "days", "time since the first event", "LOW_EVIDENCE", False, NEVER,
            engagement.tenure, "log"),
    Feature("goals_30d", "goals", "goals reached in the last 30 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("goal", days=30), "log"),
    Feature("goals", "goals", "goals reached so far", "USAGE_DROP", True, NEVER, lambda c: c.total("goal"), "log"),
    Feature("goal_recency_days", "days", "time since the last goal", "USAGE_DROP", True, "no goal yet",
            engagement.goal_recency, "log"),
    Feature("goal_value_last", "as sent", "value or score of the last goal", "USAGE_DROP", True,
            "no goal with a value", engagement.goal_value_last, "log"),
    Feature("goal_value_mean", "as sent", "mean value or score of the newest goals", "USAGE_DROP", True,
            "no goal with a value", engagement.goal_value_mean, "log"),
    Feature("time_to_first_goal_days", "days", "time from the first event to the first goal", "ONBOARDING_STALLED",
            False, "no goal yet", engagement.time_to_first_goal, "log"),
    Feature("onboarding_share", "share", "share of the onboarding steps completed", "ONBOARDING_STALLED", False,
            "no onboarding step known", engagement.onboarding_share, "share"),
    # Commerce
    Feature("orders", "orders", "days with an order so far", "USAGE_DROP", False, NO_ORDER, lambda c: c.order_days,
            "log"),
    Feature("order_recency_days", "days", "time since the last order", "SILENCE", True, NO_ORDER,
            commerce.order_recency, "log"),
    Feature("order_gap_days", "days", "mean time between order days", "RHYTHM_BROKEN", False,
            "fewer than two order days",
            commerce.order_gap, "log"),
    Feature("order_overdue", "ratio", "time since the last order, divided by the customer's mean gap",
            "RHYTHM_BROKEN", False,
            "fewer than two order days", commerce.order_overdue, "log"),
    Feature("order_value", "currency units", "mean revenue of an order", "USAGE_DROP", False, "no order with revenue",
            commerce.order_value, "log"),
    Feature("order_value_trend", "log ratio", "revenue of the last order compared with the mean", "USAGE_DROP", False,
            "fewer than two orders with revenue", commerce.order_value_trend, "clip:-3,3"),
    Feature("dead_log_odds", "log odds", "BG/NBD log odds that the customer has stopped buying", "SILENCE", True,
            NO_ORDER,
            commerce.dead_log_odds, "clip:-6,12"),
    Feature("refund_rate", "share", "refunds per order", "REFUND", False, NO_ORDER,
            commerce.refund_rate, "share"),
    # Subscription
    Feature("subscribed_days", "days", "age of the current subscription", "LOW_EVIDENCE", False,
            "no running subscription", commerce.subscribed_days, "log"),
    Feature("mrr", "currency units a month", "price of the subscription", "DOWNGRADE", False, "no price known",
            commerce.mrr, "log"),
    Feature("mrr_delta_90", "log ratio", "price compared with 90 days ago", "DOWNGRADE", False, "no price known",
            commerce.mrr_delta, "clip:-3,3"),
    Feature("downgrades_180", "changes", "downgrades in the last 180 days", "DOWNGRADE", False, NEVER,
            commerce.downgrades, "log"),
    Feature("cancel_scheduled", "flag", "a cancellation is scheduled", "CANCEL_INTENT", False, NEVER,
            lambda c: c.subscription(section_values.CANCEL_SCHEDULED), "flag"),
    Feature("paused", "flag", "the subscription is paused", "CANCEL_INTENT", False, NEVER,
            lambda c: c.subscription(section_values.PAUSED), "flag"),
    Feature("renewal_in_days", "days", "time until the next renewal", "RENEWAL_NEAR_LOW_USE", False,
            "no renewal date known",
            commerce.renewal_in, "clip:-30,90"),
    Feature("trial_left_days", "days", "time until the trial ends", "TRIAL_ENDING_INACTIVE", False, "no trial",
            commerce.trial_left, "clip:-30,30"),
    # Payments
    Feature("payments_failed_30", "payments", "failed payments in the last 30 days", "PAYMENT_FAILED", False, NEVER,
            lambda c: c.count("payment_failed", days=30), "log"),
    Feature("dunning_open", "flag", "the last payment failed and is still unpaid", "PAYMENT_FAILED", False,
            "no payment known", commerce.dunning_open, "flag"),
    Feature("card_expires_in_days", "days", "time until the card expires", "CARD_EXPIRING", False, "no expiry known",
            commerce.card_expires_in, "clip:-30,90"),
    Feature("recovered_rate", "share", "share of failed payments that were recovered", "PAYMENT_FAILED", False,
            "no failed payment", commerce.recovered_rate, "share"),
    # Support
    Feature("tickets_open", "tickets", "open tickets", "TICKET_SURGE", False, NEVER,
            feedback.tickets_open, "log"),
    Feature("tickets_30d", "tickets", "tickets in the last 30 days", "TICKET_SURGE", True, NEVER,
            lambda c: c.count("ticket", days=30), "log"),
    Feature("ticket_rate_vs_own", "log ratio",
            "tickets in the last 30 days compared with the customer's monthly rate", "TICKET_SURGE", False,
            NEVER, feedback.ticket_rate, "clip:-3,3"),
    Feature("tickets_reopened_90", "tickets", "tickets reopened in the last 90 days", "TICKET_REOPENED", False, NEVER,
            lambda c: c.count("ticket_reopened", days=90), "log"),
    Feature("time_to_solve_hours", "hours", "mean time until a ticket is solved", "SLOW_SUPPORT", False,
            "no solved ticket with a time",
            feedback.time_to_solve, "log"),
    Feature("errors_7d", "errors", "errors shown in the last 7 days", "SLOW_SUPPORT", True, NEVER,
            lambda c: c.count("error", days=7), "log"),
    # Satisfaction
    Feature("csat_mean", "share of the scale", "mean satisfaction rating, shrunk towards 70%", "CSAT_DETRACTOR",
            False, "no answer",
            feedback.csat_mean, "share"),
    Feature("csat_last", "share of the scale", "last satisfaction rating", "CSAT_DETRACTOR", False, "no answer",
            feedback.csat_last, "share"),
    Feature("csat_trend", "share of the scale", "last satisfaction rating compared with the earlier ones",
            "CSAT_DETRACTOR",
            False,
            "fewer than two answers", feedback.csat_trend, "clip:-1,1"),
    Feature("nps_last", "share of the scale", "last NPS score", "NPS_DETRACTOR", False,
            "no answer",
            feedback.nps_last, "share"),
    Feature("ces_last", "share of the scale", "last ease rating; 1 is least effort", "SLOW_SUPPORT", False, "no answer",
            feedback.ces_last, "share"),
    Feature("days_since_survey", "days", "time since the last survey response", "LOW_EVIDENCE", False, "no answer",
            feedback.days_since_survey, "log"),
    Feature("sentiment", "-1 to 1", "sentiment of the last review or mention", "NEGATIVE_REVIEW", False,
            "no review or mention", feedback.sentiment, "clip:-1,1"),
    Feature("negative_reviews_90", "reviews", "negative reviews in the last 90 days", "NEGATIVE_REVIEW", False, NEVER,
            lambda c: c.count("negative_review", days=90), "log"),
    Feature("negative_mentions_30", "mentions", "negative social mentions in the last 30 days", "NEGATIVE_REVIEW",
            False, NEVER,
            lambda c: c.count("negative_mention", days=30), "log"),
    Feature("barriers_90", "tags", "barriers named in tickets, surveys and cancellations in the last 90 days",
            "BARRIER_REPEATED",
            False, NEVER, feedback.barriers, "log"),
    # Messages and referrals
    Feature("message_open_rate_30", "share", "share of messages opened in the last 30 days", "EMAIL_DISENGAGED", True,
            "nothing sent in 30 days", engagement.open_rate, "share"),
    Feature("unsubscribed", "flag", "the customer has unsubscribed from messages", "UNSUBSCRIBED", False, NEVER,
            engagement.unsubscribed, "flag"),
    Feature("days_since_click", "days", "time since the last click in a message", "EMAIL_DISENGAGED", False, "no click",
            engagement.click_recency, "log"),
    Feature("referrals_90", "referrals", "referrals sent in the last 90 days", "REFERRALS_STOPPED", False, NEVER,
            lambda c: c.count("referral_sent", days=90), "log"),
    Feature("referrals_converted", "referrals", "referrals that became customers", "REFERRALS_STOPPED", False, NEVER,
            lambda c: c.total("referral_converted"), "log"),
    Feature("was_referred", "flag", "the customer came through a referral", "LOW_EVIDENCE", False, NEVER,
            engagement.referred, "flag"),
    Feature("plan_known", "flag", "a subscription is active", "LOW_EVIDENCE", False, NEVER,
            lambda c: c.subscription(section_values.ACTIVE), "flag"),
    # Features whose missing value carries information
    Feature("no_rhythm", "flag", "too few active days to know a rhythm", "LOW_EVIDENCE", False, NEVER,
            lambda c: (c.gaps[0] < 1).astype(np.float64), "flag"),
    Feature("no_goal", "flag", "no goal reached yet", "ONBOARDING_STALLED", True, NEVER,
            lambda c: (c.total("goal") == 0).astype(np.float64), "flag"),
    Feature("no_answer", "flag", "no survey response yet", "LOW_EVIDENCE", False, NEVER,
            feedback.no_answer,
            "flag"),
)
# fmt: on

NAMES: Final[tuple[str, ...]] = tuple(f.name for f in FEATURES)
RELATIVE: Final[tuple[bool, ...]] = tuple(f.relative for f in FEATURES)
LOG_LIMIT: Final = 10_000.0
_BLOCK_ROWS: Final = 256  # rows transformed and transposed together: they stay in the CPU cache

_VERSION = 1  # increment when a feature changes its meaning under the same name
CATALOGUE: Final[str] = hashlib.blake2b(
    repr((_VERSION, [(f.name, f.relative, f.transform) for f in FEATURES])).encode(), digest_size=8
).hexdigest()


def _bounds(transform: str) -> tuple[float, float]:
    if transform.startswith("clip:"):
        low, high = transform.removeprefix("clip:").split(",")
        return float(low), float(high)
    return 0.0, LOG_LIMIT if transform == "log" else 1.0


_LOW, _HIGH = np.array([_bounds(f.transform) for f in FEATURES]).T[:, :, None]
_LOG: Final = np.flatnonzero([f.transform == "log" for f in FEATURES])


def _transform(raw: Floats) -> None:
    """Transform the raw values of all features in place, one row of the matrix per feature."""
    np.maximum(raw, _LOW, out=raw)
    np.minimum(raw, _HIGH, out=raw)
    raw[_LOG] = np.log1p(raw[_LOG])


def features(profiles: Sequence[Profile], now_ms: Sequence[int]) -> Floats:
    """Compute the catalogue's values for a batch.

    Args:
        profiles: n profiles, each as of its scoring time.
        now_ms: n scoring times, epoch ms.

    Returns:
        float64 of shape (n, number of features), C-contiguous, NaN where a value cannot be known. A row's bits do not
        depend on the other rows.
    """
    buffer = RowBuffer()
    for profile, now in zip(profiles, now_ms, strict=True):
        buffer.add(profile, now)
    return compute(buffer)


def compute(buffer: RowBuffer) -> Floats:
    """Compute the catalogue's values for the rows of a buffer; see `features`."""
    columns = ProfileColumns([], [], buffer)
    by_feature = np.empty((len(FEATURES), columns.n))
    with np.errstate(invalid="ignore", divide="ignore"):
        for row, feature in zip(by_feature, FEATURES, strict=True):
            row[:] = feature.compute(columns)
        out = np.empty((columns.n, len(FEATURES)))
        for start in range(0, columns.n, _BLOCK_ROWS):
            block = by_feature[:, start : start + _BLOCK_ROWS]
            _transform(block)
            out[start : start + _BLOCK_ROWS] = block.T
    return out
