"""Records whose header names are not UTF-8: brokers accept them, so consumers must decode them."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

import streams.kafka
from streams.engine.record_batch import EncodedBatch, PreencodedBatch
from streams.kafka.aiokafka_records import TolerantRecords

NAME = "foreign-name"


def batch_of(
    first: int, headers: list[list[tuple[str, bytes | None]]], codec: int = 0, value: bytes = b"\xff%d"
) -> bytes:
    """A batch of the log with one record for each list of headers; `value` may contain its number."""
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1_000_000
    )
    for number, each in enumerate(headers):
        assert (
            builder.append(number, 1_000 + number, b"k%d" % number, value.replace(b"%d", b"%d" % number), each)
            is not None
        )
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")  # as the broker assigns it, outside the checksum
    return bytes(data)


def foreign(batch: bytes, timestamp_ms: int = 1_000) -> Any:
    """The batch with bytes in the names that are not UTF-8, and a valid checksum, as a producer sends it."""
    changed = PreencodedBatch(EncodedBatch("t", 0, 1, batch.replace(NAME.encode(), b"\xff" * len(NAME))), timestamp_ms)
    changed._set_producer_state(-1, -1, -1)
    return changed


def decoded(records: Any) -> list[tuple[int, bytes, bytes, list[tuple[str, bytes | None]]]]:
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc()
        found += [(record.offset, record.key, record.value, list(record.headers)) for record in batch]
    return found


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_ordinary_batches_are_decoded_as_by_aiokafka(codec: int) -> None:
    data = batch_of(5, [[], [("a", b"1"), ("é", None)], [("a", b"")]], codec) + batch_of(8, [[("b", b"2")]], codec)
    assert decoded(TolerantRecords(data)) == decoded(MemoryRecords(data))
    assert TolerantRecords(data).size_in_bytes() == len(data)


def test_batch_with_a_foreign_header_name_is_decoded_in_full() -> None:
    """Rule: keys, values and offsets are those of the log; the name has replacement characters."""
    strange = bytes(foreign(batch_of(8, [[("a", b"1")], [(NAME, b"\xfe"), ("b", None)], []]))._build())
    data = batch_of(5, [[], [], []]) + strange + batch_of(11, [[("c", b"3")]])
    with pytest.raises(UnicodeDecodeError):
        decoded(MemoryRecords(data))
    found = decoded(TolerantRecords(data))
    assert [offset for offset, *_ in found] == [5, 6, 7, 8, 9, 10, 11]
    assert found[4] == (9, b"k1", b"\xff1", [("\ufffd" * len(NAME), b"\xfe"), ("b", None)])
    assert found[5] == (10, b"k2", b"\xff2", [])
    assert found[6][3] == [("c", b"3")]


def test_all_consumers_use_it() -> None:
    """Rule: importing `streams.kafka` is enough, which every consumer needs."""
    assert streams.kafka is not None
    assert fetcher.MemoryRecords is TolerantRecords
