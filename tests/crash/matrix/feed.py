"""The publisher: sends in shares, one before each harm, ever more slowly, so that harm always meets work in flight."""

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
# The last share is not slowed: 600 a second.
_MOST_PER_TICK = 60
# A share's rest shrinks by this part a tick: after 8 s of harm a thirtieth of it is still to come.
_SLOWNESS = 24
# An event every 0.4 s, until so many are left: there is work for minutes beyond what the shares foresee.
_TRICKLE_TICKS, _RESERVE = 4, 50
# Longer than any outage of the broker in the matrix.
_PATIENCE_MS = 180_000


class Feed:
    """Sends all of `sendings` to the events topic.

    Attributes:
        sent: how many so far.
        arrived: (partition, offset) -> wall time of sending.
        failed: what the broker did not take.
    """

    def __init__(self, settings: Settings, sendings: Sequence[Sending], *, shares: int) -> None:
        self.sendings, self.shares = sendings, shares
        self.sent = 0
        self.arrived: dict[tuple[int, int], int] = {}
        self.failed: list[str] = []
        self._settings, self._given, self._ticks = settings, 1, 0

    @property
    def done(self) -> bool:
        """Whether there is nothing left that harm could meet."""
        return self.sent >= len(self.sendings)

    def next_share(self) -> None:
        """One harm is done; the next one meets the next share."""
        self._given += 1

    def rest(self) -> None:
        """All harm is done."""
        self._given = self.shares

    async def publish(self) -> None:
        """Until everything is sent and acknowledged."""
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
        """What is sent however long a harm takes: on a busy machine a share may be over before its harm begins."""
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
