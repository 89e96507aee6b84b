"""Scores and alerts of many customers as workers publish them, copied from a few that are really scored."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.throughput import world
from models.backtesting.backtest import MemoryStore
from streams.kafka.model_reader import PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from streams.topics import ALERTS, SCORES, name_of

# Number of customers that are simulated and scored. Their scores and alerts are copied for the other customers.
SAMPLES = 1_000
_EVENTS = 40_000
_BATCH = 500
_BATCH_BYTES = 500_000


class Sample(NamedTuple):
    """The latest score and alert of one simulated customer.

    Attributes:
        customer: Id of the customer in the values.
        score: Value of churn-scores.
        alert: Value and id of the opened alert; None if there is none.
    """

    customer: bytes
    score: bytes
    alert: tuple[bytes, bytes] | None


class _Record(NamedTuple):
    offset: int
    value: bytes
    headers: tuple[()] = ()
    key: bytes | None = None
    topic: str = "customer-events"
    partition: int = 0
    timestamp: int = int(time.time() * 1000)


class _Store(MemoryStore):
    def next_due_ms(self) -> int | None:
        return None


def samples(model: bytes, customers: int = SAMPLES, events: int = _EVENTS) -> list[Sample]:
    """Return scores and alerts that a worker's processor publishes for simulated customers."""
    shared = ProcessorContext(Settings(), world.definition(), 1)
    shared.on_snapshot(PublishedSnapshot(model, 0))
    store = _Store()
    processor = EventProcessor(shared, 0, store, None)
    scores: dict[bytes, bytes] = {}
    alerts: dict[bytes, tuple[bytes, bytes]] = {}
    feed = (
        _Record(number, value) for number, (_, value) in enumerate(itertools.islice(world.endless(customers), events))
    )
    waiting: list[_Record] = list(itertools.islice(feed, _BATCH))
    while waiting:
        effects = processor.process(waiting, None)
        for output in effects.outputs:
            if output.topic == shared.scores and output.key and output.value:
                scores[output.key] = output.value
            elif output.topic == shared.alerts and output.key and output.value:
                headers = dict(output.headers)
                if headers["ce_type"] == b"churn.alert.opened.v1":
                    alerts[output.key] = output.value, headers["ce_id"].rsplit(b"-", 1)[0]
        store.apply(dict(effects.changes))
        processor.committed()
        waiting = waiting[effects.consumed :] + list(itertools.islice(feed, _BATCH))
    return [Sample(customer, score, alerts.get(customer)) for customer, score in scores.items()]


def copied(found: Sequence[Sample], customers: int, alerts: int) -> Iterator[tuple[bytes, bytes, bytes | None]]:
    """Yield (customer, score, alert or None) for each customer. The first `alerts` customers have an open alert."""
    alerted = [sample for sample in found if sample.alert]
    others = [sample for sample in found if not sample.alert]
    for number in range(customers):
        sources = alerted if number < alerts else others
        sample, name = sources[number % len(sources)], b"c%06d" % number
        score = sample.score.replace(b'"%b"' % sample.customer, b'"%b"' % name)
        if sample.alert is None:
            yield name, score, None
            continue
        value, alert_id = sample.alert
        own = b"%032x" % number
        value = value.replace(sample.customer, name).replace(alert_id, own)
        yield name, score.replace(alert_id, own), value


async def publish(settings: Settings, found: Sequence[Sample], customers: int, alerts: int) -> int:
    """Publish all scores and alerts to churn-scores and churn-alerts. Return the size of the scores in bytes."""
    size = 0
    producer = AIOKafkaProducer(
        **settings.connection(), compression_type=settings.compression, linger_ms=5, max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        for customer, score, alert in copied(found, customers, alerts):
            partition = partition_of(customer, settings.partitions)
            await producer.send(name_of(SCORES, settings), score, key=customer, partition=partition)
            if alert is not None:
                await producer.send(name_of(ALERTS, settings), alert, key=customer, partition=partition)
            size += len(score)
        await producer.flush()
    finally:
        await producer.stop()
    return size
