"""Backtest of a finite log: deadline index of the store, days, and the order of learning."""

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


class RecordingLearner:
    """A learner that records its examples; the version of its scorer is their number."""

    def __init__(self) -> None:
        self.examples: list[tuple[int, float, tuple[float, ...], bool]] = []

    def learn(
        self, x: Any, m: Any, y: bool, release_day: int, probability: float, members: Any, involuntary: Any
    ) -> None:
        self.examples.append((release_day, probability, tuple(members), y))

    def scorer(self) -> StubScorer:
        return StubScorer(f"after {len(self.examples)}")


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
    return backtest(log, RecordingLearner())


# The store ---


def record(due: int) -> bytes:
    return due.to_bytes(8, "big") + b"\x01rest"


def test_store_returns_due_keys_by_time_and_hash() -> None:
    """Rule: due keys are ordered by time, with ties ordered by hash; other keys are not returned."""
    store = MemoryStore()
    keys = [b"c%d" % i for i in range(20)]
    store.apply({key: record(5 + i % 3) for i, key in enumerate(keys)})
    store.apply({b"cnever": record((1 << 63) - 1), b"ssnapshot": record(1)})
    due = store.due(6, 100)
    assert due == sorted(
        ((5 + i % 3, k) for i, k in enumerate(keys) if i % 3 < 2), key=lambda e: (e[0], order_hash(e[1]))
    )
    assert store.due(6, 3) == due[:3]
    assert store.due(6, 100) == due  # reading changes nothing
    assert store.due(4, 100) == []


def test_record_is_due_once_at_its_newest_time() -> None:
    """Rule: a rewritten record has only its newest deadline, and a deleted record has none."""
    store = MemoryStore()
    for due in (5, 9, 7, 9, 9):
        store.apply({b"ca": record(due)})
    store.apply({b"cb": record(3)})
    store.apply({b"cb": None})
    assert store.due(100, 100) == [(9, b"ca")]
    assert store.get_many([b"ca", b"cb"]) == [record(9), None]


# The run ---


def test_every_example_is_learned_once_in_order_of_release(run: Backtest) -> None:
    """Rule: each example is learned once, in ascending order of release days."""
    learned, examples = run.learner.examples, run.examples  # type: ignore[attr-defined]
    assert len(learned) == len(examples) > 30
    assert [(each[0], each[1]) for each in learned] == [(e.release_ms // DAY_MS, e.probability) for e in examples]
    assert [e.release_ms // DAY_MS for e in examples] == sorted(e.release_ms // DAY_MS for e in examples)


def test_labels_that_mature_together_are_learned_in_order_of_a_hash() -> None:
    """Rule: ties are ordered by a hash of customer and snapshot, not by customer id or arrival."""
    run = backtest([], RecordingLearner())
    examples = [
        TrainingExample(
            f"c{i:03}", START_MS, START_MS + DAY_MS, b"\0" * 8, b"\0" * 8, 0.5, (0.5, 0.5, 0.5), i % 2, {}, "m", "d"
        )
        for i in range(50)
    ]
    run._learn(list(examples))
    customers = [e.customer for e in run.examples]
    assert customers == sorted(customers, key=lambda c: order_hash(profile_key(c), START_MS)) != sorted(customers)
    reversed_run = backtest([], RecordingLearner())
    reversed_run._learn(examples[::-1])
    assert [e.customer for e in reversed_run.examples] == customers


def test_day_is_scored_by_the_model_at_its_beginning(run: Backtest) -> None:
    """Rule: the model of an example had learned only labels released before the day of its snapshot began."""
    released: list[TrainingExample] = []
    for example in run.examples:
        known = int(example.model.removeprefix("after "))
        day = example.snapshot_ms // DAY_MS
        assert all(e.release_ms < (day + 1) * DAY_MS for e in run.examples[:known])
        released.append(example)
    assert len({e.model for e in released}) > 5


def test_examples_are_released_up_to_the_end_of_the_log(run: Backtest, log: list[Event]) -> None:
    """Rule: every release lies within the log, and the last one is close to its end."""
    end = log[-1].time_ms
    assert all(e.release_ms == e.snapshot_ms + WAIT_DAYS * DAY_MS <= end for e in run.examples)
    assert end - max(e.release_ms for e in run.examples) < 2 * DAY_MS


def test_events_and_duplicates_are_counted(log: list[Event]) -> None:
    """Rule: a log in which each event is repeated gives the same examples."""
    once = backtest(log[:1500], RecordingLearner())
    twice = backtest([e for e in log[:1500] for _ in range(2)], RecordingLearner())
    assert (once.events, once.duplicates) == (1500, 0)
    assert (twice.events, twice.duplicates) == (3000, 1500)
    assert once.examples == twice.examples != []


def test_empty_log_and_log_of_one_event() -> None:
    """Rule: a log without examples is valid."""
    assert backtest([], RecordingLearner()).examples == []
    assert backtest([event()], RecordingLearner()).points == 1


def test_events_out_of_order_are_applied_in_order_of_arrival(log: list[Event]) -> None:
    """Rule: a late event counts for the day of its arrival; days never go back."""
    late = sorted(log[:2000], key=lambda e: e.time_ms + (e.id_hash % 7) * HOUR_MS)
    run = backtest(late, RecordingLearner())
    assert run.events == 2000


@pytest.mark.law
def test_number_of_partitions_does_not_change_examples(log: list[Event]) -> None:
    """Rule: snapshots, features and labels do not depend on the number of partitions, except at the end of the log,
    where the clock of a partition may stop earlier."""
    one, many = (backtest(log, RecordingLearner(), partitions=n) for n in (1, 7))
    assert sum(len(s.records) for s in many.stores) > 0
    of_one = {(e.customer, e.snapshot_ms): (e.label, e.features) for e in one.examples}
    of_many = {(e.customer, e.snapshot_ms): (e.label, e.features) for e in many.examples}
    common = of_one.keys() & of_many.keys()
    assert len(common) > 0.9 * len(of_one)
    assert all(of_one[key] == of_many[key] for key in common)


def test_real_model_learns_from_a_backtest(log: list[Event]) -> None:
    """Rule: every example has a probability of each model, and reaches the model."""
    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    run = backtest(log, model)
    assert model.labels == len(run.examples)
    assert model.positives == sum(e.label for e in run.examples)
    assert all(0 < p < 1 for e in run.examples for p in (e.probability, *e.members))
    assert len({e.model for e in run.examples}) > 5
    assert all(np.frombuffer(e.features).shape == (len(NAMES),) for e in run.examples)
