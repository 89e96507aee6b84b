"""An open loop: every event has a time at which it is to be sent, whatever became of those before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

# As an application's producer lingers: events leave together, in one request, that were due within this time.
_LINGER_S = 0.01
_ACKNOWLEDGED_WITHIN_S = 60.0


@dataclass
class Schedule:
    """When each event of a partition was to be sent (wall time, s), by its offset: nobody else writes to the topic.

    Attributes:
        handed_s: when it was handed to the producer; later than intended by the linger, and by what held us up.
    """

    intended_s: list[list[float]]
    handed_s: list[list[float]] = field(default_factory=list)

    @classmethod
    def after(cls, ends: Sequence[int]) -> Schedule:
        """For what follows the events that the partitions hold already, which nobody asks for."""
        return cls([[0.0] * end for end in ends], [[0.0] * end for end in ends])

    @property
    def ends(self) -> list[int]:
        """The offset after the last event of each partition."""
        return [len(times) for times in self.intended_s]

    def latest_s(self, since: Sequence[int]) -> float:
        """The most by which an event was handed over later than intended, from these offsets on."""
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
    """One event of a partition and its time after the start, s."""

    after_s: float
    key: bytes
    value: bytes


def evenly(events: Sequence[tuple[int, bytes, bytes]], rate: float, partitions: int) -> list[list[Due]]:
    """Events (partition, key, value) in order, one every 1 / rate seconds, dealt out to their partitions.

    >>> [[due.after_s for due in each] for each in evenly([(0, b"", b""), (1, b"", b""), (0, b"", b"")], 2.0, 2)]
    [[0.0, 1.0], [0.5]]
    """
    dealt: list[list[Due]] = [[] for _ in range(partitions)]
    for number, (partition, key, value) in enumerate(events):
        dealt[partition].append(Due(number / rate, key, value))
    return dealt


async def send(
    producer: AIOKafkaProducer, topic: str, dealt: Sequence[Sequence[Due]], schedule: Schedule, start_s: float
) -> None:
    """Send each event at its time, `start_s` being wall time; the time that it was to be sent is its timestamp.

    What is late is sent at once: the schedule never waits for the broker, so that a stall is counted for every event
    that it held up, and not for one of them.
    """
    deliveries: list[asyncio.Future[object]] = []
    places = [0] * len(dealt)

    async def one(partition: int, now_s: float) -> None:
        waiting, place = dealt[partition], places[partition]
        while place < len(waiting) and start_s + waiting[place].after_s <= now_s:
            batch = producer.create_batch()
            first = place
            while place < len(waiting) and start_s + waiting[place].after_s <= now_s:
                due = waiting[place]
                at_s = start_s + due.after_s
                if batch.append(key=due.key, value=due.value, timestamp=int(at_s * 1000)) is None:
                    break  # full
                schedule.intended_s[partition].append(at_s)
                place += 1
            deliveries.append(await producer.send_batch(batch, topic, partition=partition))
            schedule.handed_s[partition] += [time.time()] * (place - first)
        places[partition] = place

    while any(place < len(events) for place, events in zip(places, dealt, strict=True)):
        now_s = time.time()
        await asyncio.gather(*[one(partition, now_s) for partition in range(len(dealt))])
        await asyncio.sleep(max(0.0, now_s + _LINGER_S - time.time()))
    async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_S):
        await asyncio.gather(*deliveries)
