"""A finite log in one process: the store's index of deadlines, days, and learning in an order that means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.backtesting.backtest import Backtest, MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.labels.training_example import TrainingExample
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.profile.keys import order_hash, profile_key
from models.profile.mergeable import DAY_MS, HOUR_MS
from tests.models.histories import START_MS, StubScorer, definition, event, simulated

WAIT_DAYS = 12


class Listener:
    """A learner that notes what it is taught; its answers name how much that was."""

    def __init__(self) -> None:
        self.lessons: list[tuple[int, float, tuple[float, ...], bool]] = []

    def learn(
        self, x: Any, m: Any, y: bool, release_day: int, probability: float, members: Any, involuntary: Any
    ) -> None:
        self.lessons.append((release_day, probability, tuple(members), y))

    def scorer(self) -> StubScorer:
        return StubScorer(f"after {len(self.lessons)}")


def backtest(events: list[Event], learner: Any, partitions: int = 2, churn: ChurnDefinition | None = None) -> Backtest:
    run = Backtest(churn or definition(), learner, partitions, lambda key, count: order_hash(key) % count)
    counts = list(run.run(iter(events)))
    assert counts == sorted(counts)
    assert counts[-1] == len(events)
    return run


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return simulated(customers=50, days=45, seed=3)


@pytest.fixture(scope="module")
def run(log: list[Event]) -> Backtest:
    return backtest(log, Listener())


# The store ---


def record(due: int) -> bytes:
    return due.to_bytes(8, "big") + b"\x01rest"


def test_the_store_gives_what_is_due_in_order_of_time_and_hash() -> None:
    """Ties are broken by a hash that means nothing; what is not due stays."""
    store = MemoryStore()
    keys = [b"c%d" % i for i in range(20)]
    store.apply({key: record(5 + i % 3) for i, key in enumerate(keys)})
    store.apply({b"cnever": record((1 << 63) - 1), b"ssnapshot": record(1)})
    due = store.due(6, 100)
    assert due == sorted(
        ((5 + i % 3, k) for i, k in enumerate(keys) if i % 3 < 2), key=lambda e: (e[0], order_hash(e[1]))
    )
    assert store.due(6, 3) == due[:3]
    assert store.due(6, 100) == due  # asking changes nothing
    assert store.due(4, 100) == []


def test_a_record_is_due_once_at_its_newest_time() -> None:
    """Rewritten records leave no deadline behind, removed ones none at all."""
    store = MemoryStore()
    for due in (5, 9, 7, 9, 9):
        store.apply({b"ca": record(due)})
    store.apply({b"cb": record(3)})
    store.apply({b"cb": None})
    assert store.due(100, 100) == [(9, b"ca")]
    assert store.get_many([b"ca", b"cb"]) == [record(9), None]


# The run ---


def test_every_example_is_taught_once_in_order_of_release(run: Backtest) -> None:
    """Days ascend; within a day's work the order of release, ties by a hash."""
    lessons, examples = run.learner.lessons, run.examples  # type: ignore[attr-defined]
    assert len(lessons) == len(examples) > 30
    assert [(lesson[0], lesson[1]) for lesson in lessons] == [(e.release_ms // DAY_MS, e.probability) for e in examples]
    assert [e.release_ms // DAY_MS for e in examples] == sorted(e.release_ms // DAY_MS for e in examples)


def test_labels_that_mature_together_are_learned_in_an_order_without_meaning() -> None:
    """Not by customer id: the order of a hash of customer and snapshot."""
    run = backtest([], Listener())
    examples = [
        TrainingExample(
            f"c{i:03}", START_MS, START_MS + DAY_MS, b"\0" * 8, b"\0" * 8, 0.5, (0.5, 0.5, 0.5), i % 2, {}, "m", "d"
        )
        for i in range(50)
    ]
    run._learn(list(examples))
    customers = [e.customer for e in run.examples]
    assert customers == sorted(customers, key=lambda c: order_hash(profile_key(c), START_MS)) != sorted(customers)
    again = backtest([], Listener())
    again._learn(examples[::-1])
    assert [e.customer for e in again.examples] == customers


def test_a_day_is_scored_by_the_model_as_it_stood_when_the_day_began(run: Backtest) -> None:
    """An example's model had learned exactly what was released before the day of its snapshot began, as seen there."""
    released: list[TrainingExample] = []
    for example in run.examples:
        known = int(example.model.removeprefix("after "))
        day = example.snapshot_ms // DAY_MS
        assert all(e.release_ms < (day + 1) * DAY_MS for e in run.examples[:known])
        released.append(example)
    assert len({e.model for e in released}) > 5


def test_nothing_is_released_after_the_end_and_everything_before(run: Backtest, log: list[Event]) -> None:
    """The last release lies within the log."""
    end = log[-1].time_ms
    assert all(e.release_ms == e.snapshot_ms + WAIT_DAYS * DAY_MS <= end for e in run.examples)
    assert end - max(e.release_ms for e in run.examples) < 2 * DAY_MS


def test_events_and_duplicates_are_counted(log: list[Event]) -> None:
    """A log that was written twice gives the same examples."""
    once = backtest(log[:3000], Listener())
    twice = backtest([e for e in log[:3000] for _ in range(2)], Listener())
    assert (once.events, once.duplicates) == (3000, 0)
    assert (twice.events, twice.duplicates) == (6000, 3000)
    assert once.examples == twice.examples


def test_a_log_of_nothing_and_of_one_event() -> None:
    """No division by no examples."""
    assert backtest([], Listener()).examples == []
    assert backtest([event()], Listener()).points == 1


def test_events_a_little_out_of_order_are_taken_as_they_come(log: list[Event]) -> None:
    """A late event belongs to the day it arrives on; the days still ascend."""
    late = sorted(log[:4000], key=lambda e: e.time_ms + (e.id_hash % 7) * HOUR_MS)
    run = backtest(late, Listener())
    assert run.events == 4000


@pytest.mark.law
def test_more_partitions_hold_the_same_customers(log: list[Event]) -> None:
    """Which snapshots are taken and what their labels are does not depend on the number of partitions but at the end of
    the log, where a partition's clock may stand still; features neither."""
    one, many = (backtest(log, Listener(), partitions=n) for n in (1, 7))
    assert sum(len(s.records) for s in many.stores) > 0
    mine = {(e.customer, e.snapshot_ms): (e.label, e.features) for e in one.examples}
    its = {(e.customer, e.snapshot_ms): (e.label, e.features) for e in many.examples}
    common = mine.keys() & its.keys()
    assert len(common) > 0.9 * len(mine)
    assert all(mine[key] == its[key] for key in common)


def test_the_real_model_learns_from_it(log: list[Event]) -> None:
    """Every example has a probability, what the members said, and reaches the model."""
    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    run = backtest(log, model)
    assert model.labels == len(run.examples)
    assert model.positives == sum(e.label for e in run.examples)
    assert all(0 < p < 1 for e in run.examples for p in (e.probability, *e.members))
    assert len({e.model for e in run.examples}) > 5
    assert all(np.frombuffer(e.features).shape == (len(NAMES),) for e in run.examples)
