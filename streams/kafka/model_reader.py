"""Read the newest model snapshot before a worker is ready, and follow newer ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

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


class ModelReader:
    """Follows the model topic without a group: every worker reads all of it (`streams.engine.contract.SideInput`).

    Args:
        settings: with the names of topic and model.
        on_snapshot: called with the newest snapshot when everything is read, and with every newer one. An exception
            ends the reader: a worker must not score with a snapshot that it cannot read.
    """

    def __init__(self, settings: Settings, on_snapshot: Callable[[PublishedSnapshot], None]) -> None:
        self._settings = settings
        self._on_snapshot = on_snapshot
        self._key = settings.model_name.encode()
        self._tp = TopicPartition(name_of(MODEL, settings), 0)
        self._consumer: AIOKafkaConsumer | None = None
        self._read = False

    async def read_to_end(self) -> PublishedSnapshot | None:
        """Return the newest snapshot, None if there is none, after passing it to the callback."""
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
        newest: PublishedSnapshot | None = None
        while await consumer.position(self._tp) < end:
            newest = await self._poll() or newest
        if newest is not None:
            self._on_snapshot(newest)
        self._read = True
        return newest

    async def follow(self) -> None:
        """Pass every newer snapshot to the callback, until cancelled."""
        while True:
            try:
                newest = await self._poll()
            except KafkaError as failure:
                log.warning(
                    "reading the model topic failed, trying again: %r", failure, topic=self._tp.topic, partition=0
                )
                await asyncio.sleep(_RETRY_S)
                continue
            if newest is not None:
                self._on_snapshot(newest)

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    def checks(self) -> list[Check]:
        """Readiness: the topic was read to its end."""
        return [Check("models", self._read, "read" if self._read else "the model topic is being read")]

    async def _poll(self) -> PublishedSnapshot | None:
        assert self._consumer is not None
        newest = None
        for record in (await self._consumer.getmany(timeout_ms=_POLL_MS)).get(self._tp, ()):
            if record.key == self._key and record.value is not None:
                headers = dict(record.headers)
                newest = PublishedSnapshot(
                    record.value,
                    int(headers.get(LABELS_OFFSET_HEADER, b"0")),
                    record.timestamp,
                    headers.get(LABELS_TOPIC_HEADER, b""),
                )
        return newest
