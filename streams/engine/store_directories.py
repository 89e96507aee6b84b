"""Choose the directory of a partition's local store: its own, or a copy while a stopped process locks that.

Tested by tests/streams/engine/test_store_directories.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from streams.engine.store import PartitionStore, StoreInUse
from streams.errors import ChurnSignalsError, OwnershipLost

# Prevents a former owner that is stopped (SIGSTOP) from blocking a takeover; otherwise it releases its lock within
# milliseconds.
LOCK_WAIT_S = 1.0
_POLL_S = 0.05
_COPIES = 8
# A partition that moved to another worker may return with the next deployment; after this its store is removed.
UNUSED_MS = 10 * 60_000
_REMOVED = ".removed"


def directories(folder: Path, topic: str) -> list[Path]:
    """Return every store of a topic's partitions on this machine, including copies and stores being removed."""
    prefix = f"{topic}-"
    return sorted(path for path in folder.glob(f"{prefix}*") if _number(path.name[len(prefix) :]) is not None)


def set_aside(folder: Path, topic: str, held: Collection[int], now_ms: int) -> list[Path]:
    """Rename the stores of partitions that are not in `held`; returns the directories that can be deleted any time.

    A store that another process has open stays, and so does one that was written within ten minutes. The directory is
    renamed while this process holds its lock, so that the next process to open the partition creates a new one.
    """
    aside = []
    for path in directories(folder, topic):
        if path.name.endswith(_REMOVED):
            aside.append(path)
            continue
        if _number(path.name[len(topic) + 1 :]) in held:
            continue
        try:
            store = PartitionStore(path)
        except ChurnSignalsError:
            continue  # in use, or the disk is full: a cleanup must not end the worker
        try:
            meta = store.meta
            if meta is None or meta.written_ms < now_ms - UNUSED_MS:
                aside.append(path.rename(path.with_name(path.name + _REMOVED)))
        finally:
            store.close()
    return aside


def _number(rest: str) -> int | None:
    """Return the partition number from the part of a directory's name that follows the topic.

    >>> _number("3"), _number("3.1"), _number("3.removed"), _number("x-3")
    (3, 3, 3, None)
    """
    first = rest.partition(".")[0]
    return int(first) if first.isdigit() else None


async def open_stores(folder: Path, topic: str, numbers: Iterable[int], into: dict[int, PartitionStore]) -> None:
    """Open the stores of these partitions concurrently, so that `LOCK_WAIT_S` is waited once and not for each.

    Args:
        into: receives every store as soon as it is open, so that a caller that is interrupted can close them.

    Raises:
        OwnershipLost: every copy of a store is in use.
        StoreFull, ChurnSignalsError: a store cannot be created.
    """
    deadline = time.monotonic() + LOCK_WAIT_S

    async def open_one(number: int) -> None:
        for copy in range(_COPIES):
            directory = folder / (f"{topic}-{number}" + (f".{copy}" if copy else ""))
            while True:
                try:
                    into[number] = PartitionStore(directory)
                except StoreInUse:
                    if time.monotonic() > deadline:
                        break
                    await asyncio.sleep(_POLL_S)
                else:
                    return
        raise OwnershipLost(f"all {_COPIES} stores of partition {number} are in use on this machine")

    for failure in await asyncio.gather(*[open_one(number) for number in numbers], return_exceptions=True):
        if failure is not None:
            raise failure
