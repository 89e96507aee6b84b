"""Reading what a topic holds now, from its beginning to its end, for commands that look and leave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.errors import ChurnSignalsError
from streams.settings import Settings
from streams.topics import verify_topics

_BATCH = 5_000
_POLL_MS = 500


async def read_topic(settings: Settings, topic: str, partitions: Iterable[int] | None = None) -> AsyncIterator[Any]:
    """Every committed record that the topic held when we asked, partition by partition in order.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
        ChurnSignalsError: it has no such partition.
    """
    tps = await partitions_of(settings, topic, partitions)
    consumer = new_consumer(settings)
    await consumer.start()
    try:
        for tp in tps:  # one after the other: what is read is in order, and no partition waits in memory
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH)).get(tp, ()):
                    if record.offset < end:
                        yield record
    finally:
        await consumer.stop()


async def read_one(settings: Settings, topic: str, partition: int, offset: int) -> Any | None:
    """The record at an offset, None if it is not there (any more). Raises as `read_topic`."""
    [tp] = await partitions_of(settings, topic, [partition])
    consumer = new_consumer(settings)
    await consumer.start()
    try:
        consumer.assign([tp])
        first = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        if not first <= offset < end:
            return None
        consumer.seek(tp, offset)
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=1)).get(tp, ()):
                return record if record.offset == offset else None
        return None
    finally:
        await consumer.stop()


async def partitions_of(settings: Settings, topic: str, wanted: Iterable[int] | None = None) -> list[TopicPartition]:
    """A topic's partitions, or those wanted after a check that they are there. Raises as `read_topic`."""
    count = (await verify_topics(settings))[topic].partitions
    numbers = range(count) if wanted is None else list(wanted)
    for number in numbers:
        if not 0 <= number < count:
            raise ChurnSignalsError(f"topic {topic} has no partition {number}: it has {count}, counted from 0.")
    return [TopicPartition(topic, number) for number in numbers]


def new_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A consumer without a group, which reads committed."""
    return AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=settings.kafka_max_partition_fetch_bytes,
    )
