"""Scenarios: the effect of single events on a profile, and that no property value raises an error."""

from __future__ import annotations

import itertools
import random
import sys
from typing import Any

import pytest

from models.events.event import Event
from models.events.taxonomy import COUNTER_INDEX, MEANINGS
from models.profile.apply import apply
from models.profile.codec import encode
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.order_totals import order_totals
from models.profile.schema import NEVER_MS, Profile
from models.profile.subscription import SubscriptionState
from tests.models.histories import KINDS, PROPERTIES, START_MS, VALUES, event, odd_history, profile_of


def total(profile: Profile, counter: str) -> int:
    return profile.totals.get(COUNTER_INDEX[counter], 0)


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


# Activity ---


@pytest.mark.parametrize("name", sorted(name for name, row in MEANINGS.items() if row.engaged))
def test_automated_event_is_not_engagement(name: str) -> None:
    """An automated event of any family moves no recency, rhythm, streak or active day; it is counted as automated."""
    profile = profile_of([event("page", day(0)), event(name, day(5), automated=True)])
    assert profile.engaged_ms == day(0)
    assert profile.first_engaged_ms == day(0)
    assert int.from_bytes(profile.days, "little") == 1 << 5
    assert (total(profile, "engaged"), total(profile, "automated")) == (1, 1)
    assert profile.newest_ms == day(5)


@pytest.mark.parametrize("name", sorted(name for name, row in MEANINGS.items() if not row.engaged))
def test_event_that_the_customer_did_not_cause_is_not_engagement(name: str) -> None:
    """Only events that the customer caused count as activity."""
    profile = profile_of([event(name, day(5))])
    assert (profile.engaged_ms, profile.first_engaged_ms, total(profile, "engaged")) == (0, NEVER_MS, 0)
    assert not any(profile.days)


def test_late_event_counts_on_its_own_day() -> None:
    """The profile equals that of the events in order."""
    events = [event(at_ms=day(d)) for d in (0, 3, 9)]
    in_time, late = profile_of(events), profile_of([events[0], events[2], events[1]])
    assert encode(in_time) == encode(late)


def test_last_use_is_kept_for_the_48_newest_features() -> None:
    """Automated events do not use a feature."""
    events = [event("Feature Used", day(d), feature=f"feature {d}") for d in range(60)]
    profile = profile_of([*events, event("Feature Used", day(70), feature="by program", automated=True)])
    assert len(profile.used) == 48
    assert sorted(profile.used.values()) == [day(d) // DAY_MS for d in range(12, 60)]


# Journey ---


def test_goals_keep_first_and_last_time_and_the_newest_eight_values() -> None:
    """The order of arrival does not matter."""
    goals = [event("Goal Completed", day(d), score=d / 10) for d in range(12)]
    random.Random(1).shuffle(goals)
    journey = profile_of(goals).journey
    assert journey is not None
    assert (journey.first_goal_ms, journey.last_goal_ms) == (day(0), day(11))
    assert [value for _, _, value in journey.goal_values] == [100 * d for d in range(4, 12)]


def test_repeated_onboarding_step_counts_once() -> None:
    """Steps are a set."""
    profile = profile_of(
        event("Onboarding Step Completed", day(d), step=step, steps_total=4) for d, step in enumerate("aabca")
    )
    assert profile.journey is not None
    assert (len(profile.journey.steps), profile.journey.steps_total) == (3, 4)


# Commerce ---


def test_several_orders_on_one_day_are_one_order_day() -> None:
    """Orders and revenue add up; the day counts once."""
    orders = [event("Order Completed", day(0) + h * HOUR_MS, revenue=10.5) for h in (1, 5, 20)]
    commerce = profile_of([*orders, event("Order Completed", day(9), revenue=1)]).commerce
    assert commerce is not None
    assert int.from_bytes(commerce.days, "little") == 1 | 1 << 9
    totals = order_totals(commerce)
    assert (totals.orders, totals.days, totals.revenue, totals.valued) == (4, 2, 3250, 4)


def test_refund_without_an_order_is_no_order() -> None:
    """It sets no order day, no first and no last order."""
    commerce = profile_of([event("Order Refunded", day(0), revenue=-20)]).commerce
    assert commerce is not None
    totals = order_totals(commerce)
    assert (totals.orders, totals.returned, totals.refunded) == (0, 1, 2000)
    assert (commerce.first_ms, commerce.last_ms, any(commerce.days)) == (NEVER_MS, 0, False)


def test_sums_of_money_are_clipped_to_an_encodable_value() -> None:
    """After years of the largest amounts the profile still encodes."""
    orders = [event("Order Completed", day(0) + i, id_hash=0, revenue=10**13) for i in range(20_000)]
    refunds = [event("Order Refunded", day(0) + i, id_hash=0, revenue=10**13) for i in range(20_000)]
    profile = profile_of(orders + refunds)
    assert profile.commerce is not None
    assert profile.commerce.orders == 20_000
    assert len(encode(profile)) < 2000


# Subscription ---


def subscription(*changes: tuple[float, str]) -> SubscriptionState:
    return SubscriptionState(profile_of(event(f"Subscription {kind}", day(d)) for d, kind in changes).subscription)


def test_second_start_before_an_end_is_one_subscription() -> None:
    """The subscription is active since the first start."""
    state = subscription((0, "Started"), (10, "Started"))
    assert (state.active, state.since_ms) == (True, day(0))


@pytest.mark.parametrize(
    "kind", ["Renewed", "Upgraded", "Downgraded", "Paused", "Resumed", "Cancel Scheduled", "Cancel Withdrawn"]
)
def test_only_a_start_reopens_a_subscription(kind: str) -> None:
    """Any other change after the end is ignored."""
    state = subscription((0, "Started"), (10, "Cancelled"), (11, kind))
    assert (state.started, state.active, state.paused, state.cancel_scheduled) == (True, False, False, False)
    assert state.ended_ms == day(10)


def test_activity_does_not_reopen_a_subscription() -> None:
    """A page view after the end is no new subscription."""
    events = [event("Subscription Started", day(0)), event("Subscription Cancelled", day(10)), event("page", day(12))]
    assert not SubscriptionState(profile_of(events).subscription).active


def test_start_after_an_end_is_a_new_subscription() -> None:
    """The subscription is active since the new start."""
    state = subscription((0, "Started"), (10, "Cancelled"), (40, "Started"))
    assert (state.active, state.since_ms) == (True, day(40))


def test_subscription_changes_apply_in_order_of_event_time() -> None:
    """A start that arrives after a later end does not reopen the subscription."""
    changes = [event("Subscription Started", day(0)), event("Subscription Cancelled", day(10))]
    for order in itertools.permutations(changes):
        assert not SubscriptionState(profile_of(order).subscription).active


def test_scheduled_end_can_be_withdrawn_and_pause_can_end() -> None:
    """The newest change counts."""
    assert subscription((0, "Started"), (1, "Cancel Scheduled")).cancel_scheduled
    assert not subscription((0, "Started"), (1, "Cancel Scheduled"), (2, "Cancel Withdrawn")).cancel_scheduled
    assert subscription((0, "Started"), (1, "Paused")).paused
    assert not subscription((0, "Started"), (1, "Paused"), (2, "Resumed")).paused
    assert not subscription((0, "Started"), (1, "Cancel Scheduled"), (2, "Paused"), (3, "Cancelled")).cancel_scheduled


def test_years_of_renewals_do_not_push_changes_out_of_the_log() -> None:
    """A renewal updates price and period only."""
    renewals = [event("Subscription Renewed", day(30 * n), mrr=20 + n) for n in range(1, 40)]
    profile = profile_of([event("Subscription Started", day(0), mrr=20), *renewals])
    assert profile.subscription is not None
    assert len(profile.subscription.log) == 1
    assert profile.subscription.mrr is not None
    assert profile.subscription.mrr[2] == 5900
    assert SubscriptionState(profile.subscription).since_ms == day(0)


def test_negative_price_is_ignored() -> None:
    """A credit is not a price."""
    profile = profile_of([event("Subscription Started", mrr=-1)])
    assert profile.subscription is not None
    assert profile.subscription.mrr is None


# Payments, support, feedback ---


def test_later_settled_payment_ends_dunning() -> None:
    """Later by event time, in any order of arrival."""
    failed, recovered = event("Payment Failed", day(0)), event("Payment Recovered", day(2))
    for order in itertools.permutations([failed, recovered]):
        payments = profile_of(order).payments
        assert payments is not None
        assert (payments.failed_ms, payments.settled_ms) == (day(0), day(2))


@pytest.mark.parametrize(
    ("kind", "score", "scale_max", "per_mille"),
    [
        ("csat", 4, None, 800),
        ("csat", 90, 100, 900),
        ("nps", 10, None, 1000),
        ("ces", 7, 7, 1000),
        ("csat", "3", 5, 600),
    ],
)
def test_survey_score_is_a_share_of_its_scale(kind: str, score: object, scale_max: object, per_mille: int) -> None:
    """A response without `scale_max` has the default scale of its kind."""
    profile = profile_of([event("Survey Response Submitted", kind=kind, score=score, scale_max=scale_max)])
    assert [value for _, _, value in getattr(profile.feedback, kind)] == [per_mille]


@pytest.mark.parametrize("score", [-1, 6, None, "fine", True])
def test_score_outside_its_scale_is_ignored(score: object) -> None:
    """It is not clipped to the best or worst score."""
    profile = profile_of([event("Survey Response Submitted", kind="csat", score=score)])
    assert profile.feedback is not None
    assert (profile.feedback.csat, profile.feedback.csat_count) == ([], 0)


@pytest.mark.parametrize(
    ("properties", "per_mille", "negative"),
    [
        ({"rating": 1}, -600, 1),
        ({"rating": 5}, 1000, 0),
        ({"rating": 10, "scale_max": 10}, 1000, 0),
        ({"sentiment": -0.5}, -500, 1),
        ({"sentiment": "negative"}, -1000, 1),
        ({"sentiment": "neutral"}, 0, 0),
        ({"sentiment": "-1"}, -1000, 1),
    ],
)
def test_sentiment_of_a_review(properties: dict[str, Any], per_mille: int, negative: int) -> None:
    """Taken from `sentiment`, or computed from the rating; below -0.1 is negative."""
    profile = profile_of([event("Review Posted", **properties)])
    assert profile.feedback is not None
    assert profile.feedback.sentiment is not None
    assert profile.feedback.sentiment[2] == per_mille
    assert total(profile, "negative_review") == negative


def test_only_known_barriers_are_kept() -> None:
    """Stripe's vocabulary of cancellation feedback; free text is not stored."""
    profile = profile_of([event("Ticket Created", tags=["too_expensive", "my boss", 3, None, [], "unused"])])
    assert profile.feedback is not None
    assert sorted(tag for _, _, tag in profile.feedback.tags) == [6, 7]


def test_newest_trait_counts_in_any_order_of_arrival() -> None:
    """The last value by time and id."""
    events = [event("identify", day(d), plan=plan) for d, plan in ((3, "pro"), (1, "free"), (2, "team"))]
    for order in itertools.permutations(events):
        identity = profile_of(order).identity
        assert identity is not None
        assert identity.plan is not None
        assert identity.plan[2] == "pro"


def test_unsubscribe_holds_until_a_later_subscribe() -> None:
    """Later by event time, in any order of arrival."""
    events = [event("Email Unsubscribed", day(1)), event("Email Subscribed", day(2)), event("Email Opened", day(3))]
    for order in itertools.permutations(events):
        identity = profile_of(order).identity
        assert identity is not None
        assert identity.subscribed is not None
        assert identity.subscribed[2] == 1


# Robustness ---


@pytest.mark.parametrize("name", sorted(name for name, row in MEANINGS.items() if row.effect))
def test_property_values_of_any_type_raise_no_error(name: str) -> None:
    """Each property that an effect reads, with values of every JSON type; survey properties in all combinations."""
    profile = Profile()
    for prop, value in itertools.product(PROPERTIES, VALUES):
        apply(profile, event(name, id_hash=0, **{prop: value}))
    for kind, score, scale in itertools.product(KINDS, (0, 3, 1e308, "2"), (None, 5, 1e308, 5e-324, -1)):
        apply(profile, event(name, id_hash=0, kind=kind, score=score, scale_max=scale, rating=score))
    assert encode(profile)


def test_profile_size_is_bounded() -> None:
    """A profile is below 18 KiB after 10,000 events of every kind, with every list, set and guard full."""
    profile = profile_of(odd_history(9, 10_000, span_ms=DAY_MS * 2) + odd_history(8, 3000, start_ms=day(3)))
    for i in range(4000):
        at = day(43) + i * 20_000
        apply(profile, event("Feature Used", at, feature=str(i), plan="é" * 100))
        apply(profile, event("Subscription Upgraded", at, plan="\U0001f600" * 100, mrr=10**12 + i, period_end=at))
    assert len(encode(profile)) < 18 * 1024


def test_profile_keeps_no_reference_to_an_event() -> None:
    """A later change of the event's properties does not change the profile."""
    properties = {"tags": ["too_expensive"], "plan": "pro"}
    profile = profile_of([Event("c1", "Ticket Created", START_MS, 1, properties, False, False)])
    before = encode(profile)
    properties.clear()
    assert encode(profile) == before
    assert sys.getsizeof(profile) < 1000
