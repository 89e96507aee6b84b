"""Which directory holds the local store of a partition: its own, or another copy while a stopped process holds that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from streams.errors import OwnershipLost
from streams.store import PartitionStore, StoreInUse

# The former owner of this machine releases its lock within milliseconds, unless it is stopped.
LOCK_WAIT_S = 1.0
_POLL_S = 0.05
_COPIES = 8


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
