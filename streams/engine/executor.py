"""Run one computation at a time, for all partitions; small batches in a thread, so that the event loop stays free.

Tested by tests/streams/engine/test_executor.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self, TypeVar

_T = TypeVar("_T")

# Name of the thread.
THREAD: Final = "computing"


class ComputeSlot:
    """A fair lock (`async with`), and the thread that its holder computes in.

    A batch is computed in some 10 ms, that of a backlog in 400 ms; its transaction waits for the broker three times. On
    one thread, each of the broker's answers would wait for the computations of other partitions: a transaction took 180
    ms at 6,000 events/s, instead of 45 ms. (Python switches threads every 5 ms; every 1 ms was not faster.)
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
        """Return the result of `work`, pure CPU. If the caller is cancelled, work that has started still completes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def drained(self) -> None:
        """Wait until all work that has started is complete."""
        await asyncio.get_running_loop().run_in_executor(self._thread, int)
