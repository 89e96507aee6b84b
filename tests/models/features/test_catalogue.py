"""The catalogue: complete, bounded, missing values as declared, and scenarios of single features."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest

from models.features.catalogue import CATALOGUE, FEATURES, LOG_LIMIT, NAMES, RELATIVE, features
from models.profile.apply import apply
from models.profile.codec import copy
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.schema import Profile
from tests.models.histories import MINUTE_MS, START_MS, event, odd_history, profile_of, simulated

REASONS = {
    "SILENCE", "USAGE_DROP", "DEPTH_DROP", "FEATURE_ABANDONED", "RHYTHM_BROKEN", "ONBOARDING_STALLED",
    "TRIAL_ENDING_INACTIVE", "PAYMENT_FAILED", "CARD_EXPIRING", "DOWNGRADE", "CANCEL_INTENT",
    "RENEWAL_NEAR_LOW_USE", "TICKET_SURGE", "TICKET_REOPENED", "SLOW_SUPPORT", "CSAT_DETRACTOR",
    "NPS_DETRACTOR", "NEGATIVE_REVIEW", "BARRIER_REPEATED", "EMAIL_DISENGAGED", "UNSUBSCRIBED",
    "SEATS_SHRINKING", "CHAMPION_LEFT", "REFERRALS_STOPPED", "REFUND", "LOW_EVIDENCE",
}  # fmt: skip


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


def value(name: str, *events: object, at: float | None = None) -> float:
    """One feature after these events, `at` days after the start (default: at the last event)."""
    profile = profile_of(events)  # type: ignore[arg-type]
    return float(features([profile], [profile.newest_ms if at is None else day(at)])[0, NAMES.index(name)])


def log(x: float) -> float:
    return math.log1p(x)


def bounds(transform: str) -> tuple[float, float]:
    """What a transform promises."""
    if transform == "log":
        return 0.0, log(LOG_LIMIT)
    if transform in ("share", "flag"):
        return 0.0, 1.0
    low, high = transform.removeprefix("clip:").split(",")
    return float(low), float(high)


# The catalogue ---


def test_catalogue_is_complete() -> None:
    """Names are unique and stable in form, reasons are of the fixed set, no sentence is empty, bounds are bounds."""
    assert len(set(NAMES)) == len(NAMES)
    for f in FEATURES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", f.name), f.name
        assert f.reason in REASONS, f.reason
        assert f.sentence[0].islower() or f.sentence.startswith("BG/NBD")
        assert not f.sentence.endswith(".")
        assert f.missing
        assert f.unit
        low, high = bounds(f.transform)
        assert -100 < low < high < 100
    assert len(RELATIVE) == len(FEATURES)
    assert re.fullmatch(r"[0-9a-f]{16}", CATALOGUE)


@pytest.mark.parametrize("seed", range(30))
def test_values_are_bounded_for_any_history(seed: int) -> None:
    """Within the transform's bounds, no infinity, no warning; NaN only where the catalogue knows a reason."""
    profile = profile_of(odd_history(seed, 30 + 20 * seed))
    now = [profile.newest_ms + idle for idle in (0, HOUR_MS, 3 * DAY_MS, 100 * DAY_MS, 9000 * DAY_MS)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = features([profile] * len(now), now)
    for i, f in enumerate(FEATURES):
        low, high = bounds(f.transform)
        known = x[:, i][~np.isnan(x[:, i])]
        assert ((known >= low) & (known <= high)).all(), f.name
        if f.missing == "never missing":
            assert len(known) == len(now), f.name
        if f.transform == "flag":
            assert set(known) <= {0.0, 1.0}, f.name


def test_unknown_value_is_missing() -> None:
    """After a single identify call, every feature with a missing rule is missing."""
    x = features([profile_of([event("identify", segment="smb", card_expires="2024-12-01")])], [day(3)])[0]
    known = {"renewal_in_days", "card_expires_in_days"}
    for f, v in zip(FEATURES, x, strict=True):
        if f.name not in known:
            assert np.isnan(v) == (f.missing != "never missing"), f.name


def test_empty_batch_gives_no_rows() -> None:
    """The matrix has no rows and all columns."""
    assert features([], []).shape == (0, len(FEATURES))


def test_features_are_a_contiguous_float64_matrix() -> None:
    """The bytes of a row are frozen with a snapshot."""
    x = features([Profile()] * 3, [START_MS] * 3)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((3, len(FEATURES)), np.dtype(np.float64), True)


@pytest.mark.law
@pytest.mark.parametrize("size", [1, 3, 17, 500])
def test_row_has_the_same_bits_in_any_batch(size: int) -> None:
    """In batches of 1, 3, 17 and 500 rows."""
    profiles: dict[str, Profile] = {}
    for each in simulated(customers=70, days=40):
        apply(profiles.setdefault(each.customer, Profile()), each)
    crowd = list(profiles.values()) + [profile_of(odd_history(s, 40)) for s in range(40)]
    crowd = (crowd * 10)[:500]
    now = [p.newest_ms + i * 97 * MINUTE_MS for i, p in enumerate(crowd)]
    whole = features(crowd, now)
    for start in range(0, 500 if size > 1 else 60, size):
        rows = slice(start, start + size)
        assert features(crowd[rows], now[rows]).tobytes() == whole[rows].tobytes()


def test_features_never_read_later_events() -> None:
    """A copied profile gives the same values after any number of later events."""
    log_ = simulated(customers=1, days=120, shops=0)
    for cut in (5, len(log_) // 2, len(log_) - 20):
        profile = profile_of(log_[:cut])
        now, frozen = profile.newest_ms + 1, copy(profile)
        before = features([frozen], [now])
        for each in log_[cut:]:
            apply(profile, each)
        assert features([frozen], [now]).tobytes() == before.tobytes()
        assert features([profile_of(log_[:cut])], [now]).tobytes() == before.tobytes()


# Single features ---


def test_recency_counts_customer_caused_events_only() -> None:
    """Messages and automated events do not shorten a silence."""
    others = event("Email Sent", day(8)), event("page", day(9), automated=True)
    assert value("recency_days", event(at_ms=day(0)), *others, at=10) == pytest.approx(log(10))


def test_silence_is_relative_to_the_customers_own_rhythm() -> None:
    """Eleven days are long for a daily customer and short for a monthly one."""
    daily = [event(at_ms=day(n)) for n in range(60)]
    monthly = [event(at_ms=day(30 * n)) for n in range(6)]
    assert value("overdue_ratio", *daily, at=59 + 11) == pytest.approx(log(11.5 / 1.5))
    assert value("overdue_ratio", *monthly, at=150 + 11) == pytest.approx(log(11.5 / 30.5))


def test_new_customer_has_no_rhythm() -> None:
    """With one active day the gaps are missing, and flagged."""
    assert math.isnan(value("overdue_ratio", event(), at=9))
    assert value("no_rhythm", event(), at=9) == 1
    assert value("no_rhythm", event(), event(at_ms=day(3)), at=9) == 0


def test_trend_falls_with_activity_and_is_zero_at_steady_activity() -> None:
    """The last week against four weeks."""
    steady = [event(at_ms=day(n)) for n in range(28)]
    assert value("trend_7_28", *steady) == pytest.approx(0)
    assert value("trend_7_28", *steady, at=34) < -1


def test_several_orders_on_one_day_are_one_order_day() -> None:
    """For the number of orders and for the gap between them."""
    once = [event("Order Completed", day(d)) for d in (0, 10, 20)]
    often = [event("Order Completed", day(d) + h * HOUR_MS) for d in (0, 10, 20) for h in (0, 1)]
    assert value("orders", *often, at=30) == value("orders", *once, at=30) == pytest.approx(log(3))
    assert value("order_gap_days", *once, at=30) == pytest.approx(log(10))
    assert value("order_gap_days", *often, at=30) == pytest.approx(log(10 + 1 / 48))


@pytest.mark.parametrize("name", [f.name for f in FEATURES if f.missing == "no order yet"])
def test_refund_without_an_order_is_no_order(name: str) -> None:
    """All order features are missing."""
    assert math.isnan(value(name, event("Order Refunded", revenue=5), at=3))


def test_dead_log_odds_grow_with_silence_and_faster_for_frequent_buyers() -> None:
    """BG/NBD: 60 days without an order are stronger evidence after weekly orders than after two orders."""
    weekly = [event("Order Completed", day(7 * n)) for n in range(20)]
    twice = [event("Order Completed", day(0)), event("Order Completed", day(133))]
    assert value("dead_log_odds", *weekly, at=193) > value("dead_log_odds", *twice, at=193)
    assert value("dead_log_odds", *weekly, at=193) > value("dead_log_odds", *weekly, at=140)
    x, age, since = 19, 193, 60
    expected = (1 + x) * math.log((28 + age) / (28 + age - since)) - math.log(1 + x)
    assert value("dead_log_odds", *weekly, at=193) == pytest.approx(expected)


def test_dunning_is_open_until_a_payment_settles() -> None:
    """Known only with a payment; the expiry of a card alone is no payment."""
    failed, settled = event("Payment Failed", day(1)), event("Payment Recovered", day(2))
    assert value("dunning_open", failed) == 1
    assert value("dunning_open", failed, settled) == value("dunning_open", settled, failed) == 0
    assert math.isnan(value("dunning_open", event("Payment Method Updated", card_expires="2026-01-01")))
    assert math.isnan(value("dunning_open", event()))


def test_downgrade_changes_price_and_count() -> None:
    """Half the price is a log ratio of -0.69; the downgrade no longer counts after 180 days."""
    changes = [event("Subscription Started", day(0), mrr=100), event("Subscription Downgraded", day(100), mrr=50)]
    assert value("mrr_delta_90", *changes, at=110) == pytest.approx(math.log(51 / 101))
    assert value("downgrades_180", *changes, at=110) == pytest.approx(log(1))
    assert value("downgrades_180", *changes, at=281) == 0
    assert value("mrr", *changes) == pytest.approx(log(50))


def test_price_of_zero_or_less_gives_finite_values() -> None:
    """Free plans and credits."""
    for mrr in (0, -1, -1.0, "-1", 1e300):
        assert not math.isinf(value("mrr_delta_90", event("Subscription Started", mrr=mrr), at=200))


def test_age_of_a_subscription_is_missing_after_its_end() -> None:
    """Until the next start."""
    start, end = event("Subscription Started", day(0)), event("Subscription Cancelled", day(10))
    assert value("subscribed_days", start, at=9) == pytest.approx(log(9))
    assert math.isnan(value("subscribed_days", start, end, at=20))
    assert value("plan_known", start, end, at=20) == 0


def test_survey_scores_are_shares_of_their_scale_and_the_mean_is_shrunk() -> None:
    """A single low score gives no mean of 0.2."""
    answer = event("Survey Response Submitted", kind="csat", score=1)
    assert value("csat_last", answer) == pytest.approx(0.2)
    assert value("csat_mean", answer) == pytest.approx((0.2 + 2 * 0.7) / 3)
    assert value("no_answer", answer) == 0
    assert value("no_answer", event()) == 1


def test_streak_is_broken_after_two_days() -> None:
    """Five active days in a row, then two days without activity."""
    run = [event(at_ms=day(n)) for n in range(6)]
    assert value("streak_days", *run) == pytest.approx(log(6))
    assert [value("streak_broken", *run, at=5 + idle) for idle in (0, 1, 2, 3)] == [0, 0, 0, 1]


def test_open_rate_and_unsubscribe() -> None:
    """The open rate is relative to sent messages, and missing without any."""
    sent = [event("Email Sent", day(n)) for n in range(4)]
    assert value("message_open_rate_30", *sent, event("Email Opened", day(4))) == pytest.approx(0.25)
    assert math.isnan(value("message_open_rate_30", event()))
    assert value("unsubscribed", event("Email Unsubscribed")) == 1
    assert value("unsubscribed", event()) == 0


def test_automated_events_have_their_own_share() -> None:
    """Automated events are not engagement, and are counted in their own feature."""
    events = [event(at_ms=day(0)), *(event(at_ms=day(1), automated=True) for _ in range(3))]
    assert value("automated_share_30", *events) == pytest.approx(0.75)
    assert value("events_7d", *events) == pytest.approx(log(1))


def test_barriers_count_for_90_days() -> None:
    """By the time at which they were named."""
    tickets = [event("Ticket Created", day(d), tags=["unused"]) for d in (0, 50, 60)]
    assert value("barriers_90", *tickets, at=95) == pytest.approx(log(2))
    assert value("barriers_90", *tickets, at=200) == 0
