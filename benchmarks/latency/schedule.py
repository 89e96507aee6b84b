"""Open-loop load: every event has a scheduled send time that does not depend on earlier responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

# Like the linger of an application's producer: events that are due within this time share one request.
_LINGER_S = 0.01
_ACKNOWLEDGED_WITHIN_S = 60.0


@dataclass
class Schedule:
    """Scheduled send time of each event (wall time, s) by partition and offset. There is no other producer.

    Attributes:
        handed_s: When the event was handed to the producer, which is later by the linger and by any stall.
    """

    intended_s: list[list[float]]
    handed_s: list[list[float]] = field(default_factory=list)

    @classmethod
    def after(cls, ends: Sequence[int]) -> Schedule:
        """Start a schedule after the existing events of the partitions, which have no send time."""
        return cls([[0.0] * end for end in ends], [[0.0] * end for end in ends])

    @property
    def ends(self) -> list[int]:
        """The offset after the last event of each partition."""
        return [len(times) for times in self.intended_s]

    def latest_s(self, since: Sequence[int]) -> float:
        """Maximum delay of handing an event to the producer, from these offsets on."""
        late = [
            handed - intended
            for partition, first in enumerate(since)
            for handed, intended in zip(
                self.handed_s[partition][first:], self.intended_s[partition][first:], strict=True
            )
        ]
        return max(late, default=0.0)


@dataclass(frozen=True, slots=True)
class Due:
    """One event of a partition and its send time after the start, s."""

    after_s: float
    key: bytes
    value: bytes


def evenly(events: Sequence[tuple[int, bytes, bytes]], rate: float, partitions: int) -> list[list[Due]]:
    """Schedule events (partition, key, value) in order, one every 1 / rate seconds, and group them by partition.

    >>> [[due.after_s for due in each] for each in evenly([(0, b"", b""), (1, b"", b""), (0, b"", b"")], 2.0, 2)]
    [[0.0, 1.0], [0.5]]
    """
    scheduled: list[list[Due]] = [[] for _ in range(partitions)]
    for number, (partition, key, value) in enumerate(events):
        scheduled[partition].append(Due(number / rate, key, value))
    return scheduled


async def send(
    producer: AIOKafkaProducer, topic: str, scheduled: Sequence[Sequence[Due]], schedule: Schedule, start_s: float
) -> None:
    """Send each event at its scheduled time after `start_s` (wall time), which also becomes its timestamp.

    Late events are sent at once. The schedule never waits for the broker, so a stall counts for every event that it
    delays, not only for one.
    """
    deliveries: list[asyncio.Future[object]] = []
    next_index = [0] * len(scheduled)

    async def send_due(partition: int, now_s: float) -> None:
        waiting, index = scheduled[partition], next_index[partition]
        while index < len(waiting) and start_s + waiting[index].after_s <= now_s:
            batch = producer.create_batch()
            first = index
            while index < len(waiting) and start_s + waiting[index].after_s <= now_s:
                due = waiting[index]
                at_s = start_s + due.after_s
                if batch.append(key=due.key, value=due.value, timestamp=int(at_s * 1000)) is None:
                    break  # the batch is full
                schedule.intended_s[partition].append(at_s)
                index += 1
            deliveries.append(await producer.send_batch(batch, topic, partition=partition))
            schedule.handed_s[partition] += [time.time()] * (index - first)
        next_index[partition] = index

    while any(index < len(events) for index, events in zip(next_index, scheduled, strict=True)):
        now_s = time.time()
        await asyncio.gather(*[send_due(partition, now_s) for partition in range(len(scheduled))])
        await asyncio.sleep(max(0.0, now_s + _LINGER_S - time.time()))
    async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_S):
        await asyncio.gather(*deliveries)
