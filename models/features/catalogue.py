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

from models.features import commerce as money
from models.features import engagement as habits
from models.features import feedback as opinions
from models.features import section_values as readings
from models.features.columns import ProfileColumns
from models.features.row_buffer import RowBuffer
from models.profile.schema import Profile

Floats = NDArray[np.float64]


class Feature(NamedTuple):
    """One entry of the catalogue.

    Attributes:
        name: Stable name, part of every stored example.
        unit: Unit of the raw value.
        sentence: Description of the value.
        reason: Stable reason code that a contribution of this feature supports.
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
    Feature("recency_days", "days", "time since the customer last did something", "SILENCE", True, NO_ENGAGEMENT,
            habits.recency, "log"),
    Feature("gap_mean_days", "days", "usual time between active days", "RHYTHM_BROKEN", False, NO_GAP,
            lambda c: c.gaps[1], "log"),
    Feature("gap_sd_days", "days", "how regular the rhythm is", "RHYTHM_BROKEN", False, "fewer than three active days",
            lambda c: c.gaps[2], "log"),
    Feature("overdue_ratio", "ratio", "silence against the customer's own usual gap", "RHYTHM_BROKEN", True, NO_GAP,
            habits.overdue_ratio, "log"),
    Feature("overdue_z", "standard deviations", "silence beyond the usual gap, in its own spread", "RHYTHM_BROKEN",
            True, "fewer than three active days", habits.overdue_z, "clip:-3,10"),
    Feature("silent_share", "share", "part of the customer's life that the present silence makes up", "SILENCE", False,
            NO_ENGAGEMENT, habits.silent_share, "share"),
    # Activity
    Feature("events_1h", "events", "engaged events in this hour and the one before", "USAGE_DROP", False, NEVER,
            lambda c: c.count("engaged", hours=2), "log"),
    Feature("events_1d", "events", "engaged events of the last 24 hours", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", hours=24), "log"),
    Feature("events_7d", "events", "engaged events of the last 7 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=7), "log"),
    Feature("events_14d", "events", "engaged events of the last 14 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=14), "log"),
    Feature("events_30d", "events", "engaged events of the last 30 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=30), "log"),
    Feature("events_90d", "events", "engaged events of the last 90 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("engaged", days=90), "log"),
    Feature("trend_7_28", "log ratio", "daily activity of the last week against four weeks", "USAGE_DROP", True, NEVER,
            habits.log_trend("engaged", 7, 28), "clip:-4,4"),
    Feature("trend_28_90", "log ratio", "daily activity of four weeks against three months", "USAGE_DROP", True, NEVER,
            habits.log_trend("engaged", 28, 90), "clip:-4,4"),
    Feature("vs_peak", "share", "activity of four weeks against the best four weeks of the last three months",
            "USAGE_DROP", True, "no engagement in three months", habits.vs_peak, "share"),
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
    Feature("stickiness", "ratio", "share of active days this week against this month", "USAGE_DROP", True,
            "no active day in 30", habits.stickiness, "clip:0,4.3"),
    Feature("streak_days", "days", "length of the newest run of active days", "RHYTHM_BROKEN", False, NEVER,
            lambda c: c.streak[0], "log"),
    Feature("streak_broken", "flag", "a run of five or more active days has ended", "RHYTHM_BROKEN", False, NEVER,
            habits.streak_broken, "flag"),
    Feature("breadth_30", "features", "distinct features used in 30 days", "DEPTH_DROP", True, NEVER,
            lambda c: c.used_features(0, 30), "log"),
    Feature("breadth_7", "features", "distinct features used in 7 days", "DEPTH_DROP", True, NEVER,
            lambda c: c.used_features(0, 7), "log"),
    Feature("breadth_drop", "features", "features not used for 30 to 90 days", "FEATURE_ABANDONED", True, NEVER,
            lambda c: c.used_features(30, 90), "log"),
    Feature("session_minutes", "minutes", "usual length of a session", "DEPTH_DROP", False, "no timed session",
            habits.session_minutes, "log"),
    Feature("session_depth", "events", "engaged events a session in 30 days", "DEPTH_DROP", True,
            "no session in 30 days",
            lambda c: habits.ratio(c.count("engaged", days=30), c.count("session", days=30)), "log"),
    Feature("automated_share_30", "share", "part of the traffic that programs made", "USAGE_DROP", False,
            "no event in 30 days", habits.automated_share, "share"),
    Feature("never_engaged", "flag", "the customer has never done anything", "SILENCE", False, NEVER,
            lambda c: (c.engaged_ms == 0).astype(np.float64), "flag"),
    # Journey
    Feature("tenure_days", "days", "time since the first event", "LOW_EVIDENCE", False, NEVER, habits.tenure, "log"),
    Feature("goals_30d", "goals", "goals reached in 30 days", "USAGE_DROP", True, NEVER,
            lambda c: c.count("goal", days=30), "log"),
    Feature("goals", "goals", "goals ever reached", "USAGE_DROP", True, NEVER, lambda c: c.total("goal"), "log"),
    Feature("goal_recency_days", "days", "time since the last goal", "USAGE_DROP", True, "no goal yet",
            habits.goal_recency, "log"),
    Feature("goal_value_last", "as sent", "how well the last goal went (its score or value)", "USAGE_DROP", True,
            "no goal with a value", habits.goal_value_last, "log"),
    Feature("goal_value_mean", "as sent", "how well the newest goals went (score or value)", "USAGE_DROP", True,
            "no goal with a value", habits.goal_value_mean, "log"),
    Feature("time_to_first_goal_days", "days", "time from the first event to the first goal", "ONBOARDING_STALLED",
            False, "no goal yet", habits.time_to_first_goal, "log"),
    Feature("onboarding_share", "share", "part of the onboarding that is done", "ONBOARDING_STALLED", False,
            "no onboarding step known", habits.onboarding_share, "share"),
    # Commerce
    Feature("orders", "orders", "days with an order, ever", "USAGE_DROP", False, NO_ORDER, lambda c: c.order_days,
            "log"),
    Feature("order_recency_days", "days", "time since the last order", "SILENCE", True, NO_ORDER,
            money.order_recency, "log"),
    Feature("order_gap_days", "days", "mean time between order days", "RHYTHM_BROKEN", False,
            "fewer than two order days",
            money.order_gap, "log"),
    Feature("order_overdue", "ratio", "time since the last order against the usual gap", "RHYTHM_BROKEN", False,
            "fewer than two order days", money.order_overdue, "log"),
    Feature("order_value", "currency units", "mean revenue of an order", "USAGE_DROP", False, "no order with revenue",
            money.order_value, "log"),
    Feature("order_value_trend", "log ratio", "the last order's revenue against the mean", "USAGE_DROP", False,
            "fewer than two orders with revenue", money.order_value_trend, "clip:-3,3"),
    Feature("dead_log_odds", "log odds", "BG/NBD log odds that the customer stopped buying", "SILENCE", True, NO_ORDER,
            money.dead_log_odds, "clip:-6,12"),
    Feature("refund_rate", "share", "refunds an order", "REFUND", False, NO_ORDER,
            money.refund_rate, "share"),
    # Subscription
    Feature("subscribed_days", "days", "age of the present subscription", "LOW_EVIDENCE", False,
            "no running subscription", money.subscribed_days, "log"),
    Feature("mrr", "currency units a month", "price of the subscription", "DOWNGRADE", False, "no price known",
            money.mrr, "log"),
    Feature("mrr_delta_90", "log ratio", "price against 90 days ago", "DOWNGRADE", False, "no price known",
            money.mrr_delta, "clip:-3,3"),
    Feature("downgrades_180", "changes", "downgrades in 180 days", "DOWNGRADE", False, NEVER, money.downgrades, "log"),
    Feature("cancel_scheduled", "flag", "a cancellation is scheduled", "CANCEL_INTENT", False, NEVER,
            lambda c: c.subscription(readings.CANCEL_SCHEDULED), "flag"),
    Feature("paused", "flag", "the subscription is paused", "CANCEL_INTENT", False, NEVER,
            lambda c: c.subscription(readings.PAUSED), "flag"),
    Feature("renewal_in_days", "days", "time to the next renewal", "RENEWAL_NEAR_LOW_USE", False,
            "no renewal date known",
            money.renewal_in, "clip:-30,90"),
    Feature("trial_left_days", "days", "time to the end of the trial", "TRIAL_ENDING_INACTIVE", False, "no trial",
            money.trial_left, "clip:-30,30"),
    # Payments
    Feature("payments_failed_30", "payments", "failed payments in 30 days", "PAYMENT_FAILED", False, NEVER,
            lambda c: c.count("payment_failed", days=30), "log"),
    Feature("dunning_open", "flag", "the last payment failed and none has settled since", "PAYMENT_FAILED", False,
            "no payment known", money.dunning_open, "flag"),
    Feature("card_expires_in_days", "days", "time to the card's expiry", "CARD_EXPIRING", False, "no expiry known",
            money.card_expires_in, "clip:-30,90"),
    Feature("recovered_rate", "share", "failed payments that were recovered", "PAYMENT_FAILED", False,
            "no failed payment", money.recovered_rate, "share"),
    # Support
    Feature("tickets_open", "tickets", "tickets not yet solved", "TICKET_SURGE", False, NEVER,
            opinions.tickets_open, "log"),
    Feature("tickets_30d", "tickets", "tickets in 30 days", "TICKET_SURGE", True, NEVER,
            lambda c: c.count("ticket", days=30), "log"),
    Feature("ticket_rate_vs_own", "log ratio", "tickets of 30 days against the own monthly rate", "TICKET_SURGE", False,
            NEVER, opinions.ticket_rate, "clip:-3,3"),
    Feature("tickets_reopened_90", "tickets", "tickets reopened in 90 days", "TICKET_REOPENED", False, NEVER,
            lambda c: c.count("ticket_reopened", days=90), "log"),
    Feature("time_to_solve_hours", "hours", "mean time until a ticket is solved", "SLOW_SUPPORT", False,
            "no solved ticket with a time",
            opinions.time_to_solve, "log"),
    Feature("errors_7d", "errors", "errors shown in 7 days", "SLOW_SUPPORT", True, NEVER,
            lambda c: c.count("error", days=7), "log"),
    # Satisfaction
    Feature("csat_mean", "share of the scale", "satisfaction, shrunk mean", "CSAT_DETRACTOR", False, "no answer",
            opinions.csat_mean, "share"),
    Feature("csat_last", "share of the scale", "last satisfaction answer", "CSAT_DETRACTOR", False, "no answer",
            opinions.csat_last, "share"),
    Feature("csat_trend", "share of the scale", "last satisfaction answer against those before", "CSAT_DETRACTOR",
            False,
            "fewer than two answers", opinions.csat_trend, "clip:-1,1"),
    Feature("nps_last", "share of the scale", "last answer to would you recommend us", "NPS_DETRACTOR", False,
            "no answer",
            opinions.nps_last, "share"),
    Feature("ces_last", "share of the scale", "last customer effort answer", "SLOW_SUPPORT", False, "no answer",
            opinions.ces_last, "share"),
    Feature("days_since_survey", "days", "time since the last answer", "LOW_EVIDENCE", False, "no answer",
            opinions.days_since_survey, "log"),
    Feature("sentiment", "-1 to 1", "sentiment of the last review or mention", "NEGATIVE_REVIEW", False,
            "no review or mention", opinions.sentiment, "clip:-1,1"),
    Feature("negative_reviews_90", "reviews", "negative reviews in 90 days", "NEGATIVE_REVIEW", False, NEVER,
            lambda c: c.count("negative_review", days=90), "log"),
    Feature("negative_mentions_30", "mentions", "negative social mentions in 30 days", "NEGATIVE_REVIEW", False, NEVER,
            lambda c: c.count("negative_mention", days=30), "log"),
    Feature("barriers_90", "tags", "barriers named in tickets, surveys and cancellations in 90 days",
            "BARRIER_REPEATED",
            False, NEVER, opinions.barriers, "log"),
    # Messages and referrals
    Feature("message_open_rate_30", "share", "messages opened of those sent in 30 days", "EMAIL_DISENGAGED", True,
            "nothing sent in 30 days", habits.open_rate, "share"),
    Feature("unsubscribed", "flag", "the customer refused further messages", "UNSUBSCRIBED", False, NEVER,
            habits.unsubscribed, "flag"),
    Feature("days_since_click", "days", "time since the last click in a message", "EMAIL_DISENGAGED", False, "no click",
            habits.click_recency, "log"),
    Feature("referrals_90", "referrals", "referrals sent in 90 days", "REFERRALS_STOPPED", False, NEVER,
            lambda c: c.count("referral_sent", days=90), "log"),
    Feature("referrals_converted", "referrals", "referrals that became customers", "REFERRALS_STOPPED", False, NEVER,
            lambda c: c.total("referral_converted"), "log"),
    Feature("was_referred", "flag", "the customer came by a referral", "LOW_EVIDENCE", False, NEVER,
            habits.referred, "flag"),
    Feature("plan_known", "flag", "a subscription runs", "LOW_EVIDENCE", False, NEVER,
            lambda c: c.subscription(readings.ACTIVE), "flag"),
    # Missing values that say something of themselves
    Feature("no_rhythm", "flag", "too few active days to know a rhythm", "LOW_EVIDENCE", False, NEVER,
            lambda c: (c.gaps[0] < 1).astype(np.float64), "flag"),
    Feature("no_goal", "flag", "no goal reached yet", "ONBOARDING_STALLED", True, NEVER,
            lambda c: (c.total("goal") == 0).astype(np.float64), "flag"),
    Feature("no_answer", "flag", "no satisfaction answer known", "LOW_EVIDENCE", False, NEVER,
            opinions.no_answer,
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
