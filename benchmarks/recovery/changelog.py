"""Write a changelog as a group of workers does: real profiles under the store's keys, committed with positions."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from benchmarks.throughput import world
from models.events.event import Event, decode
from models.learning.model import ModelScorer
from models.pipeline.effects import OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.keys import PROFILE, profile_key
from streams.engine.position import POSITION_KEY, encode_position
from streams.engine.transactions import FencedProducer
from streams.kafka.partitioner import partition_of
from streams.settings import Settings
from streams.topics import CHANGELOG, name_of

# Number of profiles that are created from simulated events. Customers share them in rotation.
SAMPLES = 2_000
_SAMPLE_EVENTS = 40_000
_TRANSACTION_RECORDS = 5_000
_ROLE = "worker"
_SEED = 1


class _Values(dict[bytes, bytes | None]):
    """A fold's store in memory, in which nothing falls due."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return []


def sample_profiles(scorer: ModelScorer, customers: int = SAMPLES, events: int = _SAMPLE_EVENTS) -> list[bytes]:
    """Return encoded profiles of simulated customers with some twenty events each, as the fold writes them."""
    values = _Values()
    fold = PartitionFold(world.definition(), values, scorer)
    entries = []
    for offset, (_, value) in enumerate(islice(world.endless(customers), events)):
        event = decode(value, (), None)
        if isinstance(event, Event):
            entries.append(OffsetEvent(offset, event))
    for first in range(0, len(entries), _TRANSACTION_RECORDS):
        values.update(fold.process(entries[first : first + _TRANSACTION_RECORDS], 0).changes)
    return [value for key, value in values.items() if value is not None and key[:1] == PROFILE]


def keys_by_partition(customers: int, partitions: int) -> list[list[bytes]]:
    """Return the profile keys of `customers` customers, by the partition of their ids."""
    keys: list[list[bytes]] = [[] for _ in range(partitions)]
    for number in range(customers):
        customer = f"customer-{number:07d}"
        keys[partition_of(customer.encode(), partitions)].append(profile_key(customer))
    return keys


def rounds(keys: Sequence[bytes], profiles: Sequence[bytes], records: int) -> Iterator[dict[bytes, bytes | None]]:
    """Yield the changes of each transaction: every customer in `records` rounds, with another profile each time.

    Each round has a different order, like real events. Ordered keys would make sorting look cheap.
    """
    rng, order = random.Random(_SEED), list(enumerate(keys))
    for turn in range(records):
        rng.shuffle(order)
        for first in range(0, len(order), _TRANSACTION_RECORDS):
            chunk = order[first : first + _TRANSACTION_RECORDS]
            yield {key: profiles[(number + turn) % len(profiles)] for number, key in chunk}


async def write(
    settings: Settings,
    transactions: Sequence[Iterable[dict[bytes, bytes | None]]],
    state: bytes,
    show: Callable[[int], None],
) -> int:
    """Write every partition's transactions through its fenced producer. Return the number of records.

    Args:
        transactions: By partition, the changes of each transaction.
        state: State of the partition's processor.
        show: Receives the number of records written so far.
    """
    written = 0
    for partition, of_partition in enumerate(transactions):
        identity = f"{settings.kafka_group_id}/{_ROLE}/{settings.topic_events}/{partition}"
        producer, changelog_id = await FencedProducer.open(settings, identity), os.urandom(16)
        for changes in _at_least_one(of_partition):
            position = {POSITION_KEY: encode_position(0, False, changelog_id, state)}
            await producer.commit([], (name_of(CHANGELOG, settings), partition), {**changes, **position})
            written += len(changes) + 1
            show(written)
        await producer.close()
    return written


def _at_least_one(found: Iterable[dict[bytes, bytes | None]]) -> Iterator[dict[bytes, bytes | None]]:
    """Yield at least one transaction, so that a partition without customers also has a position."""
    any_found = False
    for changes in found:
        any_found = True
        yield changes
    if not any_found:
        yield {}
