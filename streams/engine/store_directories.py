"""Which directory holds the local store of a partition: its own, or another copy while a stopped process holds that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from streams.engine.store import PartitionStore, StoreInUse
from streams.errors import ChurnSignalsError, OwnershipLost

# The former owner of this machine releases its lock within milliseconds, unless it is stopped.
LOCK_WAIT_S = 1.0
_POLL_S = 0.05
_COPIES = 8
# A partition that went elsewhere may come back with the next deployment; after this its store is only in the way.
UNHELD_MS = 10 * 60_000
_REMOVED = ".removed"


def directories(folder: Path, topic: str) -> list[Path]:
    """Every store of a topic's partitions on this machine, copies and what is being removed included."""
    prefix = f"{topic}-"
    return sorted(path for path in folder.glob(f"{prefix}*") if _number(path.name[len(prefix) :]) is not None)


def set_aside(folder: Path, topic: str, held: Collection[int], now_ms: int) -> list[Path]:
    """Take the stores of partitions that are not held out of the way; returns what may be deleted, at leisure.

    A store that another process has open stays, and so does one that was written within ten minutes. The directory is
    renamed while we hold its lock, so that whoever opens the partition next finds none and makes a new one.
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
            continue  # in use, or the disk is full: tidying must not end a worker
        try:
            meta = store.meta
            if meta is None or meta.written_ms < now_ms - UNHELD_MS:
                aside.append(path.rename(path.with_name(path.name + _REMOVED)))
        finally:
            store.close()
    return aside


def _number(rest: str) -> int | None:
    """The partition of a directory's name behind the topic's.

    >>> _number("3"), _number("3.1"), _number("3.removed"), _number("x-3")
    (3, 3, 3, None)
    """
    first = rest.partition(".")[0]
    return int(first) if first.isdigit() else None


async def open_stores(folder: Path, topic: str, numbers: Iterable[int], into: dict[int, PartitionStore]) -> None:
    """Open the stores of these partitions of a topic, all of them side by side: a second is waited once, not for each.

    Args:
        into: gets every store as soon as it is open, so that whoever is interrupted can close them.

    Raises:
        OwnershipLost: every copy of one is in use.
        StoreFull, ChurnSignalsError: one cannot be made.
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
