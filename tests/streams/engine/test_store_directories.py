"""Opening local stores while a stopped process on the same machine has them locked."""

from __future__ import annotations

import asyncio
import doctest
import time
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from streams.engine import store_directories
from streams.engine.position import POSITION_KEY, encode_position
from streams.engine.recovery import STALE_AFTER_MS, _can_resume
from streams.engine.store import Meta, PartitionStore
from streams.engine.store_directories import LOCK_WAIT_S, UNUSED_MS, open_stores, set_aside
from streams.errors import OwnershipLost
from streams.topics import TOMBSTONE_RETENTION_MS

NUMBERS = range(6)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(store_directories).failed == 0


def test_waiting_for_locks_takes_one_timeout_for_all_partitions(tmp_path: Path) -> None:
    """Rule: a zombie on this machine delays its successor by a second, for any number of partitions."""
    held = [PartitionStore(tmp_path / f"events-{number}") for number in NUMBERS]
    opened: dict[int, PartitionStore] = {}
    started = time.monotonic()
    asyncio.run(open_stores(tmp_path, "events", NUMBERS, opened))
    assert LOCK_WAIT_S <= time.monotonic() - started < len(NUMBERS) * LOCK_WAIT_S
    assert [opened[number].directory.name for number in NUMBERS] == [f"events-{number}.1" for number in NUMBERS]
    for store in [*held, *opened.values()]:
        store.close()


def test_ownership_is_lost_when_every_copy_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: it raises an error; the stores that were opened before are in `into`, to be closed."""
    monkeypatch.setattr("streams.engine.store_directories._COPIES", 1)
    held, opened = PartitionStore(tmp_path / "events-1"), dict[int, PartitionStore]()
    with pytest.raises(OwnershipLost, match="all 1 stores of partition 1 are in use"):
        asyncio.run(open_stores(tmp_path, "events", [0, 1], opened))
    assert list(opened) == [0]
    for store in (held, opened[0]):
        store.close()


def test_stores_of_partitions_that_moved_are_set_aside(tmp_path: Path) -> None:
    """Rule: not one that is held here, one that another process has open, one written within ten minutes, nor one of
    another topic; what an earlier removal left is taken too."""
    now_ms = int(time.time() * 1000)
    for name in ("events-0", "events-1", "events-1.1", "events-2", "events-x-1", "events-4.removed"):
        store = PartitionStore(tmp_path / name)
        store.finish_load(1)
        store.close()
    busy = PartitionStore(tmp_path / "events-2")
    assert set_aside(tmp_path, "events", {0}, now_ms) == [tmp_path / "events-4.removed"]
    later_ms = now_ms + UNUSED_MS + 60_000
    aside = set_aside(tmp_path, "events", {0}, later_ms)
    assert [path.name for path in aside] == ["events-1.removed", "events-1.1.removed", "events-4.removed"]
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in aside}
    assert left == {"events-0", "events-2", "events-x-1"}
    again = PartitionStore(tmp_path / "events-1")  # the next owner finds an empty one
    assert again.meta is None
    again.close()
    busy.close()


def test_a_store_is_resumed_for_half_of_the_tombstone_retention(tmp_path: Path) -> None:
    """Rule: a store is used if it was written a minute later than the limit, and rebuilt if a minute earlier."""
    assert STALE_AFTER_MS * 2 == TOMBSTONE_RETENTION_MS
    store = PartitionStore(tmp_path / "store")
    store.load({POSITION_KEY: encode_position(1, False, b"b" * 16, b"")})
    for age_ms, usable in ((STALE_AFTER_MS - 60_000, True), (STALE_AFTER_MS + 60_000, False)):
        store._db[b"m"] = msgspec.msgpack.encode(Meta(5, int(time.time() * 1000) - age_ms))
        assert _can_resume(store, 0, 5, TopicPartition("changelog", 0)) is usable
    store.close()
