"""A changelog as a group of workers leaves it: real profiles under the store's keys, committed with positions."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from benchmarks.throughput import world
from models.events.event import Event, decode
from models.learning.scorer import Scorer
from models.pipeline.partition import OffsetEvent, PartitionFold
from models.profile.keys import PROFILE, profile_key
from streams.engine.position import POSITION_KEY, encode_position
from streams.engine.transactions import FencedProducer
from streams.kafka.partitioner import partition_of
from streams.settings import Settings
from streams.topics import CHANGELOG, name_of

# So many profiles are folded from simulated events; the customers take turns with them.
SAMPLES = 2_000
_SAMPLE_EVENTS = 40_000
_TRANSACTION_RECORDS = 5_000
_ROLE = "worker"
_SEED = 1


class _Values(dict[bytes, bytes | None]):
    """A fold's store: nothing is due before the samples are taken."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return []


def sample_profiles(scorer: Scorer, customers: int = SAMPLES, events: int = _SAMPLE_EVENTS) -> list[bytes]:
    """Encoded profiles of simulated customers with some twenty events each, as the fold writes them."""
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


def dealt(customers: int, partitions: int) -> list[list[bytes]]:
    """Profile keys of so many customers, by the partition that their ids belong to."""
    keys: list[list[bytes]] = [[] for _ in range(partitions)]
    for number in range(customers):
        customer = f"customer-{number:07d}"
        keys[partition_of(customer.encode(), partitions)].append(profile_key(customer))
    return keys


def rounds(keys: Sequence[bytes], profiles: Sequence[bytes], records: int) -> Iterator[dict[bytes, bytes | None]]:
    """The changes of each transaction: every customer `records` times over, another profile each time.

    Each turn is in an order of its own, as events are: keys in their order would make what sorts them look cheap.
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
    """Write every partition's transactions through its fenced producer; the number of records.

    Args:
        transactions: by partition, what each transaction changes.
        state: of the partition's processor.
    """
    written = 0
    for partition, here in enumerate(transactions):
        identity = f"{settings.kafka_group_id}/{_ROLE}/{settings.topic_events}/{partition}"
        producer, birth = await FencedProducer.open(settings, identity), os.urandom(16)
        for changes in _with_empty(here):
            position = {POSITION_KEY: encode_position(0, False, birth, state)}
            await producer.commit([], (name_of(CHANGELOG, settings), partition), {**changes, **position})
            written += len(changes) + 1
            show(written)
        await producer.close()
    return written


def _with_empty(found: Iterable[dict[bytes, bytes | None]]) -> Iterator[dict[bytes, bytes | None]]:
    """At least one transaction, so that a partition without customers has a position too."""
    any_found = False
    for changes in found:
        any_found = True
        yield changes
    if not any_found:
        yield {}
