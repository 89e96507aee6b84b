"""Where local stores are opened while a stopped process on the same machine still holds them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from streams.errors import OwnershipLost
from streams.store import PartitionStore
from streams.store_directories import LOCK_WAIT_S, open_stores

NUMBERS = range(6)


def test_the_locks_of_all_partitions_are_waited_for_once(tmp_path: Path) -> None:
    """Rule: a zombie on this machine costs its successor a second, however many partitions it has."""
    held = [PartitionStore(tmp_path / f"events-{number}") for number in NUMBERS]
    opened: dict[int, PartitionStore] = {}
    started = time.monotonic()
    asyncio.run(open_stores(tmp_path, "events", NUMBERS, opened))
    assert LOCK_WAIT_S <= time.monotonic() - started < 2 * LOCK_WAIT_S
    assert [opened[number].directory.name for number in NUMBERS] == [f"events-{number}.1" for number in NUMBERS]
    for store in [*held, *opened.values()]:
        store.close()


def test_when_every_copy_is_held_the_partition_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: it ends with a sentence; what was opened before stands in `into`, to be closed."""
    monkeypatch.setattr("streams.store_directories._COPIES", 1)
    held, opened = PartitionStore(tmp_path / "events-1"), dict[int, PartitionStore]()
    with pytest.raises(OwnershipLost, match="all 1 stores of partition 1 are in use"):
        asyncio.run(open_stores(tmp_path, "events", [0, 1], opened))
    assert list(opened) == [0]
    for store in (held, opened[0]):
        store.close()
