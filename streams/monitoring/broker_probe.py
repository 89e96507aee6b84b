"""Whether the brokers answer, where the inputs end and how old what waits is: asked every two seconds, by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.health import Check
from streams.kafka.topic_reader import first_records
from streams.settings import Settings

_ASK_EVERY_S = 2.0
_ANSWER_TIMEOUT_S = 4.0
# An election of a leader takes some seconds, in which nothing is wrong.
_SILENT_MAX_S = 10.0
# The oldest record that waits is fetched, one a partition: a fetch gives at least one batch, whatever this says.
_FETCH_BYTES = 16 * 1024

Ends = dict[int, tuple[int, int]]
Positions = Callable[[], Mapping[int, int | None]]
"""Partition -> the next offset to apply, None where that is not known."""


class BrokerProbe:
    """Runs beside the HTTP server, so that it knows also while the main loop stands still.

    Args:
        settings: of the process.
        topic: whose partitions are asked for; also tells that their leaders answer.
        positions: of the partitions to ask for, at the time of asking; empty asks for partition 0.
        clock: seconds, monotonic.

    Attributes:
        ends: partition -> (last stable offset, high watermark). They differ for as long as a transaction is open.
        oldest: partition -> (offset, timestamp in ms) of the first record that waited at the last look.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        positions: Positions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends: Ends = {}
        self.oldest: dict[int, tuple[int, int]] = {}
        self._settings = settings
        self._topic = topic
        self._positions = positions
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
            **self._settings.connection(),
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # what waits may be deleted meanwhile
            fetch_max_wait_ms=self._settings.kafka_fetch_max_wait_ms,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        stack.push_async_callback(consumer.stop)
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await consumer.start()
        return consumer

    async def _ask(self, stable: AIOKafkaConsumer, newest: AIOKafkaConsumer) -> None:
        positions = dict(self._positions())
        tps = [TopicPartition(self._topic, number) for number in positions or (0,)]
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            low, high = await stable.end_offsets(tps), await newest.end_offsets(tps)
        self.answered({tp.partition: (low[tp], high[tp]) for tp in tps})
        waiting = {
            tp: (position, low[tp])
            for tp in tps
            if (position := positions.get(tp.partition)) is not None and position < low[tp]
        }
        with contextlib.suppress(TimeoutError):  # they have answered; what waits is then as old as it was
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                found = await first_records(stable, waiting)
            self.oldest = {tp.partition: (record.offset, record.timestamp) for tp, record in found.items()}
        stable.pause(*stable.assignment())

    def waited_s(self, partition: int, position: int, applied_ms: int | None) -> float | None:
        """How long the oldest record that is not applied has waited; 0 if none waits, None as long as nobody looked.

        Args:
            partition: its number.
            position: the next offset to apply, now.
            applied_ms: timestamp of the last record applied: what was seen waiting may be applied by now, and what
                waits then came after it.
        """
        if partition not in self.ends:
            return None
        if position >= self.ends[partition][0]:
            return 0.0
        offset, came_ms = self.oldest.get(partition, (-1, 0))
        if offset < position:
            came_ms = applied_ms or 0
        return max(0.0, time.time() - came_ms / 1000) if came_ms else None

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
