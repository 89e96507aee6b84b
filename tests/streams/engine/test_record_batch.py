"""Batches of Kafka records that one process encodes and another sends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.record_batch import BATCH_BYTES, EncodedBatch, KeyValue, PreencodedBatch, encode_batches
from streams.settings import Settings

PRODUCER = (7_000_000_001, 12, 345)  # number, epoch, sequence
NOW_MS = 1_700_000_000_123

CODECS = st.sampled_from([None, "gzip", "snappy", "lz4", "zstd"])
RECORDS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.none() | st.binary(max_size=300)), max_size=60)


def records_of(data: bytes | bytearray) -> Iterator[Any]:
    """Decode records as a consumer does; a completed header has a valid checksum."""
    found = MemoryRecords(bytes(data))
    while (batch := found.next_batch()) is not None:
        assert batch.validate_crc()
        yield from batch


def sent(count: int, data: bytes) -> bytearray:
    sending = PreencodedBatch(EncodedBatch("t", 0, count, data), NOW_MS)
    sending._set_producer_state(*PRODUCER)
    assert sending.record_count() == count
    assert sending.size() == len(data)
    return sending._build()


@given(RECORDS, CODECS)
def test_encoded_records_round_trip(records: list[KeyValue], compression: str | None) -> None:
    """Rule: keys, values and order are unchanged; offsets start with each batch; all records have the send time."""
    batches = encode_batches(records, compression)
    found = [[*records_of(sent(count, data))] for count, data in batches]
    assert [(each.key, each.value) for batch in found for each in batch] == records
    assert [len(batch) for batch in found] == [count for count, _ in batches]
    assert all([each.offset for each in batch] == list(range(len(batch))) for batch in found)
    assert {each.timestamp for batch in found for each in batch} <= {NOW_MS}


def test_header_identifies_the_producer() -> None:
    """Rule: a broker rejects batches without sequence numbers, and identifies transactional records by an attribute."""
    [(count, data)] = encode_batches([(b"k", b"v")] * 3, "zstd")
    batch = MemoryRecords(bytes(sent(count, data))).next_batch()
    assert batch is not None
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == PRODUCER
    assert batch.is_transactional
    assert not batch.is_control_batch


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_batch_size_is_accepted_by_a_broker_that_recompresses(compression: str | None) -> None:
    """Rule: uncompressed, as a recompressing broker measures it, a batch is small enough; batches are minimal."""
    for value in (b"v" * 5_000, os.urandom(5_000)):
        batches = encode_batches([(b"k", value)] * 1_200, compression)
        assert [count for count, _ in batches] == [199, 199, 199, 199, 199, 199, 6]
        for count, data in batches:
            assert sum(len(each.value) for each in records_of(sent(count, data))) < BATCH_BYTES


def test_too_large_record_has_a_batch_of_its_own() -> None:
    """Rule: the topic's configuration determines whether the record is accepted."""
    found = encode_batches([(b"a", b"1"), (b"b", os.urandom(BATCH_BYTES + 1)), (b"c", b"3")], "zstd")
    assert [count for count, _ in found] == [1, 1, 1]


@pytest.mark.parametrize(
    ("setting", "scores", "others"), [("auto", "zstd", None), ("none", None, None), ("lz4", "lz4", "lz4")]
)
def test_scores_are_compressed_unless_configured_otherwise(
    setting: str, scores: str | None, others: str | None
) -> None:
    settings = Settings(kafka_compression_type=setting, topic_scores="ours")
    assert settings.compression_of("ours") == scores
    assert settings.compression_of("churn-alerts") == settings.compression == others
