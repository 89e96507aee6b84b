"""Laws of the fold: outputs are a function of the log, whatever the batches, restarts and other partitions.

The logs come from the simulator, shuffled by up to an hour, with duplicates, idle days and unusual events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backtesting.backtest import Backtest, MemoryStore
from models.events.event import Event
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE, features
from models.features.scoring_point import SNAPSHOT
from models.labels.training_example import TrainingExample
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.codec import copy, decode, read_due_ms
from models.profile.keys import order_hash
from models.profile.mergeable import DAY_MS, HOUR_MS
from tests.models.histories import StubScorer, World, definition, event, odd_event, shaken, simulated

CHURN = """
[churn.definitions.voluntary]
event = "Subscription Cancelled"
where = { reason = ["cancellation_requested"] }
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = { reason = ["payment_failed"] }
[churn.definitions.inactivity]
not_performed = ["*"]
for = "6d"
if_active_in = "10d"
[churn.definitions.orders]
not_performed = ["Order Completed"]
for = "5d"
[label]
horizon = "6d"
grace = "1d"
[label.involuntary]
horizon = "4d"
[snapshot]
every = "3d"
[population]
half_life = "5d"
[profile]
after = "5d"
anonymous_after = "1d"
[alerts]
enter = "top 40%"
exit = "top 60%"
lift = 1.0
dwell = "7h"
cooldown = "2d"
reminder = "1d"
expire = "3d"
"""
VISITORS = ("c10", "c11", "v0", "v1", "v2")
DELETION = "User Deletion Requested"


@cache
def a_log(seed: int) -> tuple[Event, ...]:
    """Create some 1,500 events of a dozen customers over a month, as in a topic."""
    rng = random.Random(seed)
    customers = [f"c{i}" for i in range(12)]
    events = simulated(customers=9, days=28, seed=seed, shops=0.3)
    start = events[0].time_ms
    events += [odd_event(rng, start + rng.randrange(28 * DAY_MS), rng.choice(customers)) for _ in range(250)]
    events += [event("page", start + (3 + 9 * i) * DAY_MS, f"v{i}", id_hash=900 + i) for i in range(3)]
    events = [msgspec.structs.replace(e, anonymous=True) if e.customer in VISITORS else e for e in events]
    idle = start + 12 * DAY_MS
    events = [e for e in events if not idle < e.time_ms < idle + 3 * DAY_MS]  # three days without events
    events = shaken(events, HOUR_MS, seed)
    for _ in range(40):
        at = rng.randrange(len(events))
        events.insert(min(len(events), at + rng.randrange(60)), events[at])
    return tuple(events)


@cache
def taught() -> Any:
    """Return the scorer of a real model that has learned few labels."""
    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    rng = np.random.default_rng(5)
    for i in range(150):
        x = np.where(rng.random(len(NAMES)) < 0.2, np.nan, rng.normal(size=len(NAMES)))
        model.learn(x, np.where(RELATIVE, 0.1, np.nan), bool(rng.random() < 0.3), 20_000 + i // 20, 0.3)
    return model.scorer()


SCORERS: dict[str, Callable[[], Any]] = {"stub": StubScorer, "model": taught}
scorers = st.sampled_from(sorted(SCORERS))


def world_of(scorer: str = "stub") -> World:
    return World(definition(CHURN), SCORERS[scorer]())


def in_batches(events: tuple[Event, ...], cuts: list[int], scorer: str = "stub", restart: float = 0.0) -> World:
    """Process the log in batches that end at these offsets, with a restart after a share of the batches."""
    world, rng = world_of(scorer), random.Random(len(cuts))
    edges = [0, *sorted({cut % len(events) for cut in cuts}), len(events)]
    for start, stop in pairwise(edges):
        world.feed(*events[start:stop])
        if rng.random() < restart:
            world.restart()
    return world


def everything(world: World) -> tuple[Any, ...]:
    return (
        world.points,
        world.examples,
        world.alerts,
        world.published,
        world.store.records,
        world.state,
        world.duplicates,
    )


@cache
def at_once(seed: int, scorer: str) -> World:
    return in_batches(a_log(seed), [], scorer)


seeds = st.integers(1, 3)
cuts = st.one_of(
    st.lists(st.integers(0, 5000), max_size=6),
    st.lists(st.integers(0, 5000), min_size=100, max_size=200),
)


def test_logs_produce_every_kind_of_output() -> None:
    """Rule: the laws below are not vacuous."""
    world = at_once(1, "stub")
    assert {p[2] for p in world.points} == {"event", "decisive", "snapshot", "silence"}
    assert {e.label for e in world.examples} == {0, 1}
    assert {a.event.type for seed in (1, 2, 3) for a in at_once(seed, "stub").alerts} >= {
        "opened",
        "reminded",
        "acknowledged",
        "snoozed",
        "resolved",
        "expired",
    }
    assert {name for e in world.examples for name in e.labels} == {"voluntary", "involuntary", "inactivity", "orders"}
    assert world.duplicates > 20
    deleted = {e.customer for e in a_log(1) if e.name == DELETION}
    removed = [key[1:].decode() for key, at_ms in world.published if not at_ms]
    assert set(removed) & deleted, "some customers must be deleted on request"
    assert {"v0", "v1"} <= set(removed), "some profiles must expire"
    returned = {
        key for i, (key, at_ms) in enumerate(world.published) if not at_ms and (key in dict(world.published[i + 1 :]))
    }
    assert returned, "some removed customers must return"
    assert len(world.examples) > 50


@settings(max_examples=24, deadline=None)
@given(seeds, cuts, scorers)
def test_batch_boundaries_change_nothing(seed: int, cuts: list[int], scorer: str) -> None:
    """Rule: points, features, population levels, probabilities, examples, records and state are equal bit for bit."""
    assert everything(in_batches(a_log(seed), cuts, scorer)) == everything(at_once(seed, scorer))


@pytest.mark.parametrize("scorer", sorted(SCORERS))
def test_batches_of_one_event_change_nothing(scorer: str) -> None:
    """Rule: the smallest batches give the same outputs."""
    log = a_log(1)[:900]
    whole = in_batches(log, [], scorer)
    assert everything(in_batches(log, list(range(len(log))), scorer)) == everything(whole)


@settings(max_examples=20, deadline=None)
@given(seeds, cuts, scorers, st.sampled_from([0.2, 1.0]))
def test_restart_after_any_batch_changes_nothing(seed: int, cuts: list[int], scorer: str, restart: float) -> None:
    """Rule: a new owner needs only clock, population and records; no state is only in memory."""
    assert everything(in_batches(a_log(seed), cuts, scorer, restart)) == everything(at_once(seed, scorer))


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(0, 5000), st.integers(0, 5000))
def test_uncommitted_batch_has_no_effect(seed: int, cut: int, length: int) -> None:
    """Rule: in-memory changes are lost with the owner, and the next owner processes the batch with the same result."""
    events = a_log(seed)
    cut %= len(events)
    world = in_batches(events[:cut], []) if cut else world_of()
    zombie = PartitionFold(world.definition, world.store, world.scorer, world.state)
    zombie.process([OffsetEvent(cut + i, e) for i, e in enumerate(events[cut : cut + length])])
    world.restart()
    world.feed(*events[cut:])
    assert everything(world) == everything(at_once(seed, "stub"))


def test_effects_of_a_batch_do_not_change_afterwards() -> None:
    """Rule: later batches change no record, feature or example of earlier effects."""
    events, world, returned = a_log(2), world_of(), []
    for start in range(0, len(events), 150):
        effects: FoldEffects = world.feed(*events[start : start + 150])
        returned.append(
            (effects, effects.x.tobytes(), effects.m.tobytes(), repr(effects.examples), dict(effects.changes))
        )
    for effects, x, m, examples, changes in returned:
        assert (effects.x.tobytes(), effects.m.tobytes(), repr(effects.examples)) == (x, m, examples)
        assert effects.changes == changes


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 400))
def test_features_of_a_point_are_as_of_its_time(seed: int, size: int) -> None:
    """Rule: features computed at the end of a batch equal those computed event by event."""
    events = a_log(seed)
    whole = in_batches(events, list(range(0, len(events), size)))
    singly = [p[1:6] for p in at_once(seed, "stub").points]
    assert [p[1:6] for p in whole.points] == singly


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(2, 4))
def test_partitions_are_independent(seed: int, count: int) -> None:
    """Rule: customers of one partition do not affect those of another, however events are interleaved."""
    events = a_log(seed)
    home = {c: order_hash(c.encode(), count) % count for c in {e.customer for e in events}}
    worlds = [world_of() for _ in range(count)]
    rng = random.Random(seed)
    queues = [[e for e in events if home[e.customer] == n] for n in range(count)]
    while any(queues):
        n = rng.choice([n for n in range(count) if queues[n]])
        count_taken = rng.randrange(1, 200)
        worlds[n].feed(*queues[n][:count_taken])
        del queues[n][:count_taken]
    for n, world in enumerate(worlds):
        alone = world_of()
        alone.feed(*(e for e in events if home[e.customer] == n))
        for interleaved, separate in zip(everything(world), everything(alone), strict=True):
            assert interleaved == separate


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(0, 5000))
def test_clock_ticks_between_events_change_nothing(seed: int, cut: int) -> None:
    """Rule: clock ticks between two events give the same points and examples as the log alone."""
    events = sorted(a_log(seed), key=lambda e: e.time_ms)
    cut = 1 + cut % (len(events) - 1)
    ticking, silent = world_of(), world_of()
    silent.feed(*events)
    ticking.feed(*events[:cut])
    before_ms, after_ms = events[cut - 1].time_ms, events[cut].time_ms
    for part in range(1, 6):
        ticking.feed(until_ms=before_ms + (after_ms - before_ms) * part // 6)
    ticking.feed(*events[cut:])
    assert [p[:3] + p[4:] for p in ticking.points] == [p[:3] + p[4:] for p in silent.points]
    assert ticking.examples == silent.examples
    assert ticking.store.records == silent.store.records


@pytest.mark.parametrize("seed", [1, 2, 4])  # logs in which a customer with a pending snapshot is deleted
def test_labels_mature_after_one_delay_and_never_after_the_end(seed: int) -> None:
    """Rule: every due example matures exactly once."""
    world = at_once(seed, "stub")
    end = max(e.time_ms for e in a_log(seed))
    assert {e.release_ms - e.snapshot_ms for e in world.examples} == {7 * DAY_MS}
    assert max(e.release_ms for e in world.examples) <= end
    ids = [(e.customer, e.snapshot_ms) for e in world.examples]
    assert len(set(ids)) == len(ids)
    taken = {(p[0][1:].decode(), p[1]) for p in world.points if p[2] == SNAPSHOT}
    due = {(c, at) for c, at in taken if at + 7 * DAY_MS <= end}
    clock, dropped = 0, set()  # snapshots that were pending when their customer was deleted have no label
    for e in a_log(seed):
        clock = max(clock, e.time_ms)
        if e.name == DELETION:
            dropped |= {(c, at) for c, at in taken if c == e.customer and at <= clock < at + 7 * DAY_MS}
    assert dropped
    hidden = due - set(ids) - dropped
    assert set(ids) <= due - dropped
    assert 0 < len(hidden) == world.censored
    idle = min(e.time_ms for e in a_log(seed)) + 12 * DAY_MS  # three days without events
    assert all(at < idle + 3 * DAY_MS and at + 6 * DAY_MS > idle for _, at in hidden), (
        "only labels during the feed outage may be censored"
    )
    assert {key for key in world.store.records if key[:1] == b"s"} == {
        b"s" + c.encode() + b"\0" + at.to_bytes(8, "big") for c, at in taken - dropped if at + 7 * DAY_MS > end
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_labels_match_the_log(seed: int) -> None:
    """Rule: labels of named events equal those that an oracle derives from the list of events."""
    events = a_log(seed)
    for example in at_once(seed, "stub").examples:
        s = example.snapshot_ms
        within_horizon = [e for e in events if e.customer == example.customer and s <= e.time_ms <= s + 6 * DAY_MS]
        for name, reason in (("voluntary", "cancellation_requested"), ("involuntary", "payment_failed")):
            if name in example.labels:
                hit = any(
                    e.name == "Subscription Cancelled" and e.properties.get("reason") == reason for e in within_horizon
                )
                assert example.labels[name] == hit, (example.customer, s, name)
        if "orders" in example.labels:
            ordered = any(e.name == "Order Completed" and e.time_ms <= s + 5 * DAY_MS for e in within_horizon)
            assert example.labels["orders"] == (not ordered)


@pytest.mark.parametrize("seed", [1, 2])
def test_due_time_of_every_record_is_in_the_future(seed: int) -> None:
    """Rule: no deadline is overdue or missing, and an index rebuilt from the records equals the index."""
    world = at_once(seed, "stub")
    rebuilt = MemoryStore()
    rebuilt.apply(world.store.records)
    assert rebuilt.due(2**62, 10**6) == world.store.due(2**62, 10**6)
    assert all(
        read_due_ms(data) > world.partition.clock_ms for key, data in world.store.records.items() if key[:1] == b"c"
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_removed_customers_leave_no_record(seed: int) -> None:
    """Rule: no record of a customer exists without the profile, and a published alert has ended by then."""
    world = at_once(seed, "stub")
    profiles = {key[1:] for key in world.store.records if key[:1] == b"c"}
    assert {key[1:] for key in world.store.records if key[:1] == b"a"} <= profiles
    assert {key[1:-9] for key in world.store.records if key[:1] == b"s"} <= profiles
    newest = {a.customer: a.event.state for a in world.alerts}
    assert {state for c, state in newest.items() if c not in profiles} <= {"resolved", "retracted", "expired"}
    gone = {key[1:] for key, at_ms in dict(world.published).items() if not at_ms}
    assert gone
    assert not gone & profiles


def test_frozen_features_equal_those_at_the_snapshot() -> None:
    """Setup: another run stops just before the snapshot, and the profile is read from its store."""
    events, world = a_log(3), at_once(3, "stub")
    for example in random.Random(1).sample(world.examples, 12):
        s = example.snapshot_ms
        first_after = next(i for i, e in enumerate(events) if e.time_ms >= s)
        before = in_batches(events[:first_after], [])
        profile = copy(decode(before.store.records[b"c" + example.customer.encode()]))
        assert features([profile], [s]).tobytes() == example.features


# Backtests ---


def backtest(events: list[Event], partitions: int, learner: Any) -> Backtest:
    run = Backtest(definition(CHURN), learner, partitions, lambda key, count: order_hash(key) % count)
    for _ in run.run(iter(events)):
        pass
    return run


class Listener:
    """A learner that records the release day and probability of each label."""

    def __init__(self) -> None:
        self.labels: list[tuple[int, float]] = []

    def learn(
        self, x: Any, m: Any, y: bool, release_day: int, probability: float, members: Any, involuntary: Any
    ) -> None:
        assert len(x) == len(m) == len(NAMES)
        self.labels.append((release_day, probability))

    def scorer(self) -> StubScorer:
        return StubScorer(f"stub-{len(self.labels)}")


@settings(max_examples=4, deadline=None)
@given(seeds, st.integers(1, 5))
def test_backtest_equals_its_partitions(seed: int, count: int) -> None:
    """Rule: a backtest gives the same examples as each partition alone, learned day by day."""
    events = sorted(a_log(seed), key=lambda e: e.time_ms)
    listener = Listener()
    run = backtest(events, count, listener)
    expected: list[TrainingExample] = []
    for n in range(count):
        alone = world_of()
        alone.feed(*(e for e in events if order_hash(e.customer.encode()) % count == n))
        expected += alone.examples
    key = lambda e: (e.customer, e.snapshot_ms, e.features, e.population, e.label, e.release_ms)  # noqa: E731
    assert sorted(map(key, run.examples)) == sorted(map(key, expected))
    assert len(listener.labels) == len(run.examples)


def test_two_backtests_are_equal_bit_for_bit() -> None:
    """Rule: nothing depends on the clock, the hash seed or the order of a dict."""
    events = sorted(a_log(1), key=lambda e: e.time_ms)
    learners = [Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)) for _ in range(2)]
    runs = [backtest(events, 2, learner) for learner in learners]
    assert runs[0].examples == runs[1].examples
    assert learners[0].snapshot() == learners[1].snapshot()
    assert [s.records for s in runs[0].stores] == [s.records for s in runs[1].stores]
