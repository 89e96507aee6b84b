"""One computation at a time, whichever partition's; small batches in a thread, while the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self, TypeVar

_T = TypeVar("_T")

# What the thread is called.
THREAD: Final = "computing"


class ComputeSlot:
    """Whose turn it is, in the order of asking (`async with`), and the thread that computes.

    A batch is computed in some 10 ms, a backlog's in 400; its transaction waits for the broker three times. Were both
    on one thread, each answer would wait for whatever other partitions compute (180 ms a transaction at 6,000 events/s
    beside 45; Python lets another thread in every 5 ms, and to do so every 1 ms made nothing faster).
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()

    async def compute(self, work: Callable[..., _T], *args: Any) -> _T:
        """The result of `work`, pure CPU. When the caller is cancelled, what has begun goes on to its end."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def settled(self) -> None:
        """When everything that was begun has ended."""
        await asyncio.get_running_loop().run_in_executor(self._thread, int)
