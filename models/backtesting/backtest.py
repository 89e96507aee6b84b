"""Run the workers' fold and the trainer's learner over a finite log, in one process and without a broker.

Event time is divided into days. Each day's events are folded partition by partition, with the model as of the
beginning of the day. Then the learner gets the labels released that day in the order of the trainer's topic: by
release time, with ties ordered by a hash of customer and snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np

from models.definition.churn_definition import ChurnDefinition
from models.definition.churn_evidence import ChurnEvidence
from models.events.event import Event
from models.events.unreadable import UnreadableCounts
from models.labels.training_example import TrainingExample
from models.pipeline.alert_tracker import AlertOutput
from models.pipeline.clock_guard import PlausibleLog
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.codec import read_due_ms
from models.profile.keys import TIMED, order_hash, profile_key
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS

BATCH_EVENTS: Final = 5_000  # the size of a worker's largest batch


class OnlineLearner(Protocol):
    """The interface that a backtest needs of a model; see `models.learning.model`."""

    def learn(
        self, x: Any, m: Any, y: bool, release_day: int, probability: float, members: Any, involuntary: Any
    ) -> None: ...
    def scorer(self) -> Any: ...


class MemoryStore:
    """Encoded records in a dict, with the deadline index that a worker keeps in RocksDB.

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
        """Return the records of keys; None for a missing one."""
        get = self.records.get
        return [get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` profile keys due by `until_ms`, ordered by due time and hash."""
        due: list[tuple[int, int, bytes]] = []
        for day, entries in self._by_day.items():
            if day <= until_ms // DAY_MS:
                due += [entry for entry in entries.values() if entry[0] <= until_ms]
        due.sort()
        return [(at, key) for at, _, key in due[:limit]]

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Write the changes of a batch; None deletes a record."""
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
        definition: The churn definition.
        learner: The model that scores and learns.
        partitions: Number of partitions.
        partition_of: The partitioner: key and number of partitions to partition. Use Kafka's to equal the workers.

    Attributes:
        evidence: Whether the log can meet the definitions, by the events so far.
        unreadable: Counts of unreadable properties. A position is the number of an event in the log, from 0.
    """

    def __init__(
        self,
        definition: ChurnDefinition,
        learner: OnlineLearner,
        partitions: int,
        partition_of: Callable[[bytes, int], int],
    ) -> None:
        self.learner = learner
        self.evidence = ChurnEvidence(definition)
        self.stores = [MemoryStore() for _ in range(partitions)]
        scorer = learner.scorer()
        self.partitions = [PartitionFold(definition, store, scorer) for store in self.stores]
        self.examples: list[TrainingExample] = []
        self.alerts: list[AlertOutput] = []
        self.events = self.duplicates = self.points = self.censored = 0
        self.unreadable = UnreadableCounts()
        self.on_effects: Callable[[int, FoldEffects], None] | None = None
        self.plausible = PlausibleLog(definition.grace_ms)
        """Counts the events whose time is far ahead of all others; they are applied at the time of their neighbours."""
        self._partition_of = partition_of
        self._partition_by_customer: dict[str, int] = {}

    def run(self, events: Iterable[Event]) -> Iterator[int]:
        """Feed the log; yield the number of events so far after each day."""
        day, offset = None, 0
        queues: list[list[OffsetEvent]] = [[] for _ in self.partitions]
        for event in self.plausible.events(events):
            today = event.time_ms // DAY_MS
            if day is None or today > day:
                if day is not None:
                    self._end_day(queues)
                    yield offset
                day = today
            self.evidence.add(event)
            queue = queues[self._partition(event.customer)]
            queue.append(OffsetEvent(offset, event))
            offset += 1
        self._end_day(queues)
        yield offset

    def _partition(self, customer: str) -> int:
        number = self._partition_by_customer.get(customer)
        if number is None:
            number = self._partition_of(customer.encode(), len(self.partitions))
            self._partition_by_customer[customer] = number
        return number

    def _end_day(self, queues: list[list[OffsetEvent]]) -> None:
        released: list[TrainingExample] = []
        for number, (partition, store) in enumerate(zip(self.partitions, self.stores, strict=True)):
            entries = queues[number]
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
                self.unreadable.merge(effects.unreadable)
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
