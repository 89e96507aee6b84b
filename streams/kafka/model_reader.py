"""Read the newest model snapshot that can be used before a worker is ready, and follow newer ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import SnapshotRefused
from streams.health import Check
from streams.kafka.aiokafka_internals import stop_consumer
from streams.logs import get_logger
from streams.settings import Settings
from streams.topics import MODEL, SNAPSHOT_LIMIT_BYTES, name_of

log = get_logger(__name__)

# Header of a snapshot: offset of the first label that it has not learned.
LABELS_OFFSET_HEADER = "churn.labels.offset"
# Header of a snapshot: id of the labels topic that the offset belongs to, in hexadecimal. Earlier releases wrote none.
LABELS_TOPIC_HEADER = "churn.labels.topic"
_POLL_MS = 500
# Prevents a busy loop while the topic cannot be read.
_RETRY_S = 1.0
# Digits of an offset: 2^63 has 19.
_OFFSET_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class PublishedSnapshot:
    """A published model.

    Attributes:
        value: its bytes (data, never code).
        labels_offset: the next offset of the labels topic to learn from.
        written_ms: the record's timestamp.
        labels_topic: id of the topic that `labels_offset` belongs to, in hexadecimal; empty if it is not known.
    """

    value: bytes
    labels_offset: int
    written_ms: int = 0
    labels_topic: bytes = b""


def labels_offset_of(record: Any) -> int:
    """Return the labels offset in a snapshot's header.

    Raises:
        SnapshotRefused: it has none.
    """
    text: Any = dict(record.headers).get(LABELS_OFFSET_HEADER) or b""  # a header's value may be null
    if not (text.isdigit() and len(text) <= _OFFSET_DIGITS):
        raise SnapshotRefused(f"its header {LABELS_OFFSET_HEADER} is not an offset")
    return int(text)


class ModelReader:
    """Follows the model topic without a group: every worker reads all of it (`streams.engine.contract.SideInput`).

    A snapshot that cannot be used is counted, reported once and skipped: another program may have written it. The
    last one that could be used stays in use.

    Args:
        settings: with the names of topic and model.
        on_snapshot: called with the newest usable snapshot when everything is read, and with every newer one. It
            raises `SnapshotRefused` for one that it cannot use.

    Attributes:
        skipped: snapshots that could not be used.
    """

    def __init__(self, settings: Settings, on_snapshot: Callable[[PublishedSnapshot], None]) -> None:
        self.skipped = 0
        self._settings = settings
        self._on_snapshot = on_snapshot
        self._name = settings.model_name
        self._tp = TopicPartition(name_of(MODEL, settings), 0)
        self._consumer: AIOKafkaConsumer | None = None
        self._read = False
        self._next = 0  # a fetch may be answered after a seek: records before this offset were read already

    async def read_to_end(self) -> PublishedSnapshot | None:
        """Return the newest usable snapshot, None if there is none, after passing it to the callback.

        If the newest one cannot be used, the ones before it are tried: under the model's key, as far as compaction has
        left them, and under the key of each snapshot.
        """
        consumer = self._consumer = AIOKafkaConsumer(
            **self._settings.connection(),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=SNAPSHOT_LIMIT_BYTES,
        )
        await consumer.start()
        consumer.assign([self._tp])
        await consumer.seek_to_beginning(self._tp)
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        newest, earlier = None, list[int]()
        while await consumer.position(self._tp) < end:
            for record in await self._fetch():
                if record.key == self._name.encode() and record.value is not None:
                    newest = record
                if self._is_snapshot(record):
                    earlier.append(record.offset)
        self._next = await consumer.position(self._tp)
        used = None if newest is None else self._use(newest)
        while newest is not None and used is None and earlier:
            if (offset := earlier.pop()) != newest.offset and (record := await self._record_at(offset)) is not None:
                used = self._use(record)
        consumer.seek(self._tp, self._next)
        self._read = True
        return used

    async def follow(self) -> None:
        """Pass every newer snapshot to the callback, until cancelled."""
        while True:
            try:
                records = await self._fetch()
            except KafkaError as failure:
                log.warning(
                    "reading the model topic failed, trying again: %r", failure, topic=self._tp.topic, partition=0
                )
                await asyncio.sleep(_RETRY_S)
                continue
            for record in reversed(records):
                if record.offset < self._next or record.key != self._name.encode() or record.value is None:
                    continue
                if self._use(record) is not None:
                    break  # the earlier ones are outdated
            if records:
                self._next = max(self._next, records[-1].offset + 1)

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    def checks(self) -> list[Check]:
        """Readiness: the topic was read to its end."""
        skipped = f", {self.skipped} unusable snapshots skipped" if self.skipped else ""
        return [Check("models", self._read, f"read{skipped}" if self._read else "the model topic is being read")]

    def _use(self, record: Any) -> PublishedSnapshot | None:
        """Pass a snapshot to the callback; returns None, after a report, if it cannot be used."""
        try:
            topic = dict(record.headers).get(LABELS_TOPIC_HEADER) or b""
            snapshot = PublishedSnapshot(record.value, labels_offset_of(record), record.timestamp, topic)
            self._on_snapshot(snapshot)
        except SnapshotRefused as refusal:
            self.skipped += 1
            log.warning(
                "%s/%d@%d: the snapshot of model %s is skipped: %s",
                self._tp.topic,
                self._tp.partition,
                record.offset,
                self._name,
                refusal,
                topic=self._tp.topic,
                partition=self._tp.partition,
                offset=record.offset,
            )
            return None
        return snapshot

    def _is_snapshot(self, record: Any) -> bool:
        """Whether a record is a snapshot of this model, under the model's key or under its own."""
        key = record.key or b""
        name, _, number = key.rpartition(b"/")
        own = name == self._name.encode() and number == dict(record.headers).get(LABELS_OFFSET_HEADER)
        return record.value is not None and (own or key == self._name.encode())

    async def _fetch(self) -> list[Any]:
        assert self._consumer is not None
        found: list[Any] = (await self._consumer.getmany(timeout_ms=_POLL_MS)).get(self._tp, [])
        return found

    async def _record_at(self, offset: int) -> Any | None:
        """Return the record at an offset, None if compaction has removed it."""
        consumer = self._consumer
        assert consumer is not None
        consumer.seek(self._tp, offset)
        while await consumer.position(self._tp) <= offset:
            for record in (await consumer.getmany(self._tp, timeout_ms=_POLL_MS, max_records=1)).get(self._tp, ()):
                if record.offset >= offset:
                    return record if record.offset == offset else None
        return None
