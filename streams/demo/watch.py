"""Alerts and figures, read from Kafka as anybody could: what the group has applied, and what the model has learned."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.topic_reader import new_consumer, partitions_of
from streams.settings import Settings
from streams.topics import ALERTS, EVENTS, METRICS, name_of
from streams.training.learner import QUALITY_KEY

_POLL_MS = 200
# The worker commits its position to the group once a second: looking more often shows nothing new.
LOOK_EVERY_S = 1.0
# Long enough that commits of once a second do not flicker.
_RATE_OVER_S = 5.0


class Rate:
    """Events a second over the last five seconds.

    >>> rate = Rate()
    >>> [rate.add(now_s, total) for now_s, total in ((0.0, 0), (1.0, 500), (2.0, 3000), (7.0, 3000))]
    [0.0, 500.0, 1500.0, 0.0]
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, total: int) -> float:
        """One look; returns the rate up to it."""
        self._seen.append((now_s, total))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - _RATE_OVER_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (total - first) / (now_s - first_s) if now_s > first_s else 0.0


class Watch:
    """Reads until it is cancelled; its attributes are the newest figures.

    Attributes:
        applied: events that the group has applied, as it says itself (a second late).
        lag: events in the topic that it has not.
        rate: events applied a second.
        quality: the trainer's newest record about the model, None until labels were learned.
    """

    def __init__(self, settings: Settings, on_alert: Callable[[Any], None]) -> None:
        self.applied = 0
        self.lag = 0
        self.rate = 0.0
        self.quality: dict[str, Any] | None = None
        self._settings = settings
        self._on_alert = on_alert
        self._rate = Rate()

    async def run(self) -> None:
        """Raises KafkaError if the broker refuses us for good; its absence is waited out."""
        settings = self._settings
        events = await partitions_of(settings, name_of(EVENTS, settings))
        alerts = await partitions_of(settings, name_of(ALERTS, settings))
        consumer = new_consumer(settings)
        admin = AIOKafkaAdminClient(**settings.connection())
        await consumer.start()
        try:
            await admin.start()
            consumer.assign([*alerts, TopicPartition(name_of(METRICS, settings), 0)])
            async with asyncio.TaskGroup() as both:
                both.create_task(self._follow(consumer))
                both.create_task(self._look(consumer, admin, events))
        finally:
            await consumer.stop()
            await admin.close()

    async def _follow(self, consumer: Any) -> None:
        alerts = name_of(ALERTS, self._settings)
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if tp.topic == alerts:
                        self._on_alert(orjson.loads(record.value))
                    elif record.key == QUALITY_KEY and record.value is not None:
                        self.quality = orjson.loads(record.value)

    async def _look(self, consumer: Any, admin: Any, events: list[TopicPartition]) -> None:
        while True:
            with contextlib.suppress(KafkaError):  # until the group exists; later, until the broker is back
                committed = await admin.list_consumer_group_offsets(self._settings.kafka_group_id, partitions=events)
                ends = await consumer.end_offsets(events)
                self.applied = sum(max(0, at.offset) for at in committed.values())
                self.lag = max(0, sum(ends.values()) - self.applied)
                self.rate = self._rate.add(time.monotonic(), self.applied)
            await asyncio.sleep(LOOK_EVERY_S)
