"""Read a changelog partition: forward from an offset, or the newest value of every key, from the end backwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.contract import Changes
from streams.kafka.aiokafka_internals import drain_as_parsed
from streams.settings import Settings

# Every chunk wastes half a fetch, which returns records after its end. Compressed, this is 4 MB of profiles.
_FETCH_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024 * 1024
_FIRST_OFFSETS = 2_000
# Earlier records may be larger than those that a chunk was sized by: a chunk this many times too large is split.
_TOO_LARGE = 4
# Also the time to find out that only a transaction marker, which is never delivered, was left.
_POLL_MS = 20
# Lets the consumer send the next fetch, so that the broker works on it while the chunk is loaded.
_SEND_S = 0.001


class ChangelogChunk(NamedTuple):
    """A part of a changelog partition.

    Attributes:
        to_go: offsets left to read.
        changes: by key; None for a tombstone.
        next_offset: offset after the last record; None if there is no record.
    """

    to_go: int
    changes: Changes
    next_offset: int | None


def changelog_consumer(settings: Settings) -> AIOKafkaConsumer:
    """Create a consumer without a group, for `forward` and `newest_by_key`."""
    return AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=settings.kafka_request_timeout_ms,
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,  # only a marker may be left, which no fetch returns
    )


async def forward(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[ChangelogChunk]:
    """Read what is between two offsets, in order.

    It ends when the consumer's *position* reaches the end, because the last offset may be a marker, which is never
    delivered.
    """
    consumer.seek(tp, start)
    consumer.resume(tp)
    position = start
    while position < end:
        records = _before(end, await _fetched(consumer, tp))
        position = await consumer.position(tp)
        if position >= end:
            consumer.pause(tp)  # before the next await, so that nothing more is fetched
        changes = {record.key: record.value for record in records}
        yield ChangelogChunk(max(0, end - position), changes, records[-1].offset + 1 if records else None)


async def newest_by_key(
    consumer: AIOKafkaConsumer, tp: TopicPartition, first: int, end: int
) -> AsyncIterator[ChangelogChunk]:
    """Read the newest value of every key, each exactly once.

    Chunks are read from the end of the partition to its start, and keys that a newer chunk contained are skipped. The
    keys are remembered for that, some 100 bytes each.
    """
    seen: set[bytes] = set()
    offsets = _FIRST_OFFSETS
    start = max(first, end - offsets)
    consumer.seek(tp, start)
    consumer.resume(tp)
    while first < end:
        chunk, size = await _read_chunk(consumer, tp, start, end)
        fits = max(_FIRST_OFFSETS, int((end - chunk.to_go - start) * _CHUNK_BYTES / max(size, 1)))
        if chunk.to_go:
            offsets = min(fits, (end - start) // 2)  # read again up to the same end, from a later start
        else:
            offsets, end = min(fits, 4 * offsets), start
        start = max(first, end - offsets)
        # Before the next await, so that the next fetch is for the next chunk, and none is wasted.
        if first < end:
            consumer.seek(tp, start)
        else:
            consumer.pause(tp)
        if chunk.to_go:
            continue
        fresh = {key: value for key, value in chunk.changes.items() if key not in seen}
        seen.update(fresh)
        await asyncio.sleep(_SEND_S)
        yield ChangelogChunk(end - first, fresh, chunk.next_offset)


async def _read_chunk(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> tuple[ChangelogChunk, int]:
    """Read all between two offsets; returns it and its size. If it is far too large, offsets are left to go."""
    changes: dict[bytes, bytes | None] = {}
    position, size, next_offset = start, 0, None
    while position < end and size <= _TOO_LARGE * _CHUNK_BYTES:
        records = _before(end, await _fetched(consumer, tp))
        position = await consumer.position(tp)
        if records:
            changes.update([(record.key, record.value) for record in records])
            size += sum([len(record.value or b"") + len(record.key) for record in records])
            next_offset = records[-1].offset + 1
    return ChangelogChunk(max(0, end - position), changes, next_offset), size


async def _fetched(consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[Any]:
    """Return the records of one fetch, none if it returned none in time. Does not suspend after taking records."""
    first = (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=1)).get(tp, [])
    return first + await drain_as_parsed(consumer, tp) if first else first


def _before(end: int, records: list[Any]) -> list[Any]:
    if not records or records[-1].offset < end:
        return records
    return [record for record in records if record.offset < end]
