"""A byte of the local store that the disk has changed: the store is a cache, and is rebuilt from the changelog."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Run, scenario
from test_recovery import BIRTH, Log, timed

from streams.position import POSITION_KEY, encode
from streams.store import PartitionStore


def flip(directory: Path, value: bytes) -> None:
    """Change one byte of a value as it lies on disk, beneath its checksum."""
    for path in directory.glob("*.sst"):
        data = bytearray(path.read_bytes())
        place = data.find(value)
        if place >= 0:
            data[place] ^= 255
            path.write_bytes(data)
            return
    raise AssertionError("the value lies in no file")


@pytest.mark.parametrize("damaged", ["position", "profile"])
def test_a_store_with_a_changed_byte_is_rebuilt(new_run: Callable[..., Run], damaged: str) -> None:
    """Rule: whether recovery meets the damage at the position or at a profile that it brings up to date."""

    async def body(run: Run) -> None:
        log, directory = Log(run), run.directory / "store"
        # Random, so that nothing is compressed; 40 of them are several blocks.
        profiles: dict[bytes, bytes | None] = {b"c%02d" % n: timed(n, os.urandom(600)) for n in range(40)}
        offset = await log.write(profiles)
        store = PartitionStore(directory)
        await log.recover(store)
        state = os.urandom(100)
        store.write({POSITION_KEY: encode(1, False, BIRTH, state)}, offset)
        store.close()
        PartitionStore(directory).close()  # the log becomes a file of sorted blocks
        where = state[:16] if damaged == "position" else (profiles[b"c20"] or b"")[100:116]
        flip(directory, where)
        await log.write({b"c20": timed(7, b"new")})
        store = PartitionStore(directory)
        position = await log.recover(store)
        assert position is not None
        assert position.next_offset == 2
        assert store.get_many(list(profiles)) == list({**profiles, b"c20": timed(7, b"new")}.values())
        assert sorted(store.due(7, 100)) == [*((n, b"c%02d" % n) for n in range(8)), (7, b"c20")]
        store.close()

    scenario(new_run(partitions=1), body)
