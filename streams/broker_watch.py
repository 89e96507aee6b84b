"""Whether the brokers answer, and where the inputs end: asked every two seconds over a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.health import Check
from streams.settings import Settings

_ASK_EVERY_S = 2.0
_ANSWER_TIMEOUT_S = 4.0
# An election of a leader takes some seconds, in which nothing is wrong.
_SILENT_MAX_S = 10.0

Ends = dict[int, tuple[int, int]]


class BrokerWatch:
    """Runs beside the HTTP server, so that it knows also while the main loop stands still.

    Args:
        settings: of the process.
        topic: whose partitions are asked for; also tells that their leaders answer.
        partitions: which, at the time of asking; empty asks for partition 0.
        clock: seconds, monotonic.

    Attributes:
        ends: partition -> (last stable offset, high watermark). They differ for as long as a transaction is open.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partitions: Callable[[], Iterable[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends: Ends = {}
        self._settings = settings
        self._topic = topic
        self._partitions = partitions
        self._clock = clock
        self._answered_at: float | None = None
        self._failure = "not asked yet"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    stable = await self._connected(stack, "read_committed")
                    newest = await self._connected(stack, "read_uncommitted")
                    while True:
                        await self._ask(stable, newest)
                        await asyncio.sleep(_ASK_EVERY_S)
            except (KafkaError, TimeoutError, OSError) as failure:
                self._failure = repr(failure)
                await asyncio.sleep(_ASK_EVERY_S)

    async def _connected(self, stack: contextlib.AsyncExitStack, isolation: str) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._settings.connection(), isolation_level=isolation, enable_auto_commit=False, auto_offset_reset="none"
        )
        stack.push_async_callback(consumer.stop)
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await consumer.start()
        return consumer

    async def _ask(self, stable: AIOKafkaConsumer, newest: AIOKafkaConsumer) -> None:
        tps = [TopicPartition(self._topic, number) for number in self._partitions()] or [TopicPartition(self._topic, 0)]
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            low, high = await stable.end_offsets(tps), await newest.end_offsets(tps)
        self.answered({tp.partition: (low[tp], high[tp]) for tp in tps})

    def answered(self, ends: Ends) -> None:
        """The brokers have said where the partitions end."""
        self.ends, self._answered_at = ends, self._clock()

    def checks(self) -> list[Check]:
        """Reachable if there was an answer within ten seconds."""
        where = self._settings.kafka_bootstrap_servers
        if self._answered_at is None:
            return [Check("broker", False, f"{where} has not answered yet: {self._failure}")]
        silent_s = self._clock() - self._answered_at
        if silent_s > _SILENT_MAX_S:
            return [Check("broker", False, f"{where} has not answered for {silent_s:.0f} s: {self._failure}")]
        return [Check("broker", True, f"answered {silent_s:.0f} s ago")]
