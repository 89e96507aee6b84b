"""Scenarios of the fold over one partition: snapshots, maturing labels, inactivity and alerts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.events.event import Event
from models.features.catalogue import CATALOGUE, RELATIVE
from models.features.catalogue import NAMES as FEATURE_NAMES
from models.features.scoring_point import DECISIVE, EVENT, SILENCE, SNAPSHOT
from models.labels.training_example import TrainingExample
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.pipeline.event_applier import DECISIVE_MAX
from models.profile import codec as profiles
from models.profile.codec import decode
from models.profile.keys import order_hash
from models.profile.mergeable import DAY_MS, HOUR_MS
from tests.models.histories import CHURN, START_MS, StubScorer, World, definition, event

HORIZON_MS, GRACE_MS = 10 * DAY_MS, 2 * DAY_MS
WAIT_MS = HORIZON_MS + GRACE_MS

ONLY_CANCELLATION = CHURN.replace('primary = ["voluntary", "inactivity"]', 'primary = ["voluntary"]')
ONLY_SILENCE = CHURN.replace('primary = ["voluntary", "inactivity"]', 'primary = ["inactivity"]')


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


def cancelled(at_ms: int, reason: str = "cancellation_requested") -> Event:
    return event("Subscription Cancelled", at_ms, reason=reason)


def tick(at_ms: int) -> Event:
    """An event of another customer, which advances the clock."""
    return event("Email Sent", at_ms, customer="other")


def subscribed(churn: str = ONLY_CANCELLATION) -> tuple[World, int]:
    """A customer with a running subscription, and the time of the first snapshot, which is still due."""
    world = World(definition(churn))
    world.feed(event("Subscription Started", START_MS), event("page", START_MS + 1))
    state = decode(world.store.records[b"cc1"]).processing
    assert state is not None
    return world, state.next_snapshot_ms


def first_example(world: World, snapshot_ms: int) -> TrainingExample:
    """The example of that snapshot, after its label has matured."""
    world.feed(tick(snapshot_ms + WAIT_MS))
    (example,) = [e for e in world.examples if e.customer == "c1" and e.snapshot_ms == snapshot_ms]
    return example


def value_of(example: TrainingExample, feature: str) -> float:
    return float(memoryview(example.features).cast("d")[FEATURE_NAMES.index(feature)])


# Labels at their boundaries ---


@pytest.mark.parametrize(
    ("after_ms", "label"), [(0, 1), (1, 1), (HORIZON_MS - 1, 1), (HORIZON_MS, 1), (HORIZON_MS + 1, 0)]
)
def test_cancellation_within_the_horizon_sets_the_label(after_ms: int, label: int) -> None:
    """The horizon lasts from the time of the snapshot, which excludes the event, to its last millisecond."""
    world, s = subscribed()
    world.feed(cancelled(s + after_ms))
    example = first_example(world, s)
    assert (example.label, example.labels["voluntary"]) == (label, label)
    assert example.churned_ms == (s + after_ms if label else 0)


def test_customer_who_cancelled_just_before_the_snapshot_time_has_no_snapshot() -> None:
    """A churned customer cannot churn."""
    world, s = subscribed()
    world.feed(cancelled(s - 1), tick(s + WAIT_MS))
    assert world.times(SNAPSHOT) == []
    assert world.examples == []


def test_snapshot_contains_events_strictly_before_it() -> None:
    """An event in the same millisecond belongs to the future."""
    values = []
    for at in (-1, 0):
        world, s = subscribed()
        world.feed(event("Goal Completed", s + at))
        values.append(value_of(first_example(world, s), "goals"))
    assert values[0] > values[1] == 0


@pytest.mark.parametrize(("after_ms", "label"), [(HORIZON_MS, 0), (HORIZON_MS + 1, 1)])
def test_inactivity_for_the_whole_period_sets_the_label(after_ms: int, label: int) -> None:
    """Activity in the last millisecond of `for` counts."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(event("page", s + after_ms))
    example = first_example(world, s)
    assert example.label == label
    assert example.churned_ms == (s + HORIZON_MS if label else 0)


def test_automated_events_and_messages_do_not_end_inactivity() -> None:
    """Automated events, messages and payments are not customer activity."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(event("page", s + DAY_MS, automated=True), event("Email Sent", s + DAY_MS))
    world.feed(event("Payment Succeeded", s + 2 * DAY_MS))
    assert first_example(world, s).label == 1


# Release ---


@pytest.mark.parametrize("leaves", [True, False])
def test_both_labels_are_released_at_the_same_delay(leaves: bool) -> None:
    """Labels are released horizon plus grace after the snapshot, not as soon as they are known."""
    world, s = subscribed()
    if leaves:
        world.feed(cancelled(s + DAY_MS))
    world.feed(tick(s + WAIT_MS - 1))
    assert world.examples == []
    world.feed(tick(s + WAIT_MS))
    (example,) = world.examples
    assert (example.label, example.snapshot_ms, example.release_ms) == (int(leaves), s, s + WAIT_MS)


def test_example_that_is_released_after_the_end_of_the_log_is_not_emitted() -> None:
    """This also holds if the cancellation is in the log."""
    world, s = subscribed()
    world.feed(cancelled(s + DAY_MS), tick(s + WAIT_MS - 1))
    assert world.times(SNAPSHOT) == [s]
    assert world.examples == []


def test_a_late_event_within_the_grace_still_changes_the_label() -> None:
    """The event happened within the horizon and arrived after it."""
    world, s = subscribed()
    world.feed(tick(s + HORIZON_MS + GRACE_MS - 1), cancelled(s + HORIZON_MS))
    assert first_example(world, s).label == 1


def test_event_after_the_release_changes_no_label() -> None:
    """A released label is final."""
    world, s = subscribed()
    world.feed(tick(s + WAIT_MS), cancelled(s + DAY_MS))
    assert [e.label for e in world.examples if e.snapshot_ms == s] == [0]


def test_a_late_event_from_before_the_snapshot_changes_no_label() -> None:
    """The customer did not churn after the snapshot."""
    world, s = subscribed()
    world.feed(tick(s + DAY_MS), cancelled(s - DAY_MS))
    assert first_example(world, s).label == 0


def test_features_and_probability_are_those_of_the_snapshot() -> None:
    """Later events and a new model do not change a frozen snapshot."""
    world, s = subscribed()
    effects = world.feed(tick(s))
    (i,) = [i for i, p in enumerate(effects.points) if p.trigger == SNAPSHOT]
    frozen = effects.x[i].tobytes(), effects.m[i].tobytes(), float(effects.scores.probability[i])
    answering: Any = StubScorer("stub-2", seed=2)
    world.partition.scorer = answering
    world.feed(*(event("Goal Completed", s + k * HOUR_MS) for k in range(1, 30)))
    example = first_example(world, s)
    assert (example.features, example.population, example.probability) == frozen
    assert example.model == "stub-1"
    assert example.definition == world.definition.label_hash


def test_pending_snapshot_is_a_separate_record_until_its_release() -> None:
    """Written once, tombstoned at release."""
    world, s = subscribed()
    (key,) = [key for key in world.feed(tick(s)).changes if key[:1] == b"s"]
    assert key in world.store.records
    later = [world.feed(event("page", s + n * HOUR_MS)).changes for n in range(1, 20)]
    assert not any(key in changes for changes in later)
    assert world.feed(tick(s + WAIT_MS)).changes[key] is None
    assert key not in world.store.records


# Churn definitions ---


def test_voluntary_and_involuntary_are_distinguished() -> None:
    """Involuntary churn is recorded separately; the label covers the primary definition."""
    for reason, expected in (
        ("cancellation_requested", (1, 1, 0)),
        ("payment_failed", (0, 0, 1)),
        ("moved", (0, 0, 0)),
    ):
        world, s = subscribed()
        world.feed(cancelled(s + DAY_MS, reason))
        example = first_example(world, s)
        assert (example.label, example.labels["voluntary"], example.labels["involuntary"]) == expected


def test_activity_after_a_cancellation_does_not_restore_eligibility() -> None:
    """A churned customer gets no snapshot."""
    world, s = subscribed()
    world.feed(cancelled(s - DAY_MS))
    world.feed(*(event("page", s + n * DAY_MS) for n in range(60)))
    assert world.times(SNAPSHOT) == []
    world.feed(event("Subscription Started", s + 60 * DAY_MS), tick(s + 67 * DAY_MS))
    assert world.times(SNAPSHOT)


def test_refund_alone_makes_no_customer_eligible() -> None:
    """A customer without orders cannot stop ordering."""
    churn = definition(
        '[churn.definitions.inactivity]\nnot_performed = ["Order Completed"]\nfor = "10d"\nif_active_in = "30d"\n'
        '[label]\nhorizon = "10d"'
    )
    world = World(churn)
    world.feed(event("Order Refunded", day(0), revenue=5), event("page", day(1)), tick(day(20)))
    assert world.times(SNAPSHOT) == []
    world.feed(event("Order Completed", day(20), revenue=5), tick(day(29)))
    assert len(world.times(SNAPSHOT)) == 1


def test_only_customers_active_in_the_window_have_snapshots() -> None:
    """Snapshots stop `if_active_in` after the last activity, until the next activity."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(tick(s + 100 * DAY_MS))
    assert all(at - (START_MS + 1) <= 14 * DAY_MS for at in world.times(SNAPSHOT))
    taken = len(world.times(SNAPSHOT))
    world.feed(event("page", s + 100 * DAY_MS), tick(s + 107 * DAY_MS))
    assert len(world.times(SNAPSHOT)) == taken + 1


def test_one_snapshot_per_customer_and_period() -> None:
    """At most one example per customer and period, however busy the customer is."""
    world, s = subscribed()
    world.feed(*(event("page", START_MS + n * HOUR_MS) for n in range(1, 24 * 50)))
    times = world.times(SNAPSHOT)
    assert times == [s + n * 7 * DAY_MS for n in range(len(times))]
    assert len(times) >= 6


# Scoring points ---


def test_a_customer_is_scored_at_the_first_event_an_hour_after_the_last_score() -> None:
    """Other events trigger no score."""
    world = World()
    world.feed(*(event("page", START_MS + n * 10 * 60_000) for n in range(13)))
    assert world.times(EVENT) == [START_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]


def test_a_decisive_event_is_scored_at_once() -> None:
    """A failed payment does not wait for the hour."""
    world = World()
    world.feed(event("page", START_MS), event("Payment Failed", START_MS + 60_000), event("page", START_MS + 120_000))
    assert world.times(DECISIVE) == [START_MS + 60_000]
    assert world.times(EVENT) == [START_MS]


@pytest.mark.parametrize("size", [1, 7, 500])
def test_decisive_events_of_an_hour_are_bounded(size: int) -> None:
    """Rule: the first of each hour of the customer are scored at once, late ones included, wherever batches end."""
    world = World()
    times = [START_MS + n * 60_000 - (n % 7 == 0) * HOUR_MS for n in range(150)]
    events = [event("Payment Failed", at, id_hash=n + 1) for n, at in enumerate(times)]
    for start in range(0, len(events), size):
        world.feed(*events[start : start + size])
    scored = world.times(DECISIVE)
    assert [sum(START_MS + h * HOUR_MS <= at < START_MS + (h + 1) * HOUR_MS for at in scored) for h in range(3)] == [
        DECISIVE_MAX, DECISIVE_MAX, DECISIVE_MAX,
    ]  # fmt: skip
    assert scored == sorted(scored)


def test_a_duplicate_changes_nothing() -> None:
    """A duplicate is counted as such. It causes no score and changes neither counts nor record."""
    world = World()
    once = event("Payment Failed", START_MS)
    world.feed(once)
    before, points = world.store.records[b"cc1"], len(world.points)
    world.feed(once)
    world.feed(once, once)
    assert world.store.records[b"cc1"] == before
    assert (len(world.points), world.duplicates) == (points, 3)


def test_actions_on_an_alert_never_affect_the_score() -> None:
    """An action creates no scoring point, count or customer; its id enters the duplicate guard."""
    world = World()
    world.feed(event("page"))
    before = world.store.records[b"cc1"]
    world.feed(event("Alert Acknowledged", START_MS + DAY_MS), event("Alert Dismissed", START_MS + DAY_MS, "ghost"))
    profile, was = decode(world.store.records[b"cc1"]), decode(before)
    profile.processing = was.processing = None
    profile.guard = was.guard = {}  # only the duplicate guard has changed
    assert profiles.encode(profile) == profiles.encode(was)
    assert b"cghost" not in world.store.records


# Silence ---


LOOKS = [2, 4, 8]  # usual gaps after the last activity; a daily customer has no deadline on the next day


def silent_customer() -> World:
    """Active daily for 20 days, then never again."""
    world = World()
    for n in range(20):
        world.feed(event("page", day(n), id_hash=n + 1))
    return world


def test_inactive_customer_is_scored_again() -> None:
    """The first deadline is two usual gaps after the last activity; each next one is twice as far."""
    world = silent_customer()
    world.feed(tick(day(200)))
    gaps = [(at - day(19)) / DAY_MS for at in world.times(SILENCE)]
    assert gaps == LOOKS


@pytest.mark.law
def test_deadline_is_evaluated_at_its_due_time_however_late_it_is_processed() -> None:
    """Processing once after 200 days, every hour, or by wall clock without events gives the same result."""
    at_once, hourly, by_clock = silent_customer(), silent_customer(), silent_customer()
    at_once.feed(tick(day(40)))
    for hour in range(19 * 24 + 1, 40 * 24 + 1):
        hourly.feed(tick(START_MS + hour * HOUR_MS))
        by_clock.feed(until_ms=START_MS + hour * HOUR_MS)
    mine = [[p[1:3] for p in world.points if p[0] == b"cc1"] for world in (at_once, hourly, by_clock)]
    assert mine[0] == mine[1] == mine[2]
    assert [e.snapshot_ms for e in at_once.examples] == [e.snapshot_ms for e in by_clock.examples]


def test_deadline_is_processed_before_later_events() -> None:
    """A customer who returns after the deadline was inactive at the deadline."""
    world = silent_customer()
    effects = world.feed(event("page", day(30)))
    silence = [p.at_ms for p in effects.points if p.trigger == SILENCE]
    assert silence
    assert all(at < day(30) for at in silence)
    (i,) = [i for i, p in enumerate(effects.points) if p.at_ms == silence[0] and p.trigger == SILENCE]
    days_silent = (2.718281828459045 ** effects.x[i][FEATURE_NAMES.index("recency_days")]) - 1
    assert days_silent == pytest.approx(LOOKS[0])


@pytest.mark.parametrize("look", [0, 1, 2])
def test_customer_who_returns_after_a_deadline_and_stops_gets_a_new_deadline(look: int) -> None:
    """The new deadline follows the usual gap, not the previous intervals. The return itself is always scored."""
    world = silent_customer()
    world.feed(tick(day(19 + LOOKS[look])))
    last = world.times(SILENCE)[-1]
    assert last == day(19 + LOOKS[look])
    world.feed(event("page", last + HOUR_MS // 2), tick(last + 20 * DAY_MS))
    assert world.times(EVENT)[-1] == last + HOUR_MS // 2
    again = [at - (last + HOUR_MS // 2) for at in world.times(SILENCE) if at > last]
    assert again
    assert LOOKS[0] * DAY_MS <= again[0] < 1.5 * LOOKS[0] * DAY_MS  # the inactivity has lengthened the usual gap


def test_inactivity_deadlines_start_with_the_first_engagement() -> None:
    """The customer is identified, views one page within the hour, and leaves."""
    world = World()
    world.feed(event("identify", day(0)), event("page", day(0) + HOUR_MS // 2), tick(day(5)))
    assert world.times(SILENCE)[0] == day(0) + HOUR_MS // 2 + LOOKS[0] * DAY_MS


def test_recently_active_customer_is_not_inactive() -> None:
    """A deadline is due two gaps after the last activity, not after the last score."""
    world = World()
    for n in range(20):
        world.feed(event("page", day(n)), event("page", day(n) + HOUR_MS // 2))
    world.feed(tick(day(40)))
    first = world.times(SILENCE)[0]
    assert first == day(19) + HOUR_MS // 2 + LOOKS[0] * DAY_MS


# State ---


def test_restart_continues_after_the_last_commit() -> None:
    """Clock, population and records are the complete state."""
    steady, restarted = silent_customer(), silent_customer()
    restarted.restart()
    batch = tick(day(60)), event("page", day(61))
    for world in (steady, restarted):
        world.feed(*batch)
    assert steady.points == restarted.points
    assert steady.store.records == restarted.store.records
    assert steady.state == restarted.state


def test_a_state_of_another_version_is_refused() -> None:
    """The message names both versions."""
    world = silent_customer()
    assert world.state is not None
    state = msgspec.msgpack.decode(world.state)
    world.state = msgspec.msgpack.encode([99, *state[1:]])
    with pytest.raises(profiles.ProfileError, match="version 99, this program reads version 2"):
        world.restart()


def test_a_missing_snapshot_record_is_an_error_and_not_an_example() -> None:
    """A store that lost a record must be rebuilt."""
    world, s = subscribed()
    world.feed(tick(s))
    for key in [key for key in world.store.records if key[:1] == b"s"]:
        del world.store.records[key]
    with pytest.raises(profiles.ProfileError, match="rebuild the store"):
        world.feed(tick(s + WAIT_MS))


def test_an_empty_batch_changes_nothing() -> None:
    """A repeated clock changes nothing either."""
    world = silent_customer()
    before, state = dict(world.store.records), world.state
    effects = world.feed()
    assert (effects.changes, effects.points, effects.examples) == ({}, [], [])
    assert effects.state == state
    assert world.store.records == before


def test_simultaneous_deadlines_are_processed_in_hash_order() -> None:
    """The order is that of the hash of the key, in any batch, and not of the customer id or of arrival."""
    customers = [f"c{n:02}" for n in range(30)]
    worlds = World(), World()
    for world, order in zip(worlds, (customers, customers[::-1]), strict=True):
        world.feed(*(event("page", START_MS, c) for c in order))
    worlds[0].feed(tick(day(20)))
    for n in range(21):
        worlds[1].feed(tick(day(n)))
    keys = [[p[0] for p in world.points if p[2] == SILENCE and p[1] == day(LOOKS[0])] for world in worlds]
    assert keys[0] == keys[1] == sorted((b"c" + c.encode() for c in customers), key=order_hash)


def test_customer_who_cancelled_does_not_churn_by_inactivity_too() -> None:
    """With both definitions primary, there are no more snapshots and alerts until a new subscription starts."""
    world, s = subscribed(CHURN)
    world.feed(cancelled(s - 1), tick(s + 3 * DAY_MS))
    assert world.times(SNAPSHOT) == []
    again = s + 4 * DAY_MS
    world.feed(event("Subscription Started", again), event("page", again + 1), tick(again + 8 * DAY_MS))
    assert world.times(SNAPSHOT)


# Alerts ---


def alarmed(dwell: str) -> World:
    """Every scored customer is at risk, and alerted after the dwell."""
    return World(definition(ONLY_CANCELLATION + f'[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "{dwell}"\n'))


def kinds(world: World, customer: str = "c1") -> list[str]:
    return [a.event.type for a in world.alerts if a.customer == customer.encode()]


def test_late_end_of_an_earlier_subscription_does_not_end_an_alert() -> None:
    """The customer has a new subscription, and the alert belongs to it."""
    world = alarmed("0d")
    world.feed(event("Subscription Started", day(5)), cancelled(day(4)), event("page", day(6)))
    assert "expired" not in kinds(world)
    world.feed(cancelled(day(7)))
    assert kinds(world)[-1] == "expired"


def test_customer_who_churned_before_the_partitions_clock_is_not_alerted() -> None:
    """History arrives late: at its event time the customer had not churned, by the partition's clock they have."""
    world = World(definition(ONLY_SILENCE + '[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "0d"\n'))
    world.feed(tick(day(400)))
    world.feed(event("page", day(0)), event("page", day(1)), tick(day(401)))
    assert world.times(EVENT)
    assert kinds(world) == []


def test_alert_id_depends_on_the_cause_and_not_on_the_processing_time() -> None:
    """While live, the clock advances between events. A replay of the same log gives the same ids."""
    replay, live = alarmed("6h"), alarmed("6h")
    events = [event("Subscription Started", day(0)), event("page", day(0) + HOUR_MS), tick(day(2))]
    replay.feed(*events)
    live.feed(until_ms=day(0) + HOUR_MS // 2)
    for each in events:
        live.feed(each, until_ms=each.time_ms + HOUR_MS // 3)
    assert kinds(live) == kinds(replay) == ["opened"]
    assert live.alerts[0].event.alert_id == replay.alerts[0].event.alert_id


def test_action_events_change_the_alert_and_another_alert_id_has_no_effect() -> None:
    world = alarmed("0d")
    world.feed(event("Subscription Started", day(0)))
    (opened,) = world.alerts
    answers = [event("Alert Dismissed", day(1), alert_id="another"), event("Alert Dismissed", day(1), alert_id=4711)]
    world.feed(*answers)
    assert kinds(world) == ["opened"]
    world.feed(event("Alert Acknowledged", day(2), alert_id=opened.event.alert_id))
    world.feed(event("Alert Dismissed", day(3)))
    assert kinds(world) == ["opened", "acknowledged", "resolved"]


@pytest.mark.law
def test_feed_outage_holds_inactivity_alerts_until_customers_could_return() -> None:
    """Two hundred daily customers are absent for four days, and then all return."""
    text = ONLY_CANCELLATION + '[alerts]\nenter = "top 60%"\nexit = "top 90%"\nlift = 1.0\ndwell = "6h"\n'
    model = Model(FeatureSpace(FEATURE_NAMES, RELATIVE, CATALOGUE)).scorer()
    opened = {}
    for name, hole in (("whole", range(0)), ("broken", range(40, 44))):
        world = World(definition(text), model)
        for n in range(56):
            if n not in hole:
                hours = [day(n) + (c % 24) * HOUR_MS + c * 1000 for c in range(200)]
                world.feed(
                    *(event("page", at, customer=f"d{c}") for c, at in sorted(enumerate(hours), key=lambda x: x[1]))
                )
        opened[name] = sum(day(40) <= a.event.at_ms < day(52) and a.event.type == "opened" for a in world.alerts)
    assert opened["broken"] <= opened["whole"] + 10
