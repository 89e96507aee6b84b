"""Dead letters of alerts once more: those that are there now, route by route, and no further."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.engine.contract import Headers
from streams.kafka.group_consumer import group_consumer
from streams.kafka.topic_reader import spans_of, topic_partitions
from streams.notify.delivery import Delivery
from streams.notify.notifier import producing
from streams.notify.outcomes import ENDS
from streams.notify.routes import Route
from streams.notify.sender import Sender, new_session
from streams.scoring.dead_letters import OFFSET, PARTITION, ROUTE, TOPIC, DeadLetter
from streams.settings import Settings
from streams.topics import UNDELIVERED, name_of, verify_topics

_POLL_MS: Final = 500
_BATCH: Final = 100


class Redelivery(NamedTuple):
    """An alert event as it stood in its own topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(cls, record: Any) -> Redelivery:
        """From its dead letter. Raises ValueError if that has no place: somebody else wrote it."""
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        letter = DeadLetter.of(record)
        place = said.get(TOPIC, ""), int(said.get(PARTITION, "")), int(said.get(OFFSET, ""))
        return cls(*place, record.timestamp, letter.key, letter.value, letter.headers)


async def redeliver(settings: Settings, routes: Sequence[Route], stop: asyncio.Event) -> dict[str, dict[str, int]]:
    """Deliver the dead letters of these routes in order, each once; how many ended in which way, by route.

    What is not taken now either is a dead letter again, behind those of before. A position is kept for each route, so
    that the next call begins where this one ended.
    """
    topic = name_of(UNDELIVERED, settings)
    found = (await verify_topics(settings))[topic]
    tps, ends = topic_partitions(topic, found.partitions), {}
    async with producing(settings, found.limit_bytes) as letters:
        for route in routes:
            async with new_session(route) as session:
                delivery = Delivery(route, Sender(route, session), topic, letters.bury)
                await _route(settings, delivery, tps, stop)
            ends[route.name] = {end: delivery.ends[end] for end in ENDS}
    return ends


async def _route(settings: Settings, delivery: Delivery, tps: list[TopicPartition], stop: asyncio.Event) -> None:
    # A name with a full stop: no route has one, and so no group of a route this name.
    consumer = group_consumer(settings, "notify", settings.notify_group(f"{delivery.route.name}.again"))
    await consumer.start()
    try:
        spans = await spans_of(consumer, tps)
        for tp, (first, end) in spans.items():
            start = max(await consumer.committed(tp) or 0, first)
            if start < end and not stop.is_set():
                await _partition(consumer, delivery, tp, start, end, stop)
    finally:
        await consumer.stop()


async def _partition(
    consumer: AIOKafkaConsumer, delivery: Delivery, tp: TopicPartition, start: int, end: int, stop: asyncio.Event
) -> None:
    consumer.assign([tp])
    consumer.seek(tp, start)
    while start < end and not stop.is_set():
        for record in (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_BATCH)).get(tp, ()):
            if record.offset >= end or stop.is_set():
                return
            if dict(record.headers).get(ROUTE) == delivery.route.name.encode() and not await _once(
                delivery, record, stop
            ):
                return
            start = record.offset + 1
            await consumer.commit({tp: OffsetAndMetadata(start, "")})
        start = max(start, await consumer.position(tp))


async def _once(delivery: Delivery, record: Any, stop: asyncio.Event) -> bool:
    """Whether it came to an end before we were told to stop."""
    try:
        event = Redelivery.of(record)
    except ValueError:
        return True  # not one of ours: it stays where it is
    work = asyncio.ensure_future(delivery.deliver(event))
    told = asyncio.ensure_future(stop.wait())
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not work.done():
        work.cancel()
        return False
    return work.result()
