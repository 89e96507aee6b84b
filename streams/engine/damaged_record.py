"""Name a record of the changelog that cannot be used: topic, partition, offset, key, and the command that helps.

A key contains a customer's id, which no log may show. It is named by its first letter and a hash, which the command
accepts as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

import xxhash
from aiokafka.errors import KafkaError

from streams.engine.position import POSITION_KEY
from streams.errors import ChurnSignalsError, RecordDamaged
from streams.kafka.topic_reader import newest_where
from streams.settings import Settings

# The name of the one key that belongs to no customer.
POSITION_NAME: Final = "position"
# Prevents a search through a long changelog from delaying the report: without the offset, it is as useful.
_SEARCH_S: Final = 10.0


def key_name(key: bytes) -> str:
    """Return the name of a store key in logs and on the command line.

    >>> key_name(b"calice"), key_name(POSITION_KEY)
    ('c:0ee8bb634efbe036', 'position')
    """
    if key == POSITION_KEY:
        return POSITION_NAME
    return f"{key[:1].decode('ascii', 'replace')}:{xxhash.xxh3_64_hexdigest(key)}"


def damaged(topic: str, partition: int, key: bytes, why: str, offset: int | None = None) -> RecordDamaged:
    """Return the error for a record that cannot be used.

    Args:
        topic, partition: of the changelog.
        key: of the record.
        why: completes "cannot be used: ".
        offset: of the record; None if it is not known yet (`located`).
    """
    name = key_name(key)
    location: dict[str, str | int] = {"topic": topic, "partition": partition, "key": name}
    if offset is not None:
        location["offset"] = offset
    error = RecordDamaged(
        f"{topic}/{partition}{'' if offset is None else f'@{offset}'}: the record {name} cannot be used: {why};"
        f" see: churn-signals changelog show --partition {partition} --key {name}",
        **location,
    )
    error.record = (topic, partition, key, why)
    return error


async def with_offset(settings: Settings, work: Awaitable[None]) -> None:
    """Await `work`; if it fails at a record, raise the error with the record's offset (`located`)."""
    try:
        await work
    except RecordDamaged as damage:
        raise await located(settings, damage) from damage


async def located(settings: Settings, error: RecordDamaged) -> RecordDamaged:
    """Return the same error with the record's offset, or as it is if the record is not found in time."""
    if error.record is None or "offset" in error.location:
        return error
    topic, partition, key, why = error.record
    try:
        async with asyncio.timeout(_SEARCH_S):
            record = await newest_where(settings, topic, partition, lambda found: found.key == key)
    except (KafkaError, TimeoutError, OSError, ChurnSignalsError):
        return error
    return error if record is None else damaged(topic, partition, key, why, record.offset)
