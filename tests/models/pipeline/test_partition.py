"""The fold over one partition, as scenarios: what a snapshot sees, how labels mature, and what silence does."""

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
    """Another customer's sign of life: time passes, for c1 nothing happens."""
    return event("Email Sent", at_ms, customer="other")


def subscribed(churn: str = ONLY_CANCELLATION) -> tuple[World, int]:
    """A customer with a running subscription, and the time of the first snapshot, which was not yet taken."""
    world = World(definition(churn))
    world.feed(event("Subscription Started", START_MS), event("page", START_MS + 1))
    state = decode(world.store.records[b"cc1"]).processing
    assert state is not None
    return world, state.next_snapshot_ms


def first_example(world: World, snapshot_ms: int) -> TrainingExample:
    """The example of that snapshot, after time has passed."""
    world.feed(tick(snapshot_ms + WAIT_MS))
    (example,) = [e for e in world.examples if e.customer == "c1" and e.snapshot_ms == snapshot_ms]
    return example


def value_of(example: TrainingExample, feature: str) -> float:
    return float(memoryview(example.features).cast("d")[FEATURE_NAMES.index(feature)])


# Labels at their boundaries ---


@pytest.mark.parametrize(
    ("after_ms", "label"), [(0, 1), (1, 1), (HORIZON_MS - 1, 1), (HORIZON_MS, 1), (HORIZON_MS + 1, 0)]
)
def test_a_cancellation_within_the_horizon_makes_the_label(after_ms: int, label: int) -> None:
    """From the moment of the snapshot, which does not see it yet, to the horizon's last millisecond."""
    world, s = subscribed()
    world.feed(cancelled(s + after_ms))
    example = first_example(world, s)
    assert (example.label, example.labels["voluntary"]) == (label, label)
    assert example.churned_ms == (s + after_ms if label else 0)


def test_customer_who_cancelled_just_before_the_snapshot_has_none() -> None:
    """A churned customer cannot churn."""
    world, s = subscribed()
    world.feed(cancelled(s - 1), tick(s + WAIT_MS))
    assert world.times(SNAPSHOT) == []
    assert world.examples == []


def test_a_snapshot_sees_events_strictly_before_it() -> None:
    """An event of the same millisecond is the future."""
    values = []
    for at in (-1, 0):
        world, s = subscribed()
        world.feed(event("Goal Completed", s + at))
        values.append(value_of(first_example(world, s), "goals"))
    assert values[0] > values[1] == 0


@pytest.mark.parametrize(("after_ms", "label"), [(HORIZON_MS, 0), (HORIZON_MS + 1, 1)])
def test_silence_for_the_whole_time_makes_the_label(after_ms: int, label: int) -> None:
    """Activity in the last millisecond of `for` is activity."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(event("page", s + after_ms))
    example = first_example(world, s)
    assert example.label == label
    assert example.churned_ms == (s + HORIZON_MS if label else 0)


def test_what_programs_do_and_what_is_done_to_a_customer_ends_no_silence() -> None:
    """Automated events, messages and payments are no activity of the customer."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(event("page", s + DAY_MS, automated=True), event("Email Sent", s + DAY_MS))
    world.feed(event("Payment Succeeded", s + 2 * DAY_MS))
    assert first_example(world, s).label == 1


# Release ---


@pytest.mark.parametrize("leaves", [True, False])
def test_both_labels_are_released_at_the_same_delay(leaves: bool) -> None:
    """Horizon plus grace after the snapshot, not as soon as they are known."""
    world, s = subscribed()
    if leaves:
        world.feed(cancelled(s + DAY_MS))
    world.feed(tick(s + WAIT_MS - 1))
    assert world.examples == []
    world.feed(tick(s + WAIT_MS))
    (example,) = world.examples
    assert (example.label, example.snapshot_ms, example.release_ms) == (int(leaves), s, s + WAIT_MS)


def test_an_example_whose_release_lies_past_the_end_of_the_log_is_never_emitted() -> None:
    """Also where the cancellation was already seen: not yet knowable is not a label."""
    world, s = subscribed()
    world.feed(cancelled(s + DAY_MS), tick(s + WAIT_MS - 1))
    assert world.times(SNAPSHOT) == [s]
    assert world.examples == []


def test_a_late_event_within_the_grace_still_changes_the_label() -> None:
    """It happened within the horizon, it arrived after it."""
    world, s = subscribed()
    world.feed(tick(s + HORIZON_MS + GRACE_MS - 1), cancelled(s + HORIZON_MS))
    assert first_example(world, s).label == 1


def test_an_event_that_comes_after_the_release_changes_no_label() -> None:
    """What was learned is learned."""
    world, s = subscribed()
    world.feed(tick(s + WAIT_MS), cancelled(s + DAY_MS))
    assert [e.label for e in world.examples if e.snapshot_ms == s] == [0]


def test_a_late_event_from_before_the_snapshot_changes_no_label() -> None:
    """The customer did not churn after the snapshot."""
    world, s = subscribed()
    world.feed(tick(s + DAY_MS), cancelled(s - DAY_MS))
    assert first_example(world, s).label == 0


def test_features_and_probability_are_those_of_the_snapshot() -> None:
    """Whatever happens until the release, and whichever model is active by then."""
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


def test_a_pending_snapshot_is_a_record_of_its_own_and_gone_after_the_release() -> None:
    """Written once, tombstoned at release."""
    world, s = subscribed()
    (key,) = [key for key in world.feed(tick(s)).changes if key[:1] == b"s"]
    assert key in world.store.records
    later = [world.feed(event("page", s + n * HOUR_MS)).changes for n in range(1, 20)]
    assert not any(key in changes for changes in later)
    assert world.feed(tick(s + WAIT_MS)).changes[key] is None
    assert key not in world.store.records


# What churn is ---


def test_voluntary_and_involuntary_are_distinguished() -> None:
    """The card that expired is recorded beside, the label speaks of the primary definition."""
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
    """Who never ordered cannot stop ordering."""
    churn = definition(
        '[churn.definitions.inactivity]\nnot_performed = ["Order Completed"]\nfor = "10d"\nif_active_in = "30d"\n'
        '[label]\nhorizon = "10d"'
    )
    world = World(churn)
    world.feed(event("Order Refunded", day(0), revenue=5), event("page", day(1)), tick(day(20)))
    assert world.times(SNAPSHOT) == []
    world.feed(event("Order Completed", day(20), revenue=5), tick(day(29)))
    assert len(world.times(SNAPSHOT)) == 1


def test_only_those_active_in_the_window_are_asked_about() -> None:
    """`if_active_in` after the last activity there are no more snapshots, until the next activity."""
    world, s = subscribed(ONLY_SILENCE)
    world.feed(tick(s + 100 * DAY_MS))
    assert all(at - (START_MS + 1) <= 14 * DAY_MS for at in world.times(SNAPSHOT))
    taken = len(world.times(SNAPSHOT))
    world.feed(event("page", s + 100 * DAY_MS), tick(s + 107 * DAY_MS))
    assert len(world.times(SNAPSHOT)) == taken + 1


def test_one_snapshot_a_period_on_a_grid_of_the_customer_s_own() -> None:
    """At most one example per customer and period, however busy the customer is."""
    world, s = subscribed()
    world.feed(*(event("page", START_MS + n * HOUR_MS) for n in range(1, 24 * 50)))
    times = world.times(SNAPSHOT)
    assert times == [s + n * 7 * DAY_MS for n in range(len(times))]
    assert len(times) >= 6


# Scoring points ---


def test_a_customer_is_scored_at_the_first_event_an_hour_after_the_last_score() -> None:
    """Not at every event."""
    world = World()
    world.feed(*(event("page", START_MS + n * 10 * 60_000) for n in range(13)))
    assert world.times(EVENT) == [START_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]


def test_a_decisive_event_is_scored_at_once() -> None:
    """A failed payment does not wait for the hour."""
    world = World()
    world.feed(event("page", START_MS), event("Payment Failed", START_MS + 60_000), event("page", START_MS + 120_000))
    assert world.times(DECISIVE) == [START_MS + 60_000]
    assert world.times(EVENT) == [START_MS]


def test_a_duplicate_changes_nothing() -> None:
    """No score, no count, the same record; and it is counted as a duplicate."""
    world = World()
    once = event("Payment Failed", START_MS)
    world.feed(once)
    before, points = world.store.records[b"cc1"], len(world.points)
    world.feed(once)
    world.feed(once, once)
    assert world.store.records[b"cc1"] == before
    assert (len(world.points), world.duplicates) == (points, 3)


def test_how_people_handle_an_alert_never_feeds_the_score() -> None:
    """No point, no count, and no customer comes into being; its id goes through the duplicate guard."""
    world = World()
    world.feed(event("page"))
    before = world.store.records[b"cc1"]
    world.feed(event("Alert Acknowledged", START_MS + DAY_MS), event("Alert Dismissed", START_MS + DAY_MS, "ghost"))
    profile, was = decode(world.store.records[b"cc1"]), decode(before)
    profile.processing = was.processing = None
    profile.guard = was.guard = {}  # that it came is known, nothing else
    assert profiles.encode(profile) == profiles.encode(was)
    assert b"cghost" not in world.store.records


# Silence ---


LOOKS = [2, 4, 8]  # usual gaps after the last activity; a customer of every day is not looked at on the next


def silent_customer() -> World:
    """Active daily for 20 days, then never again."""
    world = World()
    for n in range(20):
        world.feed(event("page", day(n), id_hash=n + 1))
    return world


def test_a_customer_who_does_nothing_is_scored_again() -> None:
    """Two usual gaps after the last activity, then at twice the distance each time."""
    world = silent_customer()
    world.feed(tick(day(200)))
    gaps = [(at - day(19)) / DAY_MS for at in world.times(SILENCE)]
    assert gaps == LOOKS


@pytest.mark.law
def test_a_deadline_is_handled_as_of_its_due_time_however_late_it_is_looked_at() -> None:
    """One look after 200 days sees what a look every hour sees, and what a wall clock saw without any event."""
    at_once, hourly, by_clock = silent_customer(), silent_customer(), silent_customer()
    at_once.feed(tick(day(40)))
    for hour in range(19 * 24 + 1, 40 * 24 + 1):
        hourly.feed(tick(START_MS + hour * HOUR_MS))
        by_clock.feed(until_ms=START_MS + hour * HOUR_MS)
    mine = [[p[1:3] for p in world.points if p[0] == b"cc1"] for world in (at_once, hourly, by_clock)]
    assert mine[0] == mine[1] == mine[2]
    assert [e.snapshot_ms for e in at_once.examples] == [e.snapshot_ms for e in by_clock.examples]


def test_a_deadline_comes_before_the_events_after_it() -> None:
    """The customer who returns after the deadline was silent at the deadline."""
    world = silent_customer()
    effects = world.feed(event("page", day(30)))
    silence = [p.at_ms for p in effects.points if p.trigger == SILENCE]
    assert silence
    assert all(at < day(30) for at in silence)
    (i,) = [i for i, p in enumerate(effects.points) if p.at_ms == silence[0] and p.trigger == SILENCE]
    days_silent = (2.718281828459045 ** effects.x[i][FEATURE_NAMES.index("recency_days")]) - 1
    assert days_silent == pytest.approx(LOOKS[0])


@pytest.mark.parametrize("look", [0, 1, 2])
def test_who_returns_right_after_a_look_and_falls_silent_is_looked_at_again(look: int) -> None:
    """By the usual gap, not by the distance that the looks had reached; the return is scored however soon it is."""
    world = silent_customer()
    world.feed(tick(day(19 + LOOKS[look])))
    last = world.times(SILENCE)[-1]
    assert last == day(19 + LOOKS[look])
    world.feed(event("page", last + HOUR_MS // 2), tick(last + 20 * DAY_MS))
    assert world.times(EVENT)[-1] == last + HOUR_MS // 2
    again = [at - (last + HOUR_MS // 2) for at in world.times(SILENCE) if at > last]
    assert again
    assert LOOKS[0] * DAY_MS <= again[0] < 1.5 * LOOKS[0] * DAY_MS  # the silence has made the usual gap a bit longer


def test_who_was_first_heard_of_without_engagement_is_watched_from_the_first_engagement_on() -> None:
    """Identified, one page within the same hour, and gone."""
    world = World()
    world.feed(event("identify", day(0)), event("page", day(0) + HOUR_MS // 2), tick(day(5)))
    assert world.times(SILENCE)[0] == day(0) + HOUR_MS // 2 + LOOKS[0] * DAY_MS


def test_recently_active_customer_is_not_called_silent() -> None:
    """A look falls due two gaps after the last activity, not after the last score."""
    world = World()
    for n in range(20):
        world.feed(event("page", day(n)), event("page", day(n) + HOUR_MS // 2))
    world.feed(tick(day(40)))
    first = world.times(SILENCE)[0]
    assert first == day(19) + HOUR_MS // 2 + LOOKS[0] * DAY_MS


# State ---


def test_a_restart_goes_on_where_the_commit_ended() -> None:
    """Clock, population and records are all there is."""
    steady, restarted = silent_customer(), silent_customer()
    restarted.restart()
    batch = tick(day(60)), event("page", day(61))
    for world in (steady, restarted):
        world.feed(*batch)
    assert steady.points == restarted.points
    assert steady.store.records == restarted.store.records
    assert steady.state == restarted.state


def test_a_state_of_another_version_is_refused() -> None:
    """With both versions named."""
    world = silent_customer()
    assert world.state is not None
    state = msgspec.msgpack.decode(world.state)
    world.state = msgspec.msgpack.encode([99, *state[1:]])
    with pytest.raises(profiles.ProfileError, match="version 99, this program reads version 2"):
        world.restart()


def test_a_missing_snapshot_record_is_an_error_and_not_an_example() -> None:
    """A store that lost a record is rebuilt, not papered over."""
    world, s = subscribed()
    world.feed(tick(s))
    for key in [key for key in world.store.records if key[:1] == b"s"]:
        del world.store.records[key]
    with pytest.raises(profiles.ProfileError, match="rebuild the store"):
        world.feed(tick(s + WAIT_MS))


def test_an_empty_batch_changes_nothing() -> None:
    """Nor does the same clock twice."""
    world = silent_customer()
    before, state = dict(world.store.records), world.state
    effects = world.feed()
    assert (effects.changes, effects.points, effects.examples) == ({}, [], [])
    assert effects.state == state
    assert world.store.records == before


def test_deadlines_of_one_moment_are_handled_in_an_order_without_meaning() -> None:
    """By the hash of the key, not by the customer's name or who came first, and so in any batch."""
    customers = [f"c{n:02}" for n in range(30)]
    worlds = World(), World()
    for world, order in zip(worlds, (customers, customers[::-1]), strict=True):
        world.feed(*(event("page", START_MS, c) for c in order))
    worlds[0].feed(tick(day(20)))
    for n in range(21):
        worlds[1].feed(tick(day(n)))
    keys = [[p[0] for p in world.points if p[2] == SILENCE and p[1] == day(LOOKS[0])] for world in worlds]
    assert keys[0] == keys[1] == sorted((b"c" + c.encode() for c in customers), key=order_hash)


def test_who_has_cancelled_does_not_fall_silent_too() -> None:
    """With both definitions primary: no snapshot, no further alert; a new subscription begins a new life."""
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


def test_a_late_end_of_an_earlier_subscription_ends_no_alert() -> None:
    """The customer has come back since, and the alert is about that."""
    world = alarmed("0d")
    world.feed(event("Subscription Started", day(5)), cancelled(day(4)), event("page", day(6)))
    assert "expired" not in kinds(world)
    world.feed(cancelled(day(7)))
    assert kinds(world)[-1] == "expired"


def test_customer_who_churned_before_the_partitions_clock_is_not_alerted() -> None:
    """A history that is filled in late: as of its own time the customer could still leave, by now that has happened."""
    world = World(definition(ONLY_SILENCE + '[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "0d"\n'))
    world.feed(tick(day(400)))
    world.feed(event("page", day(0)), event("page", day(1)), tick(day(401)))
    assert world.times(EVENT)
    assert kinds(world) == []


def test_an_alerts_id_is_that_of_its_cause_whenever_it_was_looked_at() -> None:
    """In live running the clock goes on between events; a replay of the same log gives the same ids."""
    replay, live = alarmed("6h"), alarmed("6h")
    events = [event("Subscription Started", day(0)), event("page", day(0) + HOUR_MS), tick(day(2))]
    replay.feed(*events)
    live.feed(until_ms=day(0) + HOUR_MS // 2)
    for each in events:
        live.feed(each, until_ms=each.time_ms + HOUR_MS // 3)
    assert kinds(live) == kinds(replay) == ["opened"]
    assert live.alerts[0].event.alert_id == replay.alerts[0].event.alert_id


def test_people_handle_alerts_by_events_and_another_alert_s_id_does_nothing() -> None:
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
def test_a_feed_that_breaks_holds_alerts_by_silence_until_customers_had_time_to_come_back() -> None:
    """Two hundred daily customers, four days without any of them, and then all are back."""
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
