"""Kafka record batches as bytes: encoded by one process, sent in another one's transaction.

Producer id, epoch, sequence and timestamps are in the header of a batch, which is not compressed, so the sender fills
them in (https://kafka.apache.org/documentation/#recordbatch).

Tested by tests/streams/engine/test_record_batch.py and tests/broker/test_record_batches.py.
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

# Below the brokers' default limit of 1,048,588 bytes for a batch. A larger record is a batch of its own.
BATCH_BYTES: Final = 1_000_000
# Fields of the header, and their offsets.
_CRC: Final = struct.Struct(">I"), 17
_CHECKED_FROM: Final = 21
# First and newest timestamp; each record stores its difference to the first.
_TIMES: Final = struct.Struct(">qq"), 27
_PRODUCER: Final = struct.Struct(">qhi"), 43

KeyValue = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """An encoded batch of one partition: the number of its records, and its bytes."""

    topic: str
    partition: int
    count: int
    data: bytes


def encode_batches(records: Sequence[KeyValue], compression: str | None) -> list[tuple[int, bytes]]:
    """Encode records in order as batches of a transaction: (number of records, bytes) of each.

    The size limit holds for the uncompressed batch, because a broker recompresses batches if the topic's
    `compression.type` requires it.

    Args:
        records: keys and values.
        compression: aiokafka's name of it, None for none.
    """
    codec, batches, begin = codec_of(compression), [], 0
    while begin < len(records):
        builder = DefaultRecordBatchBuilder(
            2,  # version of the record format
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
                break  # full; the first record is always accepted, whatever its size
            count += 1
        batches.append((count, bytes(builder.build())))
        begin += count
    return batches


class PreencodedBatch:
    """An encoded batch with the interface of `aiokafka.producer.message_accumulator.BatchBuilder`.

    Args:
        batch: the batch.
        timestamp_ms: of all its records.
    """

    def __init__(self, batch: EncodedBatch, timestamp_ms: int) -> None:
        self._count = batch.count
        self._data = bytearray(batch.data)
        times, offset = _TIMES
        times.pack_into(self._data, offset, timestamp_ms, timestamp_ms)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        producer, offset = _PRODUCER
        producer.pack_into(self._data, offset, producer_id, producer_epoch, base_sequence)
        crc, offset = _CRC
        crc.pack_into(self._data, offset, calc_crc32c(self._data[_CHECKED_FROM:]))

    def _build(self) -> bytearray:
        return self._data

    def append(self, **_: Any) -> None:
        """Reject further appends."""
        return

    def close(self) -> None:
        """Do nothing: it is always closed."""

    def closed(self) -> bool:
        """Return True."""
        return True

    def size(self) -> int:
        """Return its size in bytes."""
        return len(self._data)

    def record_count(self) -> int:
        """Return the number of its records."""
        return self._count
