"""Reading a changelog's partition: forward from an offset, or the newest value of every key, from its end backwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.contract import Changes
from streams.kafka.aiokafka_internals import drain_as_parsed
from streams.settings import Settings

# What follows the end of a piece is read in vain, half a fetch for every piece; compressed, this is 4 MB of profiles.
_FETCH_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024 * 1024
_FIRST_OFFSETS = 2_000
# Records further back may be larger than those by which a piece was measured: one of so many times as much is given up.
_TOO_LARGE = 4
# Also what it takes to see that a marker, which is never delivered, was all that was left.
_POLL_MS = 20
# The next fetch is sent within this time, so that the broker works on it while the piece is loaded.
_SEND_S = 0.001


class ChangelogChunk(NamedTuple):
    """Some of a changelog.

    Attributes:
        to_go: how many offsets are left to read.
        changes: by key; None is a removal.
        next_offset: the one after the last record; None if there is no record.
    """

    to_go: int
    changes: Changes
    next_offset: int | None


def changelog_consumer(settings: Settings) -> AIOKafkaConsumer:
    """A consumer without a group for `forward` and `newest_by_key`: reads committed, one partition after the other."""
    return AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=settings.kafka_request_timeout_ms,
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,  # a marker alone may be all that is left
    )


async def forward(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[ChangelogChunk]:
    """What lies between two offsets, in order.

    The end is reached when the consumer's *position* is there: the last offset may be a marker, which is never
    delivered.
    """
    consumer.seek(tp, start)
    consumer.resume(tp)
    position = start
    while position < end:
        records = _before(end, await _fetched(consumer, tp))
        position = await consumer.position(tp)
        if position >= end:
            consumer.pause(tp)  # before anything is awaited: nothing more is asked for
        changes = {record.key: record.value for record in records}
        yield ChangelogChunk(max(0, end - position), changes, records[-1].offset + 1 if records else None)


async def newest_by_key(
    consumer: AIOKafkaConsumer, tp: TopicPartition, first: int, end: int
) -> AsyncIterator[ChangelogChunk]:
    """Every key with its newest value, exactly once.

    Pieces are read from the end of the partition to its start, and what was seen in a newer one is left out: what
    a key had before is decoded, and nothing more is done with it. The keys are kept for that, some 100 bytes each.
    """
    seen: set[bytes] = set()
    offsets = _FIRST_OFFSETS
    start = max(first, end - offsets)
    consumer.seek(tp, start)
    consumer.resume(tp)
    while first < end:
        piece, size = await _piece(consumer, tp, start, end)
        fits = max(_FIRST_OFFSETS, int((end - piece.to_go - start) * _PIECE_BYTES / max(size, 1)))
        if piece.to_go:
            offsets = min(fits, (end - start) // 2)  # the same end again, from nearer by
        else:
            offsets, end = min(fits, 4 * offsets), start
        start = max(first, end - offsets)
        # Before anything is awaited, so that the next fetch is for the next piece, and none is for nothing.
        if first < end:
            consumer.seek(tp, start)
        else:
            consumer.pause(tp)
        if piece.to_go:
            continue
        fresh = {key: value for key, value in piece.changes.items() if key not in seen}
        seen.update(fresh)
        await asyncio.sleep(_SEND_S)
        yield ChangelogChunk(end - first, fresh, piece.next_offset)


async def _piece(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> tuple[ChangelogChunk, int]:
    """All between two offsets, and its bytes; offsets are left to go if these were far too many."""
    changes: dict[bytes, bytes | None] = {}
    position, size, next_offset = start, 0, None
    while position < end and size <= _TOO_LARGE * _PIECE_BYTES:
        records = _before(end, await _fetched(consumer, tp))
        position = await consumer.position(tp)
        if records:
            changes.update([(record.key, record.value) for record in records])
            size += sum([len(record.value or b"") + len(record.key) for record in records])
            next_offset = records[-1].offset + 1
    return ChangelogChunk(max(0, end - position), changes, next_offset), size


async def _fetched(consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[Any]:
    """All that one fetch brought; nothing if nothing came in time. Does not suspend once records are taken."""
    one = (await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=1)).get(tp, [])
    return one + await drain_as_parsed(consumer, tp) if one else one


def _before(end: int, records: list[Any]) -> list[Any]:
    if not records or records[-1].offset < end:
        return records
    return [record for record in records if record.offset < end]
