"""The workers and the trainer over a finite log, in one process: the same fold, the same learner, no broker.

Event time is cut into days. Each day's events are folded partition by partition with the model as it stood when the
day began; then the labels released that day are learned, in the order in which the trainer's topic would hold them:
by release time, ties by a hash that means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np

from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event
from models.labels.training_example import TrainingExample
from models.pipeline.alert_tracker import AlertOutput
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.codec import read_due_ms
from models.profile.keys import TIMED, order_hash, profile_key
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS

BATCH_EVENTS: Final = 5_000  # as a worker's largest batch


class OnlineLearner(Protocol):
    """What a backtest needs of a model; see `models.learning.model`."""

    def learn(
        self, x: Any, m: Any, y: bool, release_day: int, probability: float, members: Any, involuntary: Any
    ) -> None: ...
    def scorer(self) -> Any: ...


class MemoryStore:
    """Encoded records in a dict, with the index of deadlines that a worker keeps in RocksDB.

    >>> store = MemoryStore()
    >>> store.apply({b"cA": (5).to_bytes(8, "big"), b"cB": (3).to_bytes(8, "big")})
    >>> store.due(5, 10), store.due(4, 10)
    ([(3, b'cB'), (5, b'cA')], [(3, b'cB')])
    """

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self._due_of: dict[bytes, int] = {}
        self._by_day: dict[int, dict[bytes, tuple[int, int, bytes]]] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these keys, None where there is none."""
        get = self.records.get
        return [get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` profile keys due by `until_ms`, in the order (due time, hash)."""
        found: list[tuple[int, int, bytes]] = []
        for day, entries in self._by_day.items():
            if day <= until_ms // DAY_MS:
                found += [entry for entry in entries.values() if entry[0] <= until_ms]
        found.sort()
        return [(at, key) for at, _, key in found[:limit]]

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """Writes what a batch changed; None removes."""
        for key, data in changes.items():
            if data is None:
                self.records.pop(key, None)
                self._move(key, NEVER_MS)
                continue
            self.records[key] = data
            if key[:1] in TIMED:
                self._move(key, read_due_ms(data))

    def _move(self, key: bytes, due: int) -> None:
        before = self._due_of.get(key, NEVER_MS)
        if due == before:
            return
        if before != NEVER_MS:
            day = before // DAY_MS
            del self._due_of[key], self._by_day[day][key]
            if not self._by_day[day]:
                del self._by_day[day]
        if due != NEVER_MS:
            self._due_of[key] = due
            self._by_day.setdefault(due // DAY_MS, {})[key] = due, order_hash(key), key


class Backtest:
    """Feeds a log through partitions and a learner.

    Args:
        definition: What churn means.
        learner: The model that scores and learns.
        partitions: How many partitions the customers are spread over.
        partition_of: The partitioner, key and number of partitions to partition: Kafka's, to equal the workers.
    """

    def __init__(
        self,
        definition: ChurnDefinition,
        learner: OnlineLearner,
        partitions: int,
        partition_of: Callable[[bytes, int], int],
    ) -> None:
        self.learner = learner
        self.stores = [MemoryStore() for _ in range(partitions)]
        scorer = learner.scorer()
        self.partitions = [PartitionFold(definition, store, scorer) for store in self.stores]
        self.examples: list[TrainingExample] = []
        self.alerts: list[AlertOutput] = []
        self.events = self.duplicates = self.points = self.censored = 0
        self.on_effects: Callable[[int, FoldEffects], None] | None = None
        self._partition_of = partition_of
        self._homes: dict[str, int] = {}

    def run(self, events: Iterable[Event]) -> Iterator[int]:
        """Feeds the log; yields the number of events so far after each day."""
        day, offset = None, 0
        waiting: list[list[OffsetEvent]] = [[] for _ in self.partitions]
        for event in events:
            today = event.time_ms // DAY_MS
            if day is None or today > day:
                if day is not None:
                    self._end_day(waiting)
                    yield offset
                day = today
            queue = waiting[self._home(event.customer)]
            queue.append(OffsetEvent(offset, event))
            offset += 1
        self._end_day(waiting)
        yield offset

    def _home(self, customer: str) -> int:
        home = self._homes.get(customer)
        if home is None:
            home = self._homes[customer] = self._partition_of(customer.encode(), len(self.partitions))
        return home

    def _end_day(self, waiting: list[list[OffsetEvent]]) -> None:
        released: list[TrainingExample] = []
        for number, (partition, store) in enumerate(zip(self.partitions, self.stores, strict=True)):
            entries = waiting[number]
            for start in range(0, len(entries), BATCH_EVENTS):
                batch = entries[start : start + BATCH_EVENTS]
                effects = partition.process(batch)
                store.apply(effects.changes)
                released += effects.examples
                self.alerts += effects.alerts
                self.censored += effects.censored
                self.events += len(batch)
                self.points += len(effects.points)
                self.duplicates += effects.duplicates
                if self.on_effects is not None:
                    self.on_effects(number, effects)
            entries.clear()
        self._learn(released)

    def _learn(self, released: list[TrainingExample]) -> None:
        if not released:
            return
        released.sort(key=lambda e: (e.release_ms, order_hash(profile_key(e.customer), e.snapshot_ms)))
        for example in released:
            self.learner.learn(
                np.frombuffer(example.features),
                np.frombuffer(example.population),
                bool(example.label),
                example.release_ms // DAY_MS,
                example.probability,
                example.members,
                example.involuntary,
            )
        self.examples += released
        scorer = self.learner.scorer()
        for partition in self.partitions:
            partition.scorer = scorer
