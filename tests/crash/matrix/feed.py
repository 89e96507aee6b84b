"""The publisher: sends one share before each fault, ever more slowly, so that faults always hit work in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.settings import Settings
from streams.topics import EVENTS, name_of
from tests.crash.matrix.harm import Sending

_TICK_S = 0.1
# The last share is not slowed down: 600 events per second.
_MOST_PER_TICK = 60
# Part of the rest of a share that is sent per tick. After 8 s, a thirtieth of the share is still left.
_SLOWNESS = 24
# One event every 0.4 s until this many are left, so that there is work for minutes beyond the planned shares.
_TRICKLE_TICKS, _RESERVE = 4, 50
# Longer than any outage of the broker in the matrix.
_PATIENCE_MS = 180_000


class Feed:
    """Sends all of `sendings` to the events topic.

    Attributes:
        sent: Number of records sent so far.
        arrived: Wall time of sending by (partition, offset).
        failed: Records that the broker rejected.
    """

    def __init__(self, settings: Settings, sendings: Sequence[Sending], *, shares: int) -> None:
        self.sendings, self.shares = sendings, shares
        self.sent = 0
        self.arrived: dict[tuple[int, int], int] = {}
        self.failed: list[str] = []
        self._settings, self._given, self._ticks = settings, 1, 0

    @property
    def done(self) -> bool:
        """Whether no events are left that a fault could hit."""
        return self.sent >= len(self.sendings)

    def next_share(self) -> None:
        """Release the next share after a fault."""
        self._given += 1

    def rest(self) -> None:
        """Send the rest, because all faults were injected."""
        self._given = self.shares

    async def publish(self) -> None:
        """Run until everything is sent and acknowledged."""
        topic, futures = name_of(EVENTS, self._settings), []
        async with AIOKafkaProducer(
            **self._settings.connection(),
            linger_ms=5,
            enable_idempotence=True,
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=_PATIENCE_MS,
        ) as producer:
            while not self.done:
                left = len(self.sendings) * self._given // self.shares - self.sent
                last = self._given >= self.shares
                slow = max(min(left - 1, 1 + left // _SLOWNESS), self._trickle())
                for _ in range(min(left, _MOST_PER_TICK) if last else slow):
                    futures.append(await self._send(producer, topic, self.sendings[self.sent]))
                    self.sent += 1
                await asyncio.sleep(_TICK_S)
            await asyncio.gather(*futures, return_exceptions=True)

    def _trickle(self) -> int:
        """Number of events to send regardless of shares: on a busy machine, a share may end before its fault begins."""
        self._ticks += 1
        return int(self._ticks % _TRICKLE_TICKS == 0 and len(self.sendings) - self.sent > _RESERVE)

    async def _send(self, producer: AIOKafkaProducer, topic: str, one: Sending) -> asyncio.Future[Any]:
        at_ms = int(time.time() * 1000)
        future: asyncio.Future[Any] = await producer.send(
            topic, one.value, one.key, one.partition, one.timestamp_ms, list(one.headers)
        )

        def answered(future: asyncio.Future[Any]) -> None:
            if future.cancelled() or (error := future.exception()) is not None:
                self.failed.append(f"not taken by the broker: {error!r}" if not future.cancelled() else "not sent")
            else:
                self.arrived[one.partition, future.result().offset] = at_ms

        future.add_done_callback(answered)
        return future
