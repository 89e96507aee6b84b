"""In-flight records of one partition: sequential per customer, concurrent across customers.

Tested by tests/streams/notify/test_in_flight.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

# About 10 KB each: 5 MB per partition while a receiver is down. A larger limit would not deliver them sooner.
RECORDS_MAX: Final = 500

Deliver = Callable[[Any], Awaitable[bool]]
"""Delivers a record. Returns False if it was abandoned because of a shutdown."""


class InFlightRecords:
    """Tracks records from `add` to the end of their delivery.

    Args:
        position: the first offset.
        deliver: called with each record.
        on_failure: called with an exception of `deliver`, which is a bug. The record stays in flight.

    Attributes:
        next: the offset after the last added record.
    """

    def __init__(self, position: int, deliver: Deliver, on_failure: Callable[[BaseException], None]) -> None:
        self.next = position
        self._deliver, self._on_failure = deliver, on_failure
        # Task and start time (monotonic, s) by offset, in ascending order.
        self._started: dict[int, tuple[asyncio.Task[bool], float]] = {}
        # The last task of each customer.
        self._newest: dict[bytes | None, asyncio.Task[bool]] = {}

    def add(self, record: Any) -> None:
        """Start the delivery of a record, after the previous record of the same customer."""
        previous = self._newest.get(record.key)
        task = asyncio.create_task(self._run(record, previous))
        self._started[record.offset] = task, time.monotonic()
        self._newest[record.key] = task
        self.next = record.offset + 1

    def skip(self, next_offset: int) -> None:
        """Advance past offsets that hold no records, such as transaction markers."""
        self.next = max(self.next, next_offset)

    @property
    def position(self) -> int:
        """The offset that may be committed: all records before it are done."""
        return next(iter(self._started), self.next)

    @property
    def full(self) -> bool:
        """Whether the limit is reached, so that the partition should be paused."""
        return len(self._started) >= RECORDS_MAX

    @property
    def tasks(self) -> list[asyncio.Task[bool]]:
        """Delivery tasks of the in-flight records."""
        return [task for task, _ in self._started.values()]

    @property
    def oldest_s(self) -> float:
        """Age of the oldest in-flight record; 0 if there is none."""
        return time.monotonic() - next(iter(self._started.values()))[1] if self._started else 0.0

    def __len__(self) -> int:
        return len(self._started)

    async def _run(self, record: Any, previous: asyncio.Task[bool] | None) -> bool:
        if previous is not None:
            await asyncio.wait((previous,))
            if previous.cancelled() or not previous.result():
                return False
        try:
            done = await self._deliver(record)
        except Exception as failure:
            self._on_failure(failure)
            return False
        if done:
            del self._started[record.offset]
            if self._newest[record.key] is asyncio.current_task():
                del self._newest[record.key]
        return done
