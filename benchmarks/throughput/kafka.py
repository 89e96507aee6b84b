"""Topics of a measured run, publishing to them, and the progress of a worker over time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.throughput.world import CONFIG
from streams.engine.position import POSITION_KEY, decode_position
from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import consuming, topic_partitions
from streams.settings import Settings, variable
from streams.topics import CHANGELOG, EVENTS, MODEL, TOPICS, create_topics, name_of

PARTITIONS = 4
BROKER = {"log.cleaner.min.compaction.lag.ms": "86400000"}  # keeps a run's changelog uncompacted until it is read
_SHOW_EVERY = 10_000
_POLL_S = 0.25


def settings_of(address: str, run: str, events: str, data_dir: Path, partitions: int = PARTITIONS) -> Settings:
    """Settings of a run: its own group and output topics, and the shared topic of events."""
    roles = [topic.role for topic in TOPICS if topic not in (EVENTS, CHANGELOG)]
    return Settings(
        kafka_bootstrap_servers=address,
        kafka_group_id=run,
        partitions=partitions,
        data_dir=str(data_dir / run),
        config=str(CONFIG),
        log_format="json",  # the end of a takeover is parsed from the log
        topic_events=events,
        **{role: f"{run}-{re.sub('^topic_', '', role)}" for role in roles},  # type: ignore[arg-type]
    )


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    values = {variable(field.name): getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


async def publish_events(
    settings: Settings, events: Sequence[tuple[bytes, bytes]], show: Callable[[int], None]
) -> list[int]:
    """Create all topics and send the events with an ordinary producer. Return the end offset of each partition."""
    await create_topics(settings)
    topic, homes, ends = name_of(EVENTS, settings), {}, [0] * settings.partitions
    producer = AIOKafkaProducer(**settings.connection(), enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        for number, (key, value) in enumerate(events, 1):
            if key not in homes:
                homes[key] = partition_of(key, settings.partitions)
            home = homes[key]
            await producer.send(topic, value, key=key, partition=home)
            ends[home] += 1
            if number % _SHOW_EVERY == 0:
                show(number)
        await producer.flush()
    finally:
        await producer.stop()
    return ends


async def publish_model(settings: Settings, snapshot: bytes) -> None:
    """Create the run's topics and publish a model to score with."""
    await create_topics(settings)
    producer = AIOKafkaProducer(**settings.connection(), max_request_size=2 * len(snapshot) + 1_000_000)
    await producer.start()
    try:
        key, headers = settings.model_name.encode(), [(LABELS_OFFSET_HEADER, b"0")]
        await producer.send_and_wait(name_of(MODEL, settings), snapshot, key=key, headers=headers)
    finally:
        await producer.stop()


async def await_drained(settings: Settings, ends: Sequence[int], check: Callable[[], None], timeout_s: float) -> None:
    """Wait until the workers have committed the end offsets of the events, which they do once per second.

    Raises:
        TimeoutError: The timeout has expired.
    """
    await await_committed(settings, settings.kafka_group_id, name_of(EVENTS, settings), ends, check, timeout_s)


async def await_committed(
    settings: Settings, group: str, topic: str, ends: Sequence[int], check: Callable[[], None], timeout_s: float
) -> None:
    """Wait until a group's committed offsets reach the ends of a topic's partitions.

    Polls every quarter of a second, which does not affect the run. Raises like `await_drained`.
    """
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                check()
                found = {}
                with contextlib.suppress(GroupCoordinatorNotAvailableError):  # for the first group of a new broker
                    found = await admin.list_consumer_group_offsets(group)
                at = {tp.partition: offset.offset for tp, offset in found.items() if tp.topic == topic}
                if all(at.get(number, -1) >= end for number, end in enumerate(ends)):
                    return
                await asyncio.sleep(_POLL_S)
    finally:
        await admin.close()


class Commit(NamedTuple):
    """A transaction of a run: when it was written (worker's clock), and up to which offset its partition is applied."""

    at_s: float
    partition: int
    next_offset: int


async def last_commit(settings: Settings) -> tuple[float, int]:
    """When the run's last transaction was written (wall time, s), and the number of input records applied by then."""
    found = await commits(settings)
    return max(commit.at_s for commit in found), applied(found)


def applied(found: Iterable[Commit]) -> int:
    """Number of input records that these transactions have applied."""
    return sum({commit.partition: commit.next_offset for commit in found}.values())


async def changelog_ends(settings: Settings) -> list[int]:
    """Current end offsets of the changelog's partitions."""
    async with consuming(settings) as consumer:
        tps = topic_partitions(name_of(CHANGELOG, settings), settings.partitions)
        return list((await consumer.end_offsets(tps)).values())


async def commits(settings: Settings, starts: Sequence[int] = ()) -> list[Commit]:
    """Return every transaction of the run, ordered within a partition, from the given changelog offsets on.

    Each transaction ends with a position record in the changelog, whose timestamp is the worker's clock.
    """
    topic = name_of(CHANGELOG, settings)
    found = []
    async with consuming(settings) as consumer:
        tps = topic_partitions(topic, settings.partitions)
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        for tp, start in zip(tps, starts or [0] * len(tps), strict=True):
            consumer.seek(tp, start)
        while not all([await consumer.position(tp) >= ends[tp] for tp in tps]):
            for tp, records in (await consumer.getmany(timeout_ms=200, max_records=20_000)).items():
                for record in records:
                    if record.key == POSITION_KEY:
                        offset = decode_position(record.value).next_offset
                        found.append(Commit(record.timestamp / 1000, tp.partition, offset))
    return found
