"""Read a partition's changelog into its local store: in batches, read committed, judged by the consumer's position."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams import position as position_record
from streams.errors import ChurnSignalsError
from streams.failpoints import FAILPOINT, failpoint
from streams.logs import get_logger
from streams.position import POSITION_KEY, Position
from streams.settings import Settings
from streams.store import PartitionStore, StoreDamaged
from streams.topics import TOMBSTONE_RETENTION_MS

log = get_logger(__name__)

# One write batch each: 1,000,000 records of 600 bytes take some 6 s in such batches, 146 s one by one.
_BATCH_RECORDS = 20_000
_FETCH_BYTES = 8 * 1024 * 1024
_PROGRESS_EVERY_S = 5.0
_POLL_MS = 500
# A store that was not written for longer is rebuilt: a removal that it has not seen may be gone from the changelog.
# Half of the time for which removals are kept: clocks differ, and a broker counts from its own cleaning.
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

    The caller has fenced the partitions: nothing is appended while this reads, and every transaction has ended.

    1. A store that cannot be caught up (too old, offsets outside the log, damaged) is emptied.
    2. The others are read from their last position record on. If what is read does not continue that record, the
       changelog is another one than the store's: the store is emptied. So is one that turns out to be damaged.
    3. Emptied stores are read from the beginning: values first, deadlines at the end, valid only then.

    Raises:
        ChurnSignalsError: the store cannot be written, or a position is from a later version.
    """
    consumer = AIOKafkaConsumer(
        **settings.connection(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=settings.kafka_request_timeout_ms,
    )
    try:
        await consumer.start()
        run = _Recovery(consumer, topic, stores, progress)
        return await run.run()
    finally:
        await consumer.stop()


class _Recovery:
    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, stores: Mapping[int, PartitionStore], progress: Progress
    ) -> None:
        self.consumer = consumer
        self.tps = {number: TopicPartition(topic, number) for number in stores}
        self.topic = topic
        self.stores = stores
        self.progress = progress

    async def run(self) -> dict[int, Position | None]:
        consumer, tps = self.consumer, list(self.tps.values())
        consumer.assign(tps)
        first = await consumer.beginning_offsets(tps)
        self.end = await consumer.end_offsets(tps)
        resumed = {n for n, tp in self.tps.items() if _can_resume(self.stores[n], first[tp], self.end[tp], tp)}
        rebuilt = set(self.stores) - resumed
        broken = await self._catch_up(resumed)
        for number in sorted(rebuilt | broken):
            self.stores[number].clear()
        await self._rebuild({number: first[self.tps[number]] for number in rebuilt | broken})
        return {number: _position(store) for number, store in self.stores.items()}

    async def _catch_up(self, numbers: set[int]) -> set[int]:
        """Read on from the last position record; returns the partitions whose changelog is another one."""
        births: dict[int, bytes | None] = {}
        starts = {}
        for number in numbers:
            position, meta = _position(self.stores[number]), self.stores[number].meta
            assert meta is not None
            births[number] = position.birth if position is not None else None
            starts[number] = meta.changelog_offset - 1
        continued: set[int] = set()
        foreign: set[int] = set()

        def apply(number: int, records: list[Any]) -> None:
            if number in foreign:
                return
            positions = [record.value for record in records if record.key == POSITION_KEY and record.value is not None]
            for value in positions:
                if position_record.decode(value).birth != births[number]:
                    foreign.add(number)
                    return
            if positions:
                continued.add(number)
            try:
                self.stores[number].write({record.key: record.value for record in records}, records[-1].offset + 1)
            except StoreDamaged as damage:
                _say_damaged(self.stores[number], damage, self.topic, number)
                foreign.add(number)

        await self._read(starts, apply)
        return numbers - (continued - foreign)

    async def _rebuild(self, starts: Mapping[int, int]) -> None:
        ends: dict[int, int] = {}

        def apply(number: int, records: list[Any]) -> None:
            self.stores[number].load({record.key: record.value for record in records})
            ends[number] = records[-1].offset + 1

        await self._read(starts, apply)
        for number, end in ends.items():
            if _position(self.stores[number]) is None:
                raise ChurnSignalsError(
                    f"changelog {self.topic}/{number} has records and no position: another program wrote to it",
                    topic=self.topic,
                    partition=number,
                )
            self.stores[number].finish_load(end)

    async def _read(self, starts: Mapping[int, int], apply: Callable[[int, list[Any]], None]) -> None:
        """Until the *position* has reached the end: the last offset may be a marker, which is never delivered."""
        if not starts:
            return
        consumer = self.consumer
        waiting = {self.tps[number]: number for number in starts}
        consumer.pause(*[tp for tp in self.tps.values() if tp not in waiting])
        consumer.resume(*waiting)
        for tp, number in waiting.items():
            consumer.seek(tp, starts[number])
        totals = {number: self.end[tp] - starts[number] for tp, number in waiting.items()}
        said = time.monotonic()
        while waiting:
            for tp in [tp for tp in waiting if await consumer.position(tp) >= self.end[tp]]:
                self.progress(waiting[tp], 0, totals[waiting[tp]])
                consumer.pause(tp)
                del waiting[tp]
            if not waiting:
                return
            for tp, records in (
                await consumer.getmany(*waiting, timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
            ).items():
                if records:
                    apply(waiting[tp], records)
                    if FAILPOINT:
                        failpoint("mid-recovery")
            for tp, number in waiting.items():
                self.progress(number, max(0, self.end[tp] - await consumer.position(tp)), totals[number])
            if time.monotonic() - said > _PROGRESS_EVERY_S:
                said = time.monotonic()
                to_go = sum([max(0, self.end[tp] - await consumer.position(tp)) for tp in waiting])
                log.info("recovering %d partitions: %d changelog records to go", len(waiting), to_go)


def _can_resume(store: PartitionStore, first: int, end: int, tp: TopicPartition) -> bool:
    try:
        meta = store.meta
        return (
            meta is not None
            and first < meta.changelog_offset <= end
            and _position(store) is not None
            and meta.written_ms > time.time() * 1000 - STALE_AFTER_MS
        )
    except ChurnSignalsError:
        raise  # a position of a later version
    except Exception as damage:
        _say_damaged(store, damage, tp.topic, tp.partition)
        return False


def _say_damaged(store: PartitionStore, damage: Exception, topic: str, partition: int) -> None:
    """RocksDB checks what it reads; its binding raises a bare Exception when the disk has changed a byte."""
    log.warning(
        "the store %s is damaged and is rebuilt from the changelog: %s",
        store.directory,
        str(damage),
        topic=topic,
        partition=partition,
    )


def _position(store: PartitionStore) -> Position | None:
    value = store.get(POSITION_KEY)
    return position_record.decode(value) if value is not None else None
