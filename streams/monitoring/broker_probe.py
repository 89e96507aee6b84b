"""Probe of the brokers, every 2 s: reachability, end offsets, and the age of the oldest record not applied yet.

Tested by tests/streams/test_health.py and tests/streams/monitoring/test_collector.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.health import Check
from streams.kafka.aiokafka_internals import stop_consumer
from streams.kafka.topic_reader import first_records
from streams.runtime.background_tasks import BackgroundTask
from streams.settings import Settings

_PROBE_EVERY_S = 2.0
_RESPONSE_TIMEOUT_S = 4.0
# Prevents a broker that does not answer from delaying the end of the process.
_CLOSE_S = 0.3
# A leader election takes some seconds and is no outage.
_UNREACHABLE_AFTER_S = 10.0
# One record per partition is needed. Whatever the limit, a fetch returns at least one batch.
_FETCH_BYTES = 16 * 1024

EndOffsets = dict[int, tuple[int, int]]
Positions = Callable[[], Mapping[int, int | None]]
"""Partition -> the next offset to apply, or None if it is not known."""


class BrokerProbe:
    """Probes the brokers from the HTTP thread, so that it continues while the main loop is blocked.

    Args:
        settings: of the process.
        topic: whose partitions are probed. A response also shows that their leaders are reachable.
        positions: returns the partitions to probe; partition 0 is probed if there are none.
        clock: seconds, monotonic.

    Attributes:
        ends: partition -> (last stable offset, high watermark). They differ while a transaction is open.
        oldest: partition -> (offset, timestamp in ms) of the first record that waited when last probed.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        positions: Positions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ends: EndOffsets = {}
        self.oldest: dict[int, tuple[int, int]] = {}
        self._settings = settings
        self._topic = topic
        self._positions = positions
        self._clock = clock
        self._responded_at: float | None = None
        self._failure = "no response yet"

    async def run(self, task: BackgroundTask) -> None:
        """Probe until cancelled; reconnect after a failure."""
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    stable = await self._connected(stack, "read_committed")
                    newest = await self._connected(stack, "read_uncommitted")
                    while True:
                        await self._probe(stable, newest)
                        task.succeeded()
                        await asyncio.sleep(_PROBE_EVERY_S)
            except (KafkaError, TimeoutError, OSError) as failure:
                self._failure = repr(failure)
                await asyncio.sleep(_PROBE_EVERY_S)

    async def _connected(self, stack: contextlib.AsyncExitStack, isolation: str) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._settings.connection(),
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # retention may delete the waiting record before the fetch
            fetch_max_wait_ms=self._settings.kafka_fetch_max_wait_ms,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        stack.push_async_callback(stop_consumer, consumer, _CLOSE_S)
        async with asyncio.timeout(_RESPONSE_TIMEOUT_S):
            await consumer.start()
        return consumer

    async def _probe(self, stable: AIOKafkaConsumer, newest: AIOKafkaConsumer) -> None:
        positions = dict(self._positions())
        tps = [TopicPartition(self._topic, number) for number in positions or (0,)]
        async with asyncio.timeout(_RESPONSE_TIMEOUT_S):
            stable_ends, newest_ends = await stable.end_offsets(tps), await newest.end_offsets(tps)
        self.record_ends({tp.partition: (stable_ends[tp], newest_ends[tp]) for tp in tps})
        waiting = {
            tp: (position, stable_ends[tp])
            for tp in tps
            if (position := positions.get(tp.partition)) is not None and position < stable_ends[tp]
        }
        with contextlib.suppress(TimeoutError):  # the brokers are reachable; keep the previous ages
            async with asyncio.timeout(_RESPONSE_TIMEOUT_S):
                records = await first_records(stable, waiting)
            self.oldest = {tp.partition: (record.offset, record.timestamp) for tp, record in records.items()}
        stable.pause(*stable.assignment())

    def oldest_wait_s(self, partition: int, position: int, applied_ms: int | None) -> float | None:
        """Return the age of the oldest record that is not applied; 0 if none waits, None before the first probe.

        Args:
            partition: its number.
            position: the next offset to apply, now.
            applied_ms: timestamp of the last applied record. It is the lower bound if the record that waited when last
                probed is applied meanwhile: records that wait now arrived later.
        """
        if partition not in self.ends:
            return None
        if position >= self.ends[partition][0]:
            return 0.0
        offset, arrived_ms = self.oldest.get(partition, (-1, 0))
        if offset < position:
            arrived_ms = applied_ms or 0
        return max(0.0, time.time() - arrived_ms / 1000) if arrived_ms else None

    def record_ends(self, ends: EndOffsets) -> None:
        """Store the end offsets of a response, and when it arrived."""
        self.ends, self._responded_at = ends, self._clock()

    def checks(self) -> list[Check]:
        """Fails if the brokers have not responded for 10 s."""
        servers = self._settings.kafka_bootstrap_servers
        if self._responded_at is None:
            return [Check("broker", False, f"no response from {servers} yet: {self._failure}")]
        silent_s = self._clock() - self._responded_at
        if silent_s > _UNREACHABLE_AFTER_S:
            return [Check("broker", False, f"no response from {servers} for {silent_s:.0f} s: {self._failure}")]
        return [Check("broker", True, f"responded {silent_s:.0f} s ago")]
