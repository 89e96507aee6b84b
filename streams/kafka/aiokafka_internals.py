"""The private parts of aiokafka that this program touches, in one place, for the version they were read in."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from streams.errors import ConfigurationError

WRITTEN_FOR = "0.14"

# A broker that refuses connections is asked again after some 30 ms, then half as often each time: a restart that takes
# a moment costs a moment, and one that takes a minute some 160 attempts for whoever asks instead of 10,000.
_RECONNECT_FIRST_S, _RECONNECT_MOST_S = 0.02, 0.5


def check_version() -> None:
    """Refuse another aiokafka: its private parts may mean something else.

    Raises:
        ConfigurationError: which version is installed and which one is needed.
    """
    if aiokafka.__version__.rsplit(".", 1)[0] != WRITTEN_FOR:
        raise ConfigurationError(f"aiokafka {aiokafka.__version__} is installed, this program needs {WRITTEN_FOR}")


async def discard_producer(producer: AIOKafkaProducer) -> None:
    """Close without flushing: `stop` would deliver what is queued, and wait for a broker that does not answer."""
    producer._closed = True
    task = producer._sender.sender_task
    if task is not None and not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.TimeoutError, Exception):
            await asyncio.wait_for(asyncio.shield(asyncio.gather(task, return_exceptions=True)), 1.0)
    await producer.client.close()


def create_batch(producer: AIOKafkaProducer, compression: str | None) -> Any:
    """An empty batch with a compression of its own, whatever the producer's is."""
    accumulator = producer._message_accumulator
    usual = accumulator._compression_type
    accumulator._compression_type = codec_of(compression)
    try:
        return producer.create_batch()
    finally:
        accumulator._compression_type = usual


def announce(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Make a partition part of the transaction under way, though nothing is sent to it yet.

    aiokafka asks the broker for it when the first batch is sent, and partitions that come later cost a request more.
    """
    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))


def failure_of(producer: AIOKafkaProducer) -> BaseException | None:
    """What ended the transaction under way, None if nothing did: who sends more is only told that there is none."""
    ended = producer._txn_manager.wait_for_transaction_end()
    return ended.exception() if ended.done() and not ended.cancelled() else None


def codec_of(compression: str | None) -> int:
    """The number that stands for a compression in a batch's header."""
    return int(AIOKafkaProducer._COMPRESSORS[compression][1]) if compression is not None else 0


def back_off_reconnects(client: Any) -> None:
    """Wait between attempts to reach a broker that does not answer, ever longer; one that answers waits for nothing.

    aiokafka's only delay between them is `retry_backoff_ms`, which is also that between the steps of a commit.
    """
    connect = client._get_conn
    failures: Counter[Any] = Counter()

    async def patient(node: Any, **options: Any) -> Any:
        if failures[node]:
            longest_s = min(_RECONNECT_MOST_S, _RECONNECT_FIRST_S * 2 ** min(failures[node], 10))
            await asyncio.sleep(random.uniform(longest_s / 2, longest_s))
        connection = await connect(node, **options)
        failures[node] = failures[node] + 1 if connection is None else 0
        return connection

    client._get_conn = patient


def last_stable_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The end of what is readable, as of the last fetch; None before the first answer after an assignment."""
    state = _state(consumer, partition)
    return state.lso if state is not None else None


def position(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """The next offset, without waiting for one; None while it is not known."""
    state = _state(consumer, partition)
    return state.position if state is not None and state.has_valid_position else None


def fetch_context(consumer: AIOKafkaConsumer) -> Any:
    """Entering it says that the application still polls; the group gives partitions of a silent one away."""
    return consumer._fetcher._subscriptions.fetch_context()


def rebalancing(consumer: AIOKafkaConsumer) -> bool:
    """Whether partitions are being given out anew."""
    return bool(consumer._fetcher._subscriptions.reassignment_in_progress)


async def drain(consumer: AIOKafkaConsumer, partition: TopicPartition, limit: int) -> list[Any]:
    """What was already fetched of a partition. Does not suspend unless the group rebalances."""
    records = await consumer._fetcher.fetched_records([partition], timeout=0, max_records=limit)
    return records.get(partition, [])


async def drain_as_parsed(consumer: AIOKafkaConsumer, partition: TopicPartition) -> list[Any]:
    """All that was already fetched of a partition, as aiokafka's parser yields it: `key`, `value` and `offset`.

    A `ConsumerRecord` of each would be a third of what reading costs. Aborted transactions, markers and checksums are
    looked after as ever.
    """
    found = consumer._fetcher._records.get(partition)
    if isinstance(found, FetchResult):
        found._partition_records._consumer_record = _as_parsed
    records = await consumer._fetcher.fetched_records([partition])
    return list(records.get(partition, ()))


def _as_parsed(partition: TopicPartition, record: Any) -> Any:
    return record


def data_waiter(consumer: AIOKafkaConsumer) -> asyncio.Future[None]:
    """Done when the next fetch has brought something."""
    return consumer._fetcher._create_fetch_waiter()


def generation(consumer: AIOKafkaConsumer) -> int:
    """The group's generation that this consumer belongs to; -1 for none."""
    return int(consumer._coordinator.generation)


def seek(consumer: AIOKafkaConsumer, offsets: Iterable[tuple[TopicPartition, int]]) -> None:
    """Seek those that are assigned."""
    for partition, offset in offsets:
        if _state(consumer, partition) is not None:
            consumer.seek(partition, offset)


def _state(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Any:
    subscription = consumer._subscription.subscription
    assignment = subscription.assignment if subscription is not None else None
    if assignment is None or not assignment.active or partition not in assignment.tps:
        return None
    return assignment.state_value(partition)
