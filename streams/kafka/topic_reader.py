"""Read a topic once, for commands: all of it, its newest records, one record, or new records as they arrive.

Tested by tests/broker/test_topic_reader.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.errors import ChurnSignalsError
from streams.kafka.aiokafka_internals import read_passwords_at_login, stop_consumer
from streams.kafka.unusable_records import UnusableRecords
from streams.settings import Settings
from streams.topics import METRICS, name_of, verify_topics

_BATCH = 5_000
_POLL_MS = 500
# Offsets of a span when reading backwards: the first is one small fetch, and none takes more than some tens of MB.
_SPAN_FIRST, _SPAN_GROWTH, _SPAN_MAX = 500, 4, 20_000
# Ctrl-C is noticed within this time.
_FOLLOW_MS = 200

T = TypeVar("T")
Span = tuple[int, int]
"""Offsets [start, end)."""


async def read_topic(settings: Settings, topic: str, partitions: Iterable[int] | None = None) -> AsyncIterator[Any]:
    """Read every committed record that the topic has at the time of the call, partition by partition in order.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
        ChurnSignalsError: it does not have one of the partitions.
    """
    tps = await partitions_of(settings, topic, partitions)
    async with consuming(settings) as consumer:
        # Offsets are requested once, first: later requests would wait behind a fetch that waits for records. Partitions
        # are read one after the other, so that records are in order and no partition is buffered.
        for tp, span in (await spans_of(consumer, tps)).items():
            async for record in _span(consumer, tp, *span):
                yield record


async def read_record(settings: Settings, topic: str, partition: int, offset: int) -> Any | None:
    """Return the record at an offset, None if there is none (any more). Raises as `read_topic`."""
    [tp] = await partitions_of(settings, topic, [partition])
    async with consuming(settings) as consumer:
        first, end = (await spans_of(consumer, [tp]))[tp]
        if not first <= offset < end:
            return None
        record = (await first_records(consumer, {tp: (offset, end)})).get(tp)
        return record if record is not None and record.offset == offset else None


async def newest_with_key(
    settings: Settings,
    topic: str,
    partition: int,
    key: bytes,
    decode: Callable[[Any], T | None],
    unusable: UnusableRecords,
) -> T | None:
    """Return the newest record of a key in a partition that can be used, decoded; None if there is none.

    Raises as `read_topic`.

    Args:
        settings: Connection and topic names.
        topic: To read backwards.
        partition: That the key belongs to.
        key: Of the record.
        decode: Returns None for a tombstone, and raises if the record cannot be used.
        unusable: Counts and reports these records.
    """
    [tp] = await partitions_of(settings, topic, [partition])
    async with consuming(settings) as consumer:
        async for records in _backwards(consumer, tp, *(await spans_of(consumer, [tp]))[tp]):
            for record in reversed(records):
                if record.key == key:
                    found = unusable.use(record, lambda record: (decode(record),))
                    if found is not None:
                        return found[0]
    return None


async def newest_metrics(
    settings: Settings, prefix: bytes, decode: Callable[[bytes, bytes], T], unusable: UnusableRecords
) -> list[T]:
    """Return the newest usable value of each key of the metrics topic with this prefix, without removed keys.

    Keys contain a partition, so callers add the values up. Raises as `read_topic`.

    Args:
        settings: Connection and topic names.
        prefix: Of the keys.
        decode: Decodes value and key; raises if the record cannot be used.
        unusable: Counts and reports these records.
    """
    newest: dict[bytes, T] = {}
    async for record in read_topic(settings, name_of(METRICS, settings)):
        if record.key is None or not record.key.startswith(prefix):
            continue
        if record.value is None:
            newest.pop(record.key, None)
        elif (value := unusable.use(record, lambda record: decode(record.value, record.key))) is not None:
            newest[record.key] = value
    return list(newest.values())


async def first_records(consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span]) -> dict[TopicPartition, Any]:
    """Return the first record of each span; a span of transaction markers only has none."""
    found: dict[TopicPartition, Any] = {}
    left = _assign(consumer, spans)
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=1)).items():
            if records and records[0].offset < spans[tp][1]:
                found[tp] = records[0]
        left = [tp for tp in left if tp not in found and await consumer.position(tp) < spans[tp][1]]
    return found


async def newest_records(
    consumer: AIOKafkaConsumer,
    spans: Mapping[TopicPartition, Span],
    count: int,
    wanted: Callable[[Any], bool],
) -> list[Any]:
    """Return the newest `count` records that are wanted, of all partitions, in the order of their timestamps."""
    found: list[Any] = []
    for tp, span in spans.items():
        newest: list[Any] = []
        async for records in _backwards(consumer, tp, *span):
            newest = [record for record in records if wanted(record)] + newest
            if len(newest) >= count:
                break
        found += newest[max(0, len(newest) - count) :]
    found.sort(key=_written)
    return found[max(0, len(found) - count) :]


async def merged(consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span]) -> AsyncIterator[Any]:
    """Merge several partitions by timestamp, as far as each partition is in that order."""
    waiting: dict[TopicPartition, deque[Any]] = {tp: deque() for tp in _assign(consumer, spans)}
    while waiting:
        for tp in [tp for tp, records in waiting.items() if not records]:
            if await consumer.position(tp) >= spans[tp][1]:
                del waiting[tp]
        empty = [tp for tp, records in waiting.items() if not records]
        if empty:
            for tp, records in (await consumer.getmany(*empty, timeout_ms=_POLL_MS, max_records=_BATCH)).items():
                waiting[tp].extend(record for record in records if record.offset < spans[tp][1])
        elif waiting:
            oldest = min((records[0] for records in waiting.values()), key=_written)
            yield waiting[TopicPartition(oldest.topic, oldest.partition)].popleft()


async def follow(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], stop: asyncio.Event
) -> AsyncIterator[Any]:
    """Read new records from these offsets on, in the order of arrival, until `stop` is set."""
    tps = list(starts)
    consumer.assign(tps)
    for tp, start in starts.items():
        consumer.seek(tp, start)
    while True:
        batches = await consumer.getmany(*tps, timeout_ms=_FOLLOW_MS, max_records=_BATCH)
        for record in sorted((record for records in batches.values() for record in records), key=_written):
            yield record
        if stop.is_set():
            return


async def _span(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    if start >= end:
        return  # not even assigned, see `_assign`
    consumer.assign([tp])
    consumer.seek(tp, start)
    while await consumer.position(tp) < end:
        for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH)).get(tp, ()):
            if record.offset < end:
                yield record


async def _backwards(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> AsyncIterator[list[Any]]:
    """Read a span in parts, from its end to its start; the records of each part are in order."""
    size = _SPAN_FIRST
    while start < end:
        begin = max(start, end - size)
        yield [record async for record in _span(consumer, tp, begin, end)]
        end, size = begin, min(size * _SPAN_GROWTH, _SPAN_MAX)


def _assign(consumer: AIOKafkaConsumer, spans: Mapping[TopicPartition, Span]) -> list[TopicPartition]:
    """Seek the start of every span that is not empty; returns the partitions of these.

    Records of an assignment must be requested before the consumer stops: if aiokafka's fetcher is stopped while it
    processes a new assignment, it ignores the cancellation and never ends.
    """
    assigned = [tp for tp, (start, end) in spans.items() if start < end]
    if assigned:
        consumer.assign(assigned)
    for tp in assigned:
        consumer.seek(tp, spans[tp][0])
    return assigned


def _written(record: Any) -> tuple[int, int, int]:
    return record.timestamp, record.partition, record.offset


async def partitions_of(settings: Settings, topic: str, wanted: Iterable[int] | None = None) -> list[TopicPartition]:
    """Return all partitions of a topic, or those wanted if they exist. Raises as `read_topic`."""
    count = (await verify_topics(settings))[topic].partitions
    numbers = range(count) if wanted is None else list(wanted)
    for number in numbers:
        if not 0 <= number < count:
            raise ChurnSignalsError(f"topic {topic} has no partition {number}: it has {count}, counted from 0.")
    return [TopicPartition(topic, number) for number in numbers]


def topic_partitions(topic: str, count: int) -> list[TopicPartition]:
    """Return the partitions of a topic with a known number of them."""
    return [TopicPartition(topic, number) for number in range(count)]


async def spans_of(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Span]:
    """Return the offsets of the committed records that the partitions have now."""
    wanted = list(tps)
    first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    return {tp: (first[tp], end[tp]) for tp in wanted}


@asynccontextmanager
async def consuming(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer (`new_consumer`), and stop it at the end of the `async with`."""
    consumer = new_consumer(settings)
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer)


def new_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Create a consumer without a group that reads committed records."""
    read_passwords_at_login()
    return AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,  # the next partition waits behind an empty fetch
        max_partition_fetch_bytes=settings.kafka_max_partition_fetch_bytes,
    )


async def newest_where(settings: Settings, topic: str, partition: int, wanted: Callable[[Any], bool]) -> Any | None:
    """Return the newest record in a partition that is wanted, None if there is none. Raises as `read_topic`."""
    [tp] = await partitions_of(settings, topic, [partition])
    async with consuming(settings) as consumer:
        async for records in _backwards(consumer, tp, *(await spans_of(consumer, [tp]))[tp]):
            for record in reversed(records):
                if wanted(record):
                    return record
    return None
