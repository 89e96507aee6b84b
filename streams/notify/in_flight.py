"""What is taken of one partition and not done yet: records of one customer one after the other, others side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

# Some 10 KB each: 5 MB a partition while a receiver is away. More would not be delivered sooner.
RECORDS_MAX: Final = 500

Work = Callable[[Any], Awaitable[bool]]
"""Delivers a record; false if it was told to leave it alone."""


class InFlightRecords:
    """Records from `take` to the end of their work.

    Args:
        position: the first offset.
        work: what is done with each.
        on_failure: told what `work` raised, which is a fault; the record stays open.

    Attributes:
        next: the offset after the last one taken.
    """

    def __init__(self, position: int, work: Work, on_failure: Callable[[BaseException], None]) -> None:
        self.next = position
        self._work, self._on_failure = work, on_failure
        self._open: dict[int, tuple[asyncio.Task[bool], float]] = {}  # by offset, in order
        self._newest: dict[bytes | None, asyncio.Task[bool]] = {}  # of each customer

    def take(self, record: Any) -> None:
        """Begin with a record, or put it behind the one before it of the same customer."""
        before = self._newest.get(record.key)
        task = asyncio.create_task(self._run(record, before))
        self._open[record.offset] = task, time.monotonic()
        self._newest[record.key] = task
        self.next = record.offset + 1

    def skip(self, next_offset: int) -> None:
        """What lies before this offset and was not taken is nobody's business here."""
        self.next = max(self.next, next_offset)

    @property
    def position(self) -> int:
        """Everything before it is done: what may be committed."""
        return next(iter(self._open), self.next)

    @property
    def full(self) -> bool:
        """No more should be taken."""
        return len(self._open) >= RECORDS_MAX

    @property
    def tasks(self) -> list[asyncio.Task[bool]]:
        """Of the records that are open."""
        return [task for task, _ in self._open.values()]

    @property
    def oldest_s(self) -> float:
        """For how long the oldest record has been open; 0 if none is."""
        return time.monotonic() - next(iter(self._open.values()))[1] if self._open else 0.0

    def __len__(self) -> int:
        return len(self._open)

    async def _run(self, record: Any, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:
            await asyncio.wait((before,))
            if before.cancelled() or not before.result():
                return False
        try:
            done = await self._work(record)
        except Exception as failure:
            self._on_failure(failure)
            return False
        if done:
            del self._open[record.offset]
            if self._newest[record.key] is asyncio.current_task():
                del self._newest[record.key]
        return done
