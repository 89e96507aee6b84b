"""How far ahead of what is applied the consumer fetches."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from streams.engine.contract import Batch
from streams.engine.faust_app import BatchConsumer

TP = TopicPartition("events", 0)


class Consumer(BatchConsumer):
    """The credits alone, without a group."""

    def __init__(self) -> None:
        self.app: Any = SimpleNamespace(settings=SimpleNamespace(topic_events="events"))
        self._open = {TP}
        self._ahead, self._records_ahead = Counter(), Counter()
        self.woken = 0

    def _wake(self) -> None:
        self.woken += 1

    def take(self, records: int, partition: int = 0) -> Batch:
        """As if a fetch had brought so many."""
        batch = Batch("events", partition, 0, records, records, [None] * records)  # type: ignore[list-item]
        tp = TopicPartition("events", partition)
        self._ahead[tp] += 1
        self._records_ahead[tp] += records + 1
        return batch


def test_small_batches_are_fetched_until_they_are_many_records() -> None:
    """Rule: what is fetched and not taken holds up all partitions, so what is small is taken; markers count as one."""
    consumer, batches = Consumer(), 0
    while consumer._has_credit(TP):
        consumer.take(99)
        batches += 1
    assert batches == 50
    only_markers = Consumer()
    for _ in range(5_000):
        only_markers.take(0)
    assert not only_markers._has_credit(TP)


def test_two_batches_are_fetched_however_large() -> None:
    """Rule: one is applied and one waits; a third would only be dropped at a rebalance."""
    consumer = Consumer()
    consumer.take(9_000)
    assert consumer._has_credit(TP)
    consumer.take(9_000)
    assert not consumer._has_credit(TP)


def test_of_many_partitions_each_has_one_batch_at_least_and_few_have_two() -> None:
    """Rule: what is fetched ahead does not grow with the number of partitions beyond a batch of each."""
    consumer, first = Consumer(), []
    for partition in range(10):
        assert consumer._has_credit(TopicPartition("events", partition))
        first.append(consumer.take(12_000, partition))
    assert not any(consumer._has_credit(TopicPartition("events", partition)) for partition in range(10))
    consumer.finished(first[0])  # which may have another one, for it has none
    assert consumer.woken == 1
    consumer.finished(first[1])  # now the others may have a second
    assert consumer.woken == 2
    assert all(consumer._has_credit(TopicPartition("events", partition)) for partition in range(10))


def test_a_fetch_that_waits_is_ended_when_there_is_credit_again() -> None:
    """Rule: credit that comes back wakes the fetch once, and not while there was some anyway."""
    consumer = Consumer()
    first, second = consumer.take(4_000), consumer.take(4_000)
    consumer.finished(first)
    assert consumer.woken == 1
    consumer.finished(second)
    assert consumer.woken == 1
    assert (consumer._ahead[TP], consumer._records_ahead[TP]) == (0, 0)
