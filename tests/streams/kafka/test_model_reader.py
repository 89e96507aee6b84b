"""The model reader without a broker: foreign snapshots are skipped and reported once; the last usable one is used."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from streams.errors import SnapshotRefused
from streams.kafka import model_reader as module
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader, PublishedSnapshot
from streams.settings import Settings


class Record(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes | None = b"churn"
    headers: Any = ((LABELS_OFFSET_HEADER, b"7"),)
    timestamp: int = 1


class Consumer:
    """A topic of these records; `getmany` returns two of them at most. Ends the reader when all of `later` is read."""

    def __init__(self, records: list[Record], later: list[Record]) -> None:
        self.records, self.later, self.at, self.end = records + later, later, 0, len(records)

    async def start(self) -> None: ...
    async def seek_to_beginning(self, tp: Any) -> None: ...
    def assign(self, tps: Any) -> None: ...

    async def end_offsets(self, tps: Any) -> dict[Any, int]:
        return dict.fromkeys(tps, self.end)

    async def position(self, tp: Any) -> int:
        return self.at

    def seek(self, tp: Any, offset: int) -> None:
        self.at = offset

    async def getmany(self, *tps: Any, max_records: int = 2, **_: Any) -> dict[Any, list[Record]]:
        if self.at == len(self.records):
            raise asyncio.CancelledError
        limit = self.end if self.at < self.end else len(self.records)
        found = self.records[self.at : min(self.at + max_records, limit)]
        self.at += len(found)
        return dict.fromkeys([TopicPartition("churn-model", 0)], found)


def read(
    monkeypatch: pytest.MonkeyPatch, records: list[Record], later: list[Record]
) -> tuple[list[bytes], ModelReader]:
    """Run a reader over a topic; returns the snapshots that it used. One that begins with "bad" is refused."""
    used: list[bytes] = []

    def use(snapshot: PublishedSnapshot) -> None:
        if snapshot.value.startswith(b"bad"):
            raise SnapshotRefused("it is bad")
        used.append(snapshot.value)

    consumer = Consumer(records, later)
    monkeypatch.setattr(module, "AIOKafkaConsumer", lambda **_: consumer)
    reader = ModelReader(Settings(), use)

    async def run() -> None:
        await reader.read_to_end()
        await reader.follow()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    return used, reader


GOOD = [Record(0, b"one", b"churn/7"), Record(1, b"one")]


@pytest.mark.parametrize(
    "foreign",
    [
        Record(2, b"bad"),
        Record(2, b"two", headers=()),
        Record(2, b"two", headers=((LABELS_OFFSET_HEADER, None),)),
        Record(2, b"two", headers=((LABELS_OFFSET_HEADER, b"-1"),)),
        Record(2, b"two", headers=((LABELS_OFFSET_HEADER, b"1e3"),)),
        Record(2, b"two", headers=((LABELS_OFFSET_HEADER, b"9" * 5_000),)),
    ],
)
def test_an_unusable_snapshot_is_skipped_at_the_start_and_later(
    monkeypatch: pytest.MonkeyPatch, foreign: Record
) -> None:
    """Rule: the last usable snapshot stays in use, and each unusable one is counted and reported once."""
    later = [Record(3, b"three"), foreign._replace(offset=4)]
    used, reader = read(monkeypatch, [*GOOD, foreign], later)
    assert used == [b"one", b"three"]
    assert reader.skipped == 2
    assert "2 unusable snapshots skipped" in str(reader.checks()[0])


def test_the_key_of_each_snapshot_outlives_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: compaction removed the usable record under the model's key; another model's record is no candidate."""
    other = Record(1, b"another model", b"churn/8")
    used, reader = read(monkeypatch, [GOOD[0], other, Record(2, b"bad")], [])
    assert (used, reader.skipped) == ([b"one"], 1)


def test_without_a_usable_snapshot_the_prior_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    used, reader = read(
        monkeypatch, [Record(0, b"bad"), Record(1, b"bad"), Record(2, None, b"x"), Record(3, b"bad")], []
    )
    assert (used, reader.skipped) == ([], 3)


def test_only_the_newest_of_several_snapshots_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used, reader = read(monkeypatch, GOOD, [Record(2, b"two"), Record(3, b"three")])
    assert (used, reader.skipped) == ([b"one", b"three"], 0)
