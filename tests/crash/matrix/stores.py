"""Faults of a worker's local stores between two starts. All must be detected and cost only time."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from streams.engine.store import Meta, PartitionStore
from streams.topics import TOMBSTONE_RETENTION_MS

_META_KEY = b"m"

# A fault in the folder with all stores. The second folder has a copy from an earlier kill.
Fault = Callable[[Path, Path, random.Random], None]


def deleted(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Delete the stores, like a replaced disk."""
    shutil.rmtree(folder)


def cut(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Truncate every file."""
    for path in folder.rglob("*"):
        if path.is_file() and (size := path.stat().st_size) > 1:
            with path.open("r+b") as file:
                file.truncate(rng.randrange(1, size))


def older(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Restore an earlier copy."""
    shutil.rmtree(folder)
    shutil.copytree(earlier, folder)


def exchanged(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Swap the stores of partitions, so that each belongs to another changelog."""
    names = sorted(path.name for path in folder.iterdir())
    away = folder.with_name(folder.name + ".away")
    folder.rename(away)
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        shutil.copytree(away / name, folder / other)
    shutil.rmtree(away)


def stale(folder: Path, earlier: Path, rng: random.Random) -> None:
    """Make the stores older than the changelog's oldest tombstone, so that removed keys would reappear."""
    for path in folder.iterdir():
        store = PartitionStore(path)
        if (meta := store.meta) is not None:
            old = Meta(meta.changelog_offset, meta.written_ms - TOMBSTONE_RETENTION_MS)
            store._db.put(_META_KEY, msgspec.msgpack.encode(old))
        store.close()


FAULTS: tuple[Fault, ...] = (deleted, cut, older, exchanged, stale)
