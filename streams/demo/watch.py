"""Read alerts and figures from Kafka, as any consumer could: events applied, lag, and model quality."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.kafka.topic_reader import new_consumer, partitions_of
from streams.kafka.unusable_records import UnusableRecords
from streams.rendering.alerts import published_alert
from streams.settings import Settings
from streams.topics import ALERTS, EVENTS, METRICS, name_of
from streams.training.learner import QUALITY_KEY
from streams.training.published_quality import read_quality

_POLL_MS = 200
# The worker commits its position once a second, so sampling more often shows nothing new.
SAMPLE_EVERY_S = 1.0
# Long enough to smooth commits that come once a second.
_RATE_WINDOW_S = 5.0


class EventRate:
    """Events per second over the last five seconds.

    >>> rate = EventRate()
    >>> [rate.add(now_s, total) for now_s, total in ((0.0, 0), (1.0, 500), (2.0, 3000), (7.0, 3000))]
    [0.0, 500.0, 1500.0, 0.0]
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, total: int) -> float:
        """Add a sample of the total and return the current rate."""
        self._samples.append((now_s, total))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - _RATE_WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        return (total - first) / (now_s - first_s) if now_s > first_s else 0.0


class Watch:
    """Reads until cancelled. The attributes hold the newest figures.

    Attributes:
        applied: Events that the group has applied, by its committed offsets (a second late).
        lag: Events in the topic that the group has not applied.
        rate: Applied events per second.
        quality: The trainer's newest quality record; None before the first label.
        unusable: Skipped records.
    """

    def __init__(self, settings: Settings, on_alert: Callable[[Any], None]) -> None:
        self.applied = 0
        self.lag = 0
        self.rate = 0.0
        self.quality: dict[str, Any] | None = None
        self.unusable = UnusableRecords(named=(name_of(METRICS, settings),))
        self._settings = settings
        self._on_alert = on_alert
        self._rate = EventRate()

    async def run(self) -> None:
        """Follow alerts and sample offsets.

        Raises:
            KafkaError: the broker refuses the connection permanently. A missing broker is waited for.
        """
        settings = self._settings
        events = await partitions_of(settings, name_of(EVENTS, settings))
        alerts = await partitions_of(settings, name_of(ALERTS, settings))
        consumer = new_consumer(settings)
        admin = AIOKafkaAdminClient(**settings.connection())
        await consumer.start()
        try:
            await admin.start()
            consumer.assign([*alerts, TopicPartition(name_of(METRICS, settings), 0)])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(consumer))
                group.create_task(self._sample(consumer, admin, events))
        finally:
            await consumer.stop()
            await admin.close()

    async def _follow(self, consumer: Any) -> None:
        alerts = name_of(ALERTS, self._settings)
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if tp.topic == alerts:
                        if (alert := self.unusable.use(record, published_alert)) is not None:
                            self._on_alert(alert)
                    elif record.key == QUALITY_KEY and record.value is not None:
                        self.quality = self.unusable.use(record, _quality) or self.quality

    async def _sample(self, consumer: Any, admin: Any, events: list[TopicPartition]) -> None:
        while True:
            with contextlib.suppress(KafkaError):  # the group does not exist yet, or the broker is away
                committed = await admin.list_consumer_group_offsets(self._settings.kafka_group_id, partitions=events)
                ends = await consumer.end_offsets(events)
                self.applied = sum(max(0, at.offset) for at in committed.values())
                self.lag = max(0, sum(ends.values()) - self.applied)
                self.rate = self._rate.add(time.monotonic(), self.applied)
            await asyncio.sleep(SAMPLE_EVERY_S)


def _quality(record: Any) -> dict[str, Any]:
    return read_quality(record.value)
