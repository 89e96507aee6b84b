"""How far ahead of processing the consumer fetches."""

from __future__ import annotations

from aiokafka import TopicPartition

from streams.engine.contract import Batch
from streams.engine.fetch_credits import FetchCredits

TP = TopicPartition("events", 0)


def take(credits: FetchCredits, records: int, partition: int = 0) -> Batch:
    """Count a fetched batch of so many records."""
    batch = Batch("events", partition, 0, records, records, [None] * records)  # type: ignore[list-item]
    credits.take(TopicPartition("events", partition), batch)
    return batch


def give_back(credits: FetchCredits, batch: Batch) -> bool:
    return credits.give_back(TopicPartition("events", batch.partition), batch)


def test_small_batches_are_fetched_until_they_are_many_records() -> None:
    """Rule: a fetched batch that is not taken delays all partitions, so small ones are taken; a batch without records
    counts as one record."""
    credits, batches = FetchCredits(), 0
    while credits.has_credit(TP):
        take(credits, 99)
        batches += 1
    assert batches == 50
    only_markers = FetchCredits()
    for _ in range(5_000):
        take(only_markers, 0)
    assert not only_markers.has_credit(TP)


def test_two_batches_are_fetched_whatever_their_size() -> None:
    """Rule: one is processed and one waits; a third would only be dropped at a rebalance."""
    credits = FetchCredits()
    take(credits, 9_000)
    assert credits.has_credit(TP)
    take(credits, 9_000)
    assert not credits.has_credit(TP)


def test_every_partition_may_have_one_batch_and_few_may_have_two() -> None:
    """Rule: what is fetched ahead does not grow with the number of partitions beyond one batch each."""
    credits, batches = FetchCredits(), []
    tps = [TopicPartition("events", partition) for partition in range(10)]
    for tp in tps:
        assert credits.has_credit(tp)
        batches.append(take(credits, 12_000, tp.partition))
    assert not any(credits.has_credit(tp) for tp in tps)
    assert give_back(credits, batches[0])  # it has no batch any more
    assert give_back(credits, batches[1])  # below the limit again: the others may have a second batch
    assert all(credits.has_credit(tp) for tp in tps)


def test_credit_that_returns_is_reported_once() -> None:
    """Rule: a waiting fetch is woken when a partition has credit again, and not while it has some anyway."""
    credits = FetchCredits()
    first, second = take(credits, 4_000), take(credits, 4_000)
    assert give_back(credits, first)
    assert not give_back(credits, second)
