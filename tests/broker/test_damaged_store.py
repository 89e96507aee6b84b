"""Corruption of the local store on disk: the store is a cache, and is rebuilt from the changelog."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from streams.engine.contract import DUE_PREFIX_BYTES, BatchEffects, Processor, Record, StateStore
from streams.engine.position import POSITION_KEY, encode_position
from streams.engine.store import PartitionStore
from streams.engine.worker import Worker
from tests.broker.changelog import CHANGELOG_ID, Log, timed
from tests.broker.in_process import send, with_worker
from tests.crash.harness import Run, scenario
from tests.waiting import until


def flip(directory: Path, value: bytes) -> None:
    """Change one byte of a random value on disk, so that its checksum no longer matches."""
    # A compressed block stores most of a random value unchanged, but may split any one part of it.
    pieces = [value[start : start + 8] for start in range(0, len(value) - 8, 8)]
    for path in sorted(directory.glob("*.sst")):
        data = bytearray(path.read_bytes())
        place = max(data.find(piece) for piece in pieces)
        if place >= 0:
            data[place] ^= 255
            path.write_bytes(data)
            return
    files = {path.name: path.stat().st_size for path in directory.iterdir()}
    raise AssertionError(f"the value lies in no file of {files}")


@pytest.mark.parametrize("damaged", ["position", "profile"])
def test_corrupt_store_is_rebuilt_at_recovery(new_run: Callable[..., Run], damaged: str) -> None:
    """Rule: this holds whether recovery finds the corruption at the position or at a profile that it updates."""

    async def body(run: Run) -> None:
        log, directory = Log(run), run.directory / "store"
        # Random values cannot be compressed; 40 of them fill several blocks.
        profiles: dict[bytes, bytes | None] = {b"c%02d" % n: timed(n, os.urandom(600)) for n in range(40)}
        offset = await log.write(profiles)
        store = PartitionStore(directory)
        await log.recover(store)
        state = os.urandom(100)
        store.write({POSITION_KEY: encode_position(1, False, CHANGELOG_ID, state)}, offset)
        store.close()
        PartitionStore(directory).close()  # flushes the write-ahead log to a file of sorted blocks
        flip(directory, state if damaged == "position" else (profiles[b"c20"] or b"")[DUE_PREFIX_BYTES:])
        await log.write({b"c20": timed(7, b"new")})
        store = PartitionStore(directory)
        position = await log.recover(store)
        assert position is not None
        assert position.next_offset == 2
        assert store.get_many(list(profiles)) == list({**profiles, b"c20": timed(7, b"new")}.values())
        assert sorted(store.due(7, 100)) == [*((n, b"c%02d" % n) for n in range(8)), (7, b"c20")]
        store.close()

    scenario(new_run(partitions=1), body)


class Keeping(Processor):
    """Stores each event's value under its key, and reads the stored value with every event."""

    newest_event_ms = None

    def __init__(self, store: StateStore) -> None:
        self.store = store

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        keys = [b"x" + (record.key or b"") for record in records]
        self.store.get_many(keys)
        return BatchEffects(changes={key: r.value for key, r in zip(keys, records, strict=True)}, state=b"s")

    def next_due_ms(self) -> int | None:
        return None

    def committed(self) -> None:
        pass


def test_store_corrupted_during_a_run_is_rebuilt(new_run: Callable[..., Run]) -> None:
    """Rule: the owner that finds the corruption releases the partition, empties the store, and takes over again."""

    async def body(run: Run) -> None:
        kept = {b"%02d" % n: os.urandom(600) for n in range(40)}
        await send(run, *[(key, value, 1_000) for key, value in kept.items()])
        worker = Worker(run.settings, lambda number, store, state: Keeping(store))

        def store() -> PartitionStore:
            return worker.ownership.owned[0].store

        async def meanwhile() -> None:
            await until("40 applied events", lambda: holds(40))
            store()._db.flush()  # from memory to a file
            flip(store().directory, kept[b"20"])
            await send(run, (b"20", b"new", 1_000))
            await until("41 applied events", lambda: holds(41))
            assert store().get_many([b"x20", b"x21"]) == [b"new", kept[b"21"]]
            assert worker.ownership.ready

        async def holds(events: int) -> bool:
            return 0 in worker.ownership.owned and worker.ownership.owned[0].position >= events

        await with_worker(worker, meanwhile)

    scenario(new_run(partitions=1), body)
