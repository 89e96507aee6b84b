"""Redelivery of undelivered alert events: the dead letters that exist now, route by route (`notify --again`).

Tested by tests/broker/test_notify.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.engine.contract import Headers
from streams.kafka.aiokafka_internals import stop_consumer
from streams.kafka.group_consumer import group_consumer
from streams.kafka.topic_reader import spans_of, topic_partitions
from streams.kafka.unusable_records import UnusableRecord, UnusableRecords
from streams.notify.delivery import Delivery
from streams.notify.notifier import dead_letter_producer
from streams.notify.outcomes import EVENT_OUTCOMES
from streams.notify.routes import Route
from streams.notify.sender import Sender, new_session
from streams.scoring.dead_letters import OFFSET, PARTITION, ROUTE, TOPIC, DeadLetter
from streams.settings import Settings
from streams.topics import UNDELIVERED, name_of, verify_topics

_NUMBER: Final = re.compile("[0-9]{1,18}")
_POLL_MS: Final = 500
_BATCH_RECORDS: Final = 100


class OriginalRecord(NamedTuple):
    """An alert event as it was in the alerts topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(cls, record: Any) -> OriginalRecord:
        """Restore it from its dead letter.

        Raises:
            UnusableRecord: the headers lack topic, partition or offset.
        """
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        letter = DeadLetter.of(record)
        if not all(_NUMBER.fullmatch(headers.get(name, "")) for name in (PARTITION, OFFSET)):
            raise UnusableRecord("its headers name no partition and offset of an alert event")
        return cls(
            topic=headers.get(TOPIC, ""),
            partition=int(headers.get(PARTITION, "")),
            offset=int(headers.get(OFFSET, "")),
            timestamp=record.timestamp,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,
        )


async def redeliver(
    settings: Settings, routes: Sequence[Route], stop: asyncio.Event, unusable: UnusableRecords
) -> dict[str, dict[str, int]]:
    """Deliver the dead letters of these routes, in order and once each.

    Events that fail again are appended to the topic as new dead letters. The position of each route is committed, so
    that the next call resumes there. Records that no notifier wrote are counted in `unusable` and skipped.

    Returns:
        Number of events by outcome, by route.
    """
    topic = name_of(UNDELIVERED, settings)
    existing = (await verify_topics(settings))[topic]
    tps, outcomes = topic_partitions(topic, existing.partitions), {}
    async with dead_letter_producer(settings, existing.limit_bytes) as dead_letters:
        for route in routes:
            async with new_session(route) as session:
                delivery = Delivery(route, Sender(route, session), topic, dead_letters.write)
                await _redeliver_route(settings, delivery, tps, stop, unusable)
            outcomes[route.name] = {outcome: delivery.outcomes[outcome] for outcome in EVENT_OUTCOMES}
    return outcomes


async def _redeliver_route(
    settings: Settings,
    delivery: Delivery,
    tps: list[TopicPartition],
    stop: asyncio.Event,
    unusable: UnusableRecords,
) -> None:
    # Route names cannot contain a full stop, so that this group name never collides with that of a route.
    consumer = group_consumer(settings, "notify", settings.notify_group(f"{delivery.route.name}.again"))
    try:
        await consumer.start()
        spans = await spans_of(consumer, tps)
        for tp, (first, end) in spans.items():
            start = max(await consumer.committed(tp) or 0, first)
            if start < end and not stop.is_set():
                work = Redelivery(delivery, stop, unusable)
                await _redeliver_partition(consumer, work, tp, start=start, end=end)
    finally:
        await stop_consumer(consumer)


class Redelivery(NamedTuple):
    """What the partitions of a route have in common."""

    delivery: Delivery
    stop: asyncio.Event
    unusable: UnusableRecords


async def _redeliver_partition(
    consumer: AIOKafkaConsumer, work: Redelivery, tp: TopicPartition, *, start: int, end: int
) -> None:
    route, stop = work.delivery.route.name.encode(), work.stop
    consumer.assign([tp])
    consumer.seek(tp, start)
    while start < end and not stop.is_set():
        for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)).get(tp, ()):
            if record.offset >= end or stop.is_set():
                return
            if dict(record.headers).get(ROUTE) == route and not await _redeliver_record(work, record):
                return
            start = record.offset + 1
            await consumer.commit({tp: OffsetAndMetadata(start, "")})
        start = max(start, await consumer.position(tp))


async def _redeliver_record(work: Redelivery, record: Any) -> bool:
    """Deliver one record. Returns False if `stop` was set first."""
    event = work.unusable.use(record, OriginalRecord.of)
    if event is None:
        return True  # not written by a notifier: leave it in the topic
    delivering = asyncio.ensure_future(work.delivery.deliver(event))
    stopped = asyncio.ensure_future(work.stop.wait())
    await asyncio.wait((delivering, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not delivering.done():
        delivering.cancel()
        return False
    return delivering.result()
