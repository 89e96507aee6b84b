"""How far the events of a topic have come in event time, from the newest record of each partition.

Tested by tests/broker/test_publishing.py.
"""

from __future__ import annotations

from statistics import median_low

from models.events.event import Event, decode
from streams.kafka.topic_reader import consuming, newest_records, partitions_of, spans_of
from streams.settings import Settings
from streams.topics import EVENTS, name_of


async def topic_clock_ms(settings: Settings) -> int | None:
    """Return the median of the partitions' newest event times; None for a topic without a valid event.

    A single wrong clock, or a partition without recent customers, does not decide.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    times = []
    tps = await partitions_of(settings, name_of(EVENTS, settings))
    async with consuming(settings) as consumer:
        for tp, span in (await spans_of(consumer, tps)).items():
            for record in await newest_records(consumer, {tp: span}, 1, lambda record: record.value is not None):
                event = decode(record.value, record.headers, record.timestamp)
                if isinstance(event, Event):
                    times.append(event.time_ms)
    return median_low(times) if times else None
