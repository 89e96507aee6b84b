"""Recovery: the local store ends in the state of the changelog, whatever was on disk before."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import msgspec
import pytest

from streams.engine import changelog_reader
from streams.engine.position import POSITION_KEY, encode_position
from streams.engine.recovery import STALE_AFTER_MS
from streams.engine.store import Meta, PartitionStore
from streams.engine.transactions import FencedProducer
from streams.errors import ChurnSignalsError
from streams.topics import CHANGELOG, create_topics, name_of
from tests.broker.changelog import CHANGELOG_ID, Log, timed
from tests.crash.harness import Run, scenario


def test_empty_store_is_rebuilt_with_its_deadlines(new_run: Callable[..., Run]) -> None:
    """Rule: the store has the last value of every key without the deleted ones, and deadlines come from value prefixes
    alone. Recovery ends although the last changelog offset is a transaction marker, which is never delivered."""

    async def body(run: Run) -> None:
        log = Log(run)
        await log.write({b"ca": timed(50), b"cb": timed(20), b"cc": timed(30)})
        await log.write({b"ca": timed(10, b"new"), b"cc": None, b"s1": b"pending"})
        store = PartitionStore(run.directory / "store")
        position = await log.recover(store)
        assert position is not None
        assert (position.next_offset, position.state) == (2, b"state 2")
        assert store.get_many([b"ca", b"cb", b"cc", b"s1"]) == [timed(10, b"new"), timed(20), None, b"pending"]
        assert store.due(100, 10) == [(10, b"ca"), (20, b"cb")]
        store.close()

    scenario(new_run(partitions=1), body)


@pytest.mark.parametrize("large", ["anywhere", "further back"])
def test_recovery_in_chunks_keeps_the_newest_value_of_each_key(
    new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, large: str
) -> None:
    """Rule: the changelog is read in chunks from its end. Whatever the chunk boundaries, and however often a chunk is
    too large, the store ends as if read from the beginning, and catches up from there."""
    monkeypatch.setattr(changelog_reader, "_CHUNK_BYTES", 4_000)
    monkeypatch.setattr(changelog_reader, "_FETCH_BYTES", 3_000)
    monkeypatch.setattr(changelog_reader, "_FIRST_OFFSETS", 3)

    async def body(run: Run) -> None:
        log, rng = Log(run), random.Random(7)
        values: dict[bytes, bytes | None] = {}
        for turn in range(60):
            bulk = turn < 10 if large == "further back" else rng.random() < 0.1
            changes: dict[bytes, bytes | None] = {}
            for _ in range(rng.randrange(1, 12)):
                key = b"c%d" % rng.randrange(50)
                gone = rng.random() < 0.2
                changes[key] = None if gone else timed(rng.randrange(1_000), os.urandom(3_000 if bulk else 10))
            values.update(changes)
            if turn == 59:
                await log.abort({key: timed(1, b"aborted") for key in values})
            await log.write(changes)
        store = PartitionStore(run.directory / "store")
        position = await log.recover(store)
        assert position is not None
        assert position.next_offset == 60
        assert store.get_many(list(values)) == list(values.values())
        dues = sorted((int.from_bytes(value[:8], "big"), key) for key, value in values.items() if value is not None)
        assert sorted(store.due(1_000, 1_000)) == dues
        store.write({b"s-local": b"proof that it is not rebuilt"}, store.meta.changelog_offset if store.meta else 0)
        await log.write({b"c1": timed(3, b"new")})
        assert await log.recover(store)
        assert store.get_many([b"c1", b"s-local"]) == [timed(3, b"new"), b"proof that it is not rebuilt"]
        store.close()

    scenario(new_run(partitions=1), body)


def test_aborted_transaction_is_not_recovered(new_run: Callable[..., Run]) -> None:
    """Rule: uncommitted records in the changelog have no effect."""

    async def body(run: Run) -> None:
        log = Log(run)
        await log.write({b"ca": timed(1, b"committed")})
        await log.abort({b"ca": timed(1, b"aborted")})
        store = PartitionStore(run.directory / "store")
        position = await log.recover(store)
        assert position is not None
        assert position.next_offset == 1
        assert store.get(b"ca") == timed(1, b"committed")
        store.close()

    scenario(new_run(partitions=1), body)


def test_older_store_catches_up_from_its_own_offset(new_run: Callable[..., Run]) -> None:
    """Rule: only new records are read, and the store keeps its contents."""

    async def body(run: Run) -> None:
        log = Log(run)
        store = PartitionStore(run.directory / "store")
        offset = await log.write({b"ca": timed(5), b"cb": timed(6)})
        await log.recover(store)
        store.write({b"s-local": b"proof that it was not rebuilt"}, offset)
        await log.write({b"ca": timed(9), b"cb": None})
        position = await log.recover(store)
        assert position is not None
        assert position.next_offset == 2
        assert store.due(100, 10) == [(9, b"ca")]
        assert store.get(b"s-local") is not None
        store.close()

    scenario(new_run(partitions=1), body)


@pytest.mark.parametrize("fault", ["foreign", "ahead", "stale", "half"])
def test_store_that_does_not_match_the_changelog_is_rebuilt(new_run: Callable[..., Run], fault: str) -> None:
    """Rule: a store from another changelog, ahead of it, older than its tombstones or partly recovered is rebuilt."""

    async def body(run: Run) -> None:
        log = Log(run)
        store = PartitionStore(run.directory / "store")
        offset = await log.write({b"ca": timed(5)})
        changelog_id = b"x" * 16 if fault == "foreign" else CHANGELOG_ID
        store.load({b"ca": timed(1), b"cz": timed(2), POSITION_KEY: encode_position(1, False, changelog_id, b"")})
        if fault != "half":
            store.finish_load(offset + (100 if fault == "ahead" else 0))
        if fault == "stale":
            written_ms = int(time.time() * 1000) - STALE_AFTER_MS - 60_000
            store._db[b"m"] = msgspec.msgpack.encode(Meta(offset, written_ms))
        position = await log.recover(store)
        assert position is not None
        assert position.changelog_id == CHANGELOG_ID
        assert store.get_many([b"ca", b"cz"]) == [timed(5), None]
        assert store.due(100, 10) == [(5, b"ca")]
        store.close()

    scenario(new_run(partitions=1), body)


def test_empty_changelog_has_no_position(new_run: Callable[..., Run]) -> None:
    """Rule: a new group starts at the beginning of the input, even with a stale local store."""

    async def body(run: Run) -> None:
        store = PartitionStore(run.directory / "store")
        store.load({b"ca": timed(1), POSITION_KEY: encode_position(1, False, CHANGELOG_ID, b"")})
        store.finish_load(7)
        assert await Log(run).recover(store) is None
        assert store.get(b"ca") is None
        store.close()

    scenario(new_run(partitions=1), body)


def test_foreign_changelog_is_rejected(new_run: Callable[..., Run]) -> None:
    """Rule: records without a position were not written by this program."""

    async def body(run: Run) -> None:
        await create_topics(run.settings)
        producer = await FencedProducer.open(run.settings, "id")
        await producer.commit([], (name_of(CHANGELOG, run.settings), 0), {b"theirs": b"1"})
        await producer.close()
        store = PartitionStore(run.directory / "store")
        with pytest.raises(ChurnSignalsError, match="no position"):
            await Log(run).recover(store)
        store.close()

    scenario(new_run(partitions=1), body)
