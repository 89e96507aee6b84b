"""Recover local stores from the changelog: resume those that can be, rebuild the others.

Tested by tests/broker/test_recovery.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine import position as position_record
from streams.engine.changelog_reader import changelog_consumer, forward, newest_by_key
from streams.engine.contract import Changes
from streams.engine.damaged_record import damaged, located
from streams.engine.position import POSITION_KEY, Position
from streams.engine.store import MalformedRecord, PartitionStore, StoreDamaged
from streams.errors import ChurnSignalsError, FormatMismatch, RecordDamaged
from streams.failpoints import FAILPOINT, failpoint
from streams.kafka.aiokafka_internals import stop_consumer
from streams.logs import get_logger
from streams.settings import Settings
from streams.topics import TOMBSTONE_RETENTION_MS

log = get_logger(__name__)

_PROGRESS_EVERY_S = 5.0
# A store that was last written earlier is rebuilt, because the changelog may have lost a tombstone that the store has
# not seen. Half of the time for which tombstones are kept: clocks differ, and a broker counts from its own cleaning.
STALE_AFTER_MS = TOMBSTONE_RETENTION_MS // 2

Progress = Callable[[int, int, int], None]
"""(partition, records to go, records in all)."""


async def recover(
    settings: Settings,
    topic: str,
    stores: Mapping[int, PartitionStore],
    progress: Progress = lambda partition, to_go, total: None,
) -> dict[int, Position | None]:
    """Bring the stores up to the end of their changelog partitions; returns the position of each, None for a new one.

    The caller has fenced the partitions, so nothing is appended meanwhile, and every transaction has ended.

    1. Empty the stores that cannot be resumed (too old, offsets outside the log, damaged).
    2. Resume the others from their last position record. If the changelog does not continue that record, it is not the
       store's changelog: empty the store. Empty it as well if it turns out to be damaged.
    3. Load the newest value of every key into the empty stores, from the changelog's end to its start. They become
       valid only when all of it is loaded.

    Args:
        settings: of the process.
        topic: of the changelog.
        stores: by partition.
        progress: called with (partition, records to go, records in all).

    Raises:
        RecordDamaged: a record cannot be used.
        ChurnSignalsError: a store cannot be written, or a position was written by a later release.
    """
    consumer = changelog_consumer(settings)
    try:
        await consumer.start()
        run = _Recovery(consumer, topic, stores, progress)
        return await run.run()
    except RecordDamaged as damage:
        raise await located(settings, damage) from damage
    finally:
        await stop_consumer(consumer)


class _Recovery:
    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, stores: Mapping[int, PartitionStore], progress: Progress
    ) -> None:
        self.consumer = consumer
        self.tps = {number: TopicPartition(topic, number) for number in stores}
        self.topic = topic
        self.stores = stores
        self.progress = progress
        self.to_go: dict[int, int] = {}
        self.totals: dict[int, int] = {}
        self.logged_s = time.monotonic()

    async def run(self) -> dict[int, Position | None]:
        consumer, tps = self.consumer, list(self.tps.values())
        consumer.assign(tps)
        consumer.pause(*tps)  # they are read one after the other
        first = await consumer.beginning_offsets(tps)
        self.end = await consumer.end_offsets(tps)
        resumed = {n for n, tp in self.tps.items() if _can_resume(self.stores[n], first[tp], self.end[tp], tp)}
        rebuilt = set(self.stores) - resumed
        broken = await self._catch_up(resumed)
        for number in sorted(rebuilt | broken):
            self.stores[number].clear()
        await self._rebuild({number: first[self.tps[number]] for number in rebuilt | broken})
        return {number: self._recovered(number) for number in self.stores}

    async def _catch_up(self, numbers: set[int]) -> set[int]:
        """Step 2; returns the partitions whose store does not belong to the changelog or is damaged."""
        changelog_ids: dict[int, bytes | None] = {}
        starts = {}
        for number in numbers:
            position, meta = _position(self.stores[number]), self.stores[number].meta
            assert meta is not None
            changelog_ids[number] = position.changelog_id if position is not None else None
            starts[number] = meta.changelog_offset - 1
        continued: set[int] = set()
        foreign: set[int] = set()

        def apply(number: int, changes: Changes, next_offset: int) -> None:
            if number in foreign:
                return
            try:
                if POSITION_KEY in changes:
                    if self._decoded(number, changes[POSITION_KEY]).changelog_id != changelog_ids[number]:
                        foreign.add(number)
                        return
                    continued.add(number)
                self.stores[number].write(changes, next_offset)
            except (StoreDamaged, RecordDamaged, MalformedRecord) as damage:
                # A newer record may replace a damaged one of the changelog: only the newest ones are loaded.
                _log_damaged(self.stores[number], damage, self.topic, number)
                foreign.add(number)

        self._begin(starts)
        for number, start in starts.items():
            tp = self.tps[number]
            async for chunk in forward(self.consumer, tp, start, self.end[tp]):
                if chunk.next_offset is not None:
                    apply(number, chunk.changes, chunk.next_offset)
                self._report(number, chunk.to_go)
        return numbers - (continued - foreign)

    async def _rebuild(self, starts: Mapping[int, int]) -> None:
        """Step 3."""
        self._begin(starts)
        for number, first in starts.items():
            tp, store, end = self.tps[number], self.stores[number], None
            async for chunk in newest_by_key(self.consumer, tp, first, self.end[tp]):
                try:
                    store.load(chunk.changes)
                except MalformedRecord as record:
                    raise damaged(self.topic, number, record.key, str(record)) from record
                end = chunk.next_offset if end is None else end  # of the newest chunk, which is read first
                self._report(number, chunk.to_go)
            if end is None:
                continue  # a new partition: the changelog is empty
            if self._recovered(number) is None:
                raise ChurnSignalsError(
                    f"changelog {self.topic}/{number} has records and no position: another program wrote to it",
                    topic=self.topic,
                    partition=number,
                )
            store.finish_load(end)

    def _recovered(self, number: int) -> Position | None:
        value = self.stores[number].get(POSITION_KEY)
        return self._decoded(number, value) if value is not None else None

    def _decoded(self, number: int, value: bytes | None) -> Position:
        """Decode a position record.

        Raises:
            RecordDamaged: it is none.
        """
        if value is None:
            raise damaged(self.topic, number, POSITION_KEY, "another program deleted it")
        try:
            return position_record.decode_position(value, f"the position record of {self.topic}/{number}")
        except RecordDamaged as damage:
            raise damaged(self.topic, number, POSITION_KEY, str(damage)) from damage

    def _begin(self, starts: Mapping[int, int]) -> None:
        for number, start in starts.items():
            self.to_go[number] = self.totals[number] = self.end[self.tps[number]] - start
            self.progress(number, self.to_go[number], self.totals[number])

    def _report(self, number: int, to_go: int) -> None:
        self.to_go[number] = to_go
        self.progress(number, to_go, self.totals[number])
        if FAILPOINT:
            failpoint("mid-recovery")
        if time.monotonic() - self.logged_s > _PROGRESS_EVERY_S:
            self.logged_s = time.monotonic()
            left = [records for records in self.to_go.values() if records]
            log.info("recovering %d partitions: %d changelog records to go", len(left), sum(left))


def _can_resume(store: PartitionStore, first: int, end: int, tp: TopicPartition) -> bool:
    try:
        meta = store.meta
        return (
            meta is not None
            and first < meta.changelog_offset <= end
            and _position(store) is not None
            and meta.written_ms > time.time() * 1000 - STALE_AFTER_MS
        )
    except FormatMismatch:
        raise
    except Exception as damage:
        _log_damaged(store, damage, tp.topic, tp.partition)
        return False


def _log_damaged(store: PartitionStore, damage: Exception, topic: str, partition: int) -> None:
    """RocksDB checks what it reads; its binding raises a bare Exception when a byte on disk has changed."""
    log.warning(
        "the store %s cannot be used and is rebuilt from the changelog: %s",
        store.directory,
        str(damage),
        topic=topic,
        partition=partition,
    )


def _position(store: PartitionStore) -> Position | None:
    value = store.get(POSITION_KEY)
    return position_record.decode_position(value) if value is not None else None
