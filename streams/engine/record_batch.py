"""Batches of Kafka records as bytes: made by one process, sent by another one's transaction.

A producer's number, its epoch, the sequence and the time of writing stand in a batch's header, outside of what is
compressed, so that whoever sends a batch fills them in (https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.kafka.aiokafka_internals import codec_of

# Below the brokers' default of 1,048,588 bytes for a batch of records; one record above it travels alone.
BATCH_BYTES: Final = 1_000_000
# Where these stand in the header.
_CRC: Final = struct.Struct(">I"), 17
_CHECKED_FROM: Final = 21
# The first and the newest; a record has its difference to the first.
_TIMES: Final = struct.Struct(">qq"), 27
_PRODUCER: Final = struct.Struct(">qhi"), 43

KeyValue = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Records of one partition: how many, and their bytes."""

    topic: str
    partition: int
    count: int
    data: bytes


def encode_batches(records: Sequence[KeyValue], compression: str | None) -> list[tuple[int, bytes]]:
    """The records in order as batches of a transaction: how many are in each, and its bytes.

    A batch is one that a topic takes also unpacked: brokers pack anew where a topic says so (`compression.type`).

    Args:
        compression: aiokafka's name of it.
    """
    codec, batches, begin = codec_of(compression), [], 0
    while begin < len(records):
        builder = DefaultRecordBatchBuilder(
            2,  # the format of records
            codec,
            is_transactional=1,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=BATCH_BYTES,
        )
        count = 0
        for key, value in islice(records, begin, None):
            if builder.append(count, 0, key, value, []) is None:
                break  # full; the first is always taken, however large
            count += 1
        batches.append((count, bytes(builder.build())))
        begin += count
    return batches


class PreencodedBatch:
    """An encoded batch as aiokafka's producer takes it (`aiokafka.producer.message_accumulator.BatchBuilder`).

    Args:
        timestamp_ms: of all its records.
    """

    def __init__(self, batch: EncodedBatch, timestamp_ms: int) -> None:
        self._count = batch.count
        self._data = bytearray(batch.data)
        times, at = _TIMES
        times.pack_into(self._data, at, timestamp_ms, timestamp_ms)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        producer, at = _PRODUCER
        producer.pack_into(self._data, at, producer_id, producer_epoch, base_sequence)
        crc, at = _CRC
        crc.pack_into(self._data, at, calc_crc32c(self._data[_CHECKED_FROM:]))

    def _build(self) -> bytearray:
        return self._data

    def append(self, **_: Any) -> None:
        """It is full."""
        return

    def close(self) -> None:
        """It is closed."""

    def closed(self) -> bool:
        """It is."""
        return True

    def size(self) -> int:
        """Bytes."""
        return len(self._data)

    def record_count(self) -> int:
        """How many records."""
        return self._count
