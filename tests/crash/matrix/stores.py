"""What can become of a worker's local stores between two starts; all of it must be seen, and cost time only."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from streams.engine.store import Meta, PartitionStore
from streams.topics import TOMBSTONE_RETENTION_MS

_META_KEY = b"m"

# A fault of the folder with all stores; the second folder holds a copy from an earlier death.
Fault = Callable[[Path, Path, random.Random], None]


def deleted(folder: Path, earlier: Path, rng: random.Random) -> None:
    """The disk is another one."""
    shutil.rmtree(folder)


def cut(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Every file ends somewhere in its middle."""
    for path in folder.rglob("*"):
        if path.is_file() and (size := path.stat().st_size) > 1:
            with path.open("r+b") as file:
                file.truncate(rng.randrange(1, size))


def older(folder: Path, earlier: Path, rng: random.Random) -> None:
    """A backup was restored."""
    shutil.rmtree(folder)
    shutil.copytree(earlier, folder)


def exchanged(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Every store is that of another partition, of another changelog that is."""
    names = sorted(path.name for path in folder.iterdir())
    away = folder.with_name(folder.name + ".away")
    folder.rename(away)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        shutil.copytree(away / name, folder / other)
    shutil.rmtree(away)


def stale(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Last written before the changelog's oldest tombstone: what was removed since would come back."""
    for path in folder.iterdir():
        store = PartitionStore(path)
        if (meta := store.meta) is not None:
            old = Meta(meta.changelog_offset, meta.written_ms - TOMBSTONE_RETENTION_MS)
            store._db.put(_META_KEY, msgspec.msgpack.encode(old))
        store.close()


FAULTS: tuple[Fault, ...] = (deleted, cut, older, exchanged, stale)
