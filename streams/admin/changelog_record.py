"""Show and drop one record of the changelog, for an operator whose worker stops at it.

Tested by tests/broker/test_changelog_command.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.pipeline.stored_record import dropped_with, named, owner_of, read_stored
from models.profile.codec import ProfileError
from streams.admin.reset import check_stopped
from streams.engine.damaged_record import POSITION_NAME, key_name
from streams.engine.position import POSITION_KEY, decode_position
from streams.engine.transactions import FencedProducer
from streams.errors import ChurnSignalsError, FormatMismatch, RecordDamaged
from streams.kafka.topic_reader import newest_where
from streams.settings import Settings
from streams.topics import CHANGELOG, EVENTS, find_topics, name_of


@dataclass(frozen=True)
class ChangelogRecord:
    """The newest record of a key.

    Attributes:
        topic, partition, offset: where it is.
        written_ms: its timestamp.
        key: of the store; it contains the customer's id.
        value: as written; None if the key was deleted.
        content: the decoded value; None if it was deleted or cannot be used.
        problem: why the value cannot be used; None if it can.
    """

    topic: str
    partition: int
    offset: int
    written_ms: int
    key: bytes
    value: bytes | None
    content: Any
    problem: str | None


async def find_record(settings: Settings, partition: int, name: str) -> ChangelogRecord:
    """Find the newest record of a key.

    Args:
        settings: of the group.
        partition: of the changelog.
        name: as in the worker's message, for instance `c:0ee8bb634efbe036`, or the key itself, for instance `calice`.

    Raises:
        ChurnSignalsError: there is none.
    """
    topic, plain = name_of(CHANGELOG, settings), name.encode()

    def wanted(record: Any) -> bool:
        key = record.key or b""
        return key == plain or ((key[:1] == plain[:1] or name == POSITION_NAME) and key_name(key) == name)

    record = await newest_where(settings, topic, partition, wanted)
    if record is None:
        raise ChurnSignalsError(f"{topic}/{partition} has no record with the key {name!r}")
    content, problem = None, None
    if record.value is not None:
        try:
            content = _content(record.key, record.value)
        except (ProfileError, FormatMismatch, RecordDamaged) as error:
            problem = str(error)
    return ChangelogRecord(
        topic, partition, record.offset, record.timestamp, record.key, record.value, content, problem
    )


async def drop_record(settings: Settings, record: ChangelogRecord) -> int:
    """Delete the record of a key from the state of a stopped group; returns the offset of what is written.

    1. Check that the group has no members.
    2. Fence the partition: an owner that was paused, for example by SIGSTOP, can no longer commit.
    3. Write the deletion and the position, which stays where it is, in one transaction: every transaction of a
       changelog ends with the position.

    A position that cannot be used is replaced by the one before it, if no other record follows that one: then another
    program wrote what follows, because a worker's transaction ends with a position.

    Local stores apply the deletion at the next takeover.

    Raises:
        GroupAlive: the group has members; nothing was changed.
        ChurnSignalsError: the key has a newer record, or there is no position to continue from.
    """
    topic, partition, events = record.topic, record.partition, name_of(EVENTS, settings)
    await check_stopped(settings, (await find_topics(settings))[events].partitions)
    producer = await FencedProducer.open(settings, f"{settings.kafka_group_id}/worker/{events}/{partition}")
    try:
        newest = await newest_where(settings, topic, partition, lambda found: found.key == record.key)
        if newest is None or newest.offset != record.offset:
            raise ChurnSignalsError(f"the key has a newer record in {topic}/{partition}; look at it first")
        if record.key == POSITION_KEY:
            changes = await _position_before(settings, record)
        else:
            changes = await _without(settings, record)
        end = await producer.commit([], (topic, partition), changes)
    finally:
        await producer.close()
    return end - len(changes)


async def _without(settings: Settings, record: ChangelogRecord) -> dict[bytes, bytes | None]:
    """The changes that delete a record and keep the position."""
    topic, partition, owner_key = record.topic, record.partition, owner_of(record.key)
    position = await newest_where(settings, topic, partition, lambda found: found.key == POSITION_KEY)
    if position is None or not _is_position(position.value):
        raise ChurnSignalsError(f"{topic}/{partition} has no position that can be used; look at the key position first")
    owner = await newest_where(settings, topic, partition, lambda found: found.key == owner_key)
    return {**dropped_with(record.key, None if owner is None else owner.value), POSITION_KEY: position.value}


async def _position_before(settings: Settings, record: ChangelogRecord) -> dict[bytes, bytes | None]:
    """The changes that restore the position of the last transaction of a worker."""
    topic, partition = record.topic, record.partition
    where = f"the position {topic}/{partition}@{record.offset}"
    if _is_position(record.value):
        raise ChurnSignalsError(f"{where} can be used. To start again from the first event, run churn-signals reset")
    found = await newest_where(
        settings, topic, partition, lambda found: found.key != POSITION_KEY or _is_position(found.value)
    )
    if found is None or found.key != POSITION_KEY:
        raise ChurnSignalsError(
            f"{where} cannot be replaced: no position before it is left that no other record follows. Start a new"
            " group, or clear this one with: churn-signals reset"
        )
    return {POSITION_KEY: found.value}


def _is_position(value: bytes | None) -> bool:
    try:
        return value is not None and bool(decode_position(value))
    except (FormatMismatch, RecordDamaged):
        return False


def _content(key: bytes, value: bytes) -> Any:
    if key == POSITION_KEY:
        return named(decode_position(value))
    return read_stored(key, value)
