"""Publish simulated events at a steady rate, consume the scores, and measure the time between the two."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.latency.observer import caused
from models.simulation import Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import topic_partitions
from streams.settings import Settings
from streams.topics import EVENTS, SCORES, name_of

# Events start in 2000 and advance faster than real time: with 3,000 customers and 200 events/s, one day in 30 s. A run
# of 80 hours ends before the present, where event times would be capped.
_START_MS = 946_684_800_000
_DAYS = 30_000
_TICK_S = 0.05
# Drawing a day takes a moment, so it happens in a thread and ahead of time.
_AHEAD_S = 5.0
# Most events cause no score. They are forgotten after this time, which bounds the memory of this program.
_FORGET_S = 120.0

Source = tuple[int, int]  # partition and offset of an event


def percentile(values: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile; None without values.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([], 0.5)
    (2.0, None)
    """
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


class Latencies:
    """Pairs the time at which an event was sent with the time at which its score was seen, in either order."""

    def __init__(self) -> None:
        self.taken_ms: list[float] = []
        self._sent: dict[Source, float] = {}
        self._seen: dict[Source, float] = {}

    def sent(self, source: Source, at_s: float) -> None:
        """Note an acknowledged event."""
        if (seen_s := self._seen.pop(source, None)) is not None:
            self.taken_ms.append(1000 * (seen_s - at_s))
        else:
            self._sent[source] = at_s
        _forget(self._sent, at_s - _FORGET_S)

    def seen(self, source: Source, at_s: float) -> None:
        """Note a committed score. It can arrive before the acknowledgement of its event."""
        if (sent_s := self._sent.pop(source, None)) is not None:
            self.taken_ms.append(1000 * (at_s - sent_s))
        else:
            self._seen[source] = at_s
        _forget(self._seen, at_s - _FORGET_S)

    def drain(self) -> list[float]:
        """Return the latencies since the last call, ms."""
        found, self.taken_ms = self.taken_ms, []
        return found


class Traffic:
    """The publisher and the consumer of one run.

    Attributes:
        published, scores: Acknowledged events, and committed scores that an event caused.
        latencies: Times from event to score.
        failure: The error of an event that the broker did not take.
    """

    def __init__(self, settings: Settings, rate: float, customers: int) -> None:
        self.published = self.scores = 0
        self.latencies = Latencies()
        self.failure: BaseException | None = None
        self._settings, self._rate = settings, rate
        simulation = SimulationSettings(customers=customers, days=_DAYS, start_ms=_START_MS)
        self._events: Iterator[Any] = Simulation(simulation).events()

    async def publish(self) -> None:
        """Publish until cancelled. A delay is not made up for, so that the rate never exceeds the steady one."""
        topic, number = name_of(EVENTS, self._settings), max(1, int(self._rate * _AHEAD_S))
        async with AIOKafkaProducer(**self._settings.connection(), enable_idempotence=True, linger_ms=5) as producer:
            upcoming, due, last_s = iter(await self._draw(number)), 0.0, time.monotonic()
            drawing = asyncio.create_task(self._draw(number))
            while True:
                await asyncio.sleep(_TICK_S)
                now_s = time.monotonic()
                due = min(due + self._rate * (now_s - last_s), self._rate)
                last_s = now_s
                while due >= 1:
                    due -= 1
                    if (event := next(upcoming, None)) is None:
                        upcoming = iter(await drawing)
                        drawing = asyncio.create_task(self._draw(number))
                        continue
                    await self._send(producer, topic, event.customer.encode(), event.value)

    async def watch_scores(self) -> None:
        """Consume committed scores until cancelled."""
        topic = name_of(SCORES, self._settings)
        consumer = AIOKafkaConsumer(
            **self._settings.connection(), isolation_level="read_committed", enable_auto_commit=False
        )
        async with consumer:
            consumer.assign(topic_partitions(topic, self._settings.partitions))
            while True:
                found = await consumer.getmany(timeout_ms=1_000)
                now_s = time.time()
                for record in itertools.chain.from_iterable(found.values()):
                    if record.value is not None and (source := caused(record.value)) is not None:
                        self.scores += 1
                        self.latencies.seen(source, now_s)

    async def _draw(self, number: int) -> list[Any]:
        return await asyncio.to_thread(lambda: list(itertools.islice(self._events, number)))

    async def _send(self, producer: AIOKafkaProducer, topic: str, key: bytes, value: bytes) -> None:
        partition, sent_s = partition_of(key, self._settings.partitions), time.time()
        future = await producer.send(topic, value, key=key, partition=partition)

        def acknowledged(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                return
            if (error := done.exception()) is not None:
                self.failure = error
                return
            self.published += 1
            self.latencies.sent((partition, done.result().offset), sent_s)

        future.add_done_callback(acknowledged)


def _forget(times: dict[Source, float], before_s: float) -> None:
    """Remove the oldest entries; a dict keeps their order."""
    for source in list(itertools.takewhile(lambda source: times[source] < before_s, times)):
        del times[source]
