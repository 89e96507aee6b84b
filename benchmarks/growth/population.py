"""Any number of customers, each with the state and the next events of one of two thousand simulated customers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import orjson

from benchmarks.throughput import world
from models.backtesting.backtest import MemoryStore
from models.duration import rfc3339
from models.profile.keys import OF_PARTITION, PROFILE
from models.profile.mergeable import DAY_MS
from streams.kafka.model_reader import PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings

SAMPLES = 2_000
# Ten days, as in the other benchmarks: twenty events each.
_SAMPLE_EVENTS = 40_000
_BATCH_EVENTS = 5_000
# As simulated: two events per day, in visits of a few events within 40 minutes.
_EVENTS_A_DAY = 2.0
_MOST_IN_VISIT = 5
_BETWEEN_MS = 8 * 60_000
_SEED = 1

Changes = dict[bytes, bytes | None]


class Read(NamedTuple):
    """An input record, as the processor receives it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    topic: str = "customer-events"
    partition: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Population(NamedTuple):
    """The state of the sampled customers at the end of their log.

    Attributes:
        samples: For each customer, (first byte of the key, rest of the key, value) of all records.
        shared: Records of the whole partition: the accounting sums of all customers.
        names: Ids of the sampled customers.
        bodies: Bodies of their last events, which serve as templates for the next ones.
        state: State of the partition.
        newest_ms: Time of the last event.
    """

    samples: list[list[tuple[bytes, bytes, bytes]]]
    shared: Changes
    names: list[bytes]
    bodies: list[dict[str, Any]]
    state: bytes
    newest_ms: int

    def state_of(self, number: int) -> Changes:
        """Return every record of a customer, copied from one of the samples."""
        sample, name = number % len(self.names), name_of(number)
        own = self.names[sample]
        return {kind + name + rest: value.replace(own, name) for kind, rest, value in self.samples[sample]}


def name_of(number: int) -> bytes:
    """Return a customer's id. All ids have the same length, so that one can replace another in a record.

    >>> name_of(7)
    b'c000007'
    """
    return b"c%06d" % number


def folded(events: Sequence[tuple[bytes, bytes]], model: bytes) -> tuple[MemoryStore, bytes, int]:
    """Return a partition's store after these events, the partition's state, and the time of the newest event."""
    shared = ProcessorContext(Settings(), world.definition(), 1)
    shared.on_snapshot(PublishedSnapshot(model, 0))
    store, state = MemoryStore(), b""
    processor = EventProcessor(shared, 0, _Due(store), None)
    records = [Read(offset, key, value, 0) for offset, (key, value) in enumerate(events)]
    while records:
        effects = processor.process(records[:_BATCH_EVENTS], None)
        store.apply(effects.changes)
        processor.committed()
        state = effects.state
        records = records[effects.consumed or 0 :]
    assert processor.newest_event_ms is not None
    return store, state, processor.newest_event_ms


def sampled(model: bytes, customers: int = SAMPLES, events: int = _SAMPLE_EVENTS) -> Population:
    """Process the events of the sampled customers."""
    log = list(islice(world.endless(customers), events))
    store, state, newest_ms = folded(log, model)
    names = sorted(key[1:] for key in store.records if key[:1] == PROFILE)
    index_of = {name: index for index, name in enumerate(names)}
    samples: list[list[tuple[bytes, bytes, bytes]]] = [[] for _ in names]
    length = len(name_of(0))
    shared: Changes = {}
    for key, value in store.records.items():
        if key[:1] in OF_PARTITION:
            shared[key] = value
            continue
        samples[index_of[key[1 : 1 + length]]].append((key[:1], key[1 + length :], value))
    bodies = [orjson.loads(value) for _, value in log[events // 2 :]]
    return Population(samples, shared, names, bodies, state, newest_ms)


def partitioned(population: Population, customers: int, partitions: int, size: int) -> list[Iterator[Changes]]:
    """Yield the customers' state by partition, in transactions of `size` customers each."""
    homes: list[list[int]] = [[] for _ in range(partitions)]
    for number in range(customers):
        homes[partition_of(name_of(number), partitions)].append(number)
    rng = random.Random(_SEED)
    for numbers in homes:
        rng.shuffle(numbers)

    def transactions(numbers: list[int]) -> Iterator[Changes]:
        changes: Changes = dict(population.shared)
        for first in range(0, len(numbers), size):
            for number in numbers[first : first + size]:
                changes |= population.state_of(number)
            yield changes
            changes = {}

    return [transactions(numbers) for numbers in homes]


def events(population: Population, customers: int, count: int) -> list[tuple[bytes, bytes]]:
    """Return the next events in order: two per customer and day, so that more customers have fewer events each."""
    rng = random.Random(_SEED)
    span_ms = int(count / (customers * _EVENTS_A_DAY) * DAY_MS)
    planned: list[tuple[int, int]] = []
    while len(planned) < count:
        at_ms, customer = rng.randrange(span_ms), rng.randrange(customers)
        visit = range(rng.randint(1, _MOST_IN_VISIT))
        planned += [(at_ms + step * _BETWEEN_MS, customer) for step in visit]
    planned = sorted(planned[:count])
    found = []
    for number, (at_ms, customer) in enumerate(planned):
        name = name_of(customer)
        body = population.bodies[rng.randrange(len(population.bodies))]
        moment = rfc3339(population.newest_ms + 1 + at_ms)
        event = body | {"messageId": f"g{number}", "userId": name.decode(), "timestamp": moment}
        found.append((name, orjson.dumps(event)))
    return found


class _Due:
    """A fold's store that never reports a next deadline."""

    def __init__(self, store: MemoryStore) -> None:
        self.get_many = store.get_many
        self.due = store.due

    def next_due_ms(self) -> int | None:
        return None
