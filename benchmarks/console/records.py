"""Scores and alerts of many customers as workers publish them: real ones of a few, told of everybody."""

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

# So many customers are simulated and scored for real; the others take turns with what was said of them.
SAMPLES = 1_000
_EVENTS = 40_000
_BATCH = 500
_BATCH_BYTES = 500_000


class Sample(NamedTuple):
    """What was last said of one simulated customer.

    Attributes:
        customer: the id that stands in the values.
        score: value of churn-scores.
        alert: value and id of the opened alert, None where there was none.
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
    """Scores and alerts that a worker's own processor publishes for simulated customers."""
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


def told(found: Sequence[Sample], customers: int, alerts: int) -> Iterator[tuple[bytes, bytes, bytes | None]]:
    """(customer, score, alert or None) of so many customers, of whom the first `alerts` have an open one."""
    alerted, others = [one for one in found if one.alert], [one for one in found if not one.alert]
    for number in range(customers):
        of = alerted if number < alerts else others
        sample, name = of[number % len(of)], b"c%06d" % number
        score = sample.score.replace(b'"%b"' % sample.customer, b'"%b"' % name)
        if sample.alert is None:
            yield name, score, None
            continue
        value, alert_id = sample.alert
        own = b"%032x" % number
        value = value.replace(sample.customer, name).replace(alert_id, own)
        yield name, score.replace(alert_id, own), value


async def publish(settings: Settings, found: Sequence[Sample], customers: int, alerts: int) -> int:
    """Write all of it to churn-scores and churn-alerts; bytes of the scores."""
    size = 0
    producer = AIOKafkaProducer(
        **settings.connection(), compression_type=settings.compression, linger_ms=5, max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        for customer, score, alert in told(found, customers, alerts):
            partition = partition_of(customer, settings.partitions)
            await producer.send(name_of(SCORES, settings), score, key=customer, partition=partition)
            if alert is not None:
                await producer.send(name_of(ALERTS, settings), alert, key=customer, partition=partition)
            size += len(score)
        await producer.flush()
    finally:
        await producer.stop()
    return size
