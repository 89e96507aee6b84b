"""Skipped records: each is counted and reported once, and the report names no customer."""

from __future__ import annotations

import doctest
import logging
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from streams.kafka import unusable_records
from streams.kafka.unusable_records import UnusableRecord, UnusableRecords


def record(offset: int, key: bytes | None = b"anna@example.org", topic: str = "scores") -> Any:
    return SimpleNamespace(topic=topic, partition=2, offset=offset, key=key, value=b"not json: anna@example.org")


def value_of(record: Any) -> Any:
    return orjson.loads(record.value)


def test_record_is_reported_once_with_its_position(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: keys are customer ids, which the log shows as a hash; keys of named topics are shown."""
    unusable = UnusableRecords(named=("metrics",))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert unusable.use(record(7), value_of) is None
            assert unusable.use(record(8, b"model.quality/0", "metrics"), value_of) is None
    assert unusable.counts == {"scores": 1, "metrics": 1}
    assert [entry.getMessage() for entry in caplog.records] == [
        "scores/2@7: record skipped (key sha256 a3bf86238a1c): JSONDecodeError",
        "metrics/2@8: record skipped (key 'model.quality/0'): JSONDecodeError",
    ]
    assert "anna" not in caplog.text
    assert (caplog.records[0].topic, caplog.records[0].partition, caplog.records[0].offset) == ("scores", 2, 7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "failure", [UnusableRecord("x"), KeyError("x"), RecursionError(), OverflowError(), MemoryError()]
)
def test_no_failure_of_a_record_stops_its_reader(failure: Exception) -> None:
    def decode(_record: Any) -> None:
        raise failure

    unusable = UnusableRecords(lambda *_: None)
    assert unusable.use(record(1), decode) is None
    assert unusable.total == 1


def test_memory_of_skipped_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unusable_records, "POSITIONS_KEPT", 10)
    unusable = UnusableRecords(lambda *_: None)
    for offset in range(1_000):
        unusable.use(record(offset), value_of)
    assert (unusable.total, len(unusable._seen)) == (1_000, 10)


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(unusable_records).failed == 0
