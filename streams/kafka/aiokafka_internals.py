"""All private parts of aiokafka that this program uses, for one version of it.

Tested by tests/streams/kafka/test_aiokafka_internals.py and tests/streams/test_private_versions.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import NodeNotReadyError

from streams.credentials import SaslPassword
from streams.errors import ConfigurationError

WRITTEN_FOR = "0.14"

# Prevents 10,000 attempts a minute to connect to a broker that refuses connections. The delay starts at some 20 ms and
# doubles: a short restart costs little, one that takes a minute some 160 attempts. At most 0.5 s are lost.
_RECONNECT_FIRST_S, _RECONNECT_MAX_S = 0.02, 0.5
# Prevents a sender task that ignores its cancellation from blocking a takeover for longer.
_SENDER_STOP_TIMEOUT_S = 1.0
# aiokafka's own, once it was replaced.
_handshake: Callable[[Any], Awaitable[None]] | None = None
# Prevents a broker that does not answer from delaying a stop: leaving the group takes some ms if it does. Otherwise the
# group removes the member after its session timeout.
STOP_CLIENT_S = 1.5
# Prevents a connection whose broker reads nothing more from blocking its close, which waits for unsent bytes.
_CLOSE_CONNECTIONS_S = 0.5


def check_aiokafka_version() -> None:
    """Reject another version of aiokafka: its private parts may differ.

    Raises:
        ConfigurationError: which version is installed and which one is needed.
    """
    if aiokafka.__version__.rsplit(".", 1)[0] != WRITTEN_FOR:
        raise ConfigurationError(f"aiokafka {aiokafka.__version__} is installed, this program needs {WRITTEN_FOR}")


async def discard_producer(producer: AIOKafkaProducer) -> None:
    """Close without flushing. `stop` would deliver what is queued, and wait for a broker that does not answer."""
    producer._closed = True
    task = producer._sender.sender_task
    if task is not None and not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.TimeoutError, Exception):
            await asyncio.wait_for(asyncio.shield(asyncio.gather(task, return_exceptions=True)), _SENDER_STOP_TIMEOUT_S)
    await _within(_CLOSE_CONNECTIONS_S, producer.client.close())


async def stop_producer(producer: AIOKafkaProducer, within_s: float = STOP_CLIENT_S) -> bool:
    """Deliver what is queued and close, or discard it after `within_s`; returns whether all was delivered."""
    if await _within(within_s, producer.stop()):
        return True
    await discard_producer(producer)
    return False


async def stop_consumer(consumer: AIOKafkaConsumer, within_s: float = STOP_CLIENT_S) -> bool:
    """Leave the group and close, or abandon the consumer after `within_s`; returns whether it closed. Never raises.

    aiokafka's own `stop` waits for the answers of a broker that is away. Its fetcher may swallow a cancellation and
    never end, and a fetch that is under way may make `stop` raise `CancelledError`.
    """
    if await _within(within_s, consumer.stop()):
        return True
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    tasks = [getattr(coordinator, name, None) for name in ("_coordination_task", "_heartbeat_task")]
    tasks += [getattr(fetcher, "_fetch_task", None), *getattr(fetcher, "_pending_tasks", ())]
    for task in tasks:
        if task is not None:
            task.cancel()
    await _within(_CLOSE_CONNECTIONS_S, consumer._client.close())
    return False


async def _within(limit_s: float, closing: Coroutine[Any, Any, Any]) -> bool:
    """Run until the limit, then cancel and do not wait any more; returns whether it completed."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=limit_s)
    finally:
        task.cancel()
    return task.done() and not task.cancelled() and task.exception() is None


def read_passwords_at_login() -> None:
    """Let every client of this process log in with the password as of then, so that it survives a rotation."""
    global _handshake
    if _handshake is None:
        _handshake = AIOKafkaConnection._do_sasl_handshake
        AIOKafkaConnection._do_sasl_handshake = _log_in


async def _log_in(connection: Any) -> None:
    assert _handshake is not None
    if isinstance(connection._sasl_plain_password, SaslPassword):
        connection._sasl_plain_password = connection._sasl_plain_password.current()
    await _handshake(connection)


def create_batch(producer: AIOKafkaProducer, compression: str | None) -> Any:
    """Create an empty batch with its own compression, independent of the producer's."""
    accumulator = producer._message_accumulator
    default = accumulator._compression_type
    accumulator._compression_type = codec_of(compression)
    try:
        return producer.create_batch()
    finally:
        accumulator._compression_type = default


def announce(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Add a partition to the current transaction before anything is sent to it.

    aiokafka adds partitions when their first batch is sent, and each later one costs another request.
    """
    producer._txn_manager.maybe_add_partition_to_txn(TopicPartition(topic, partition))


def failure_of(producer: AIOKafkaProducer) -> BaseException | None:
    """Return what ended the current transaction, None if nothing did. A later send reports only that there is none."""
    ended = producer._txn_manager.wait_for_transaction_end()
    return ended.exception() if ended.done() and not ended.cancelled() else None


def codec_of(compression: str | None) -> int:
    """Return the code of a compression in a batch's header."""
    return int(AIOKafkaProducer._COMPRESSORS[compression][1]) if compression is not None else 0


def back_off_reconnects(client: Any) -> None:
    """Wait between attempts to connect to a broker that does not answer; other brokers are not delayed.

    aiokafka's only delay between attempts is `retry_backoff_ms`, which is also the delay between the steps of a commit.
    """
    connect = client._get_conn
    failures: Counter[Any] = Counter()

    async def connect_with_backoff(node: Any, **options: Any) -> Any:
        if failures[node]:
            delay_s = min(_RECONNECT_MAX_S, _RECONNECT_FIRST_S * 2 ** min(failures[node], 10))
            await asyncio.sleep(random.uniform(delay_s / 2, delay_s))
        connection = await connect(node, **options)
        failures[node] = failures[node] + 1 if connection is None else 0
        return connection

    client._get_conn = connect_with_backoff


def last_stable_offset(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the last stable offset as of the last fetch; None before the first response after an assignment."""
    state = _state(consumer, partition)
    return state.lso if state is not None else None


def position(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the next offset without waiting; None while it is not known."""
    state = _state(consumer, partition)
    return state.position if state is not None and state.has_valid_position else None


def fetch_context(consumer: AIOKafkaConsumer) -> Any:
    """Return a context that counts as a poll; the group revokes the partitions of a member that does not poll."""
    return consumer._fetcher._subscriptions.fetch_context()


def closed(consumer: AIOKafkaConsumer) -> bool:
    """Return whether the consumer was stopped."""
    return bool(consumer._closed)


def rebalancing(consumer: AIOKafkaConsumer) -> bool:
    """Return whether a rebalance is in progress."""
    return bool(consumer._fetcher._subscriptions.reassignment_in_progress)


async def drain(consumer: AIOKafkaConsumer, partition: TopicPartition, limit: int) -> list[Any]:
    """Return the records of a partition that are already fetched. Does not suspend unless the group rebalances."""
    records = await consumer._fetcher.fetched_records([partition], timeout=0, max_records=limit)
    return records.get(partition, [])


async def drain_as_parsed(consumer: AIOKafkaConsumer, partition: TopicPartition) -> list[Any]:
    """Return all records of a partition that are already fetched, as aiokafka's parser yields them.

    They have `key`, `value` and `offset`. Creating a `ConsumerRecord` of each would be a third of the cost of reading.
    Aborted transactions, markers and checksums are handled as usual.
    """
    result = consumer._fetcher._records.get(partition)
    if isinstance(result, FetchResult):
        result._partition_records._consumer_record = _as_parsed
    records = await consumer._fetcher.fetched_records([partition])
    return list(records.get(partition, ()))


def _as_parsed(partition: TopicPartition, record: Any) -> Any:
    return record


def data_waiter(consumer: AIOKafkaConsumer) -> asyncio.Future[None]:
    """Return a future that is done when the next fetch has returned data."""
    return consumer._fetcher._create_fetch_waiter()


async def send_to_any(consumer: AIOKafkaConsumer, request: Any) -> Any:
    """Send a request to any broker and return its response.

    Raises:
        KafkaError: no broker answers.
    """
    node = consumer._client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    return await consumer._client.send(node, request)


def generation(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group that this consumer belongs to; -1 for none."""
    return int(consumer._coordinator.generation)


def seek(consumer: AIOKafkaConsumer, offsets: Iterable[tuple[TopicPartition, int]]) -> None:
    """Seek the partitions that are assigned, ignore the others."""
    for partition, offset in offsets:
        if _state(consumer, partition) is not None:
            consumer.seek(partition, offset)


def _state(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Any:
    subscription = consumer._subscription.subscription
    assignment = subscription.assignment if subscription is not None else None
    if assignment is None or not assignment.active or partition not in assignment.tps:
        return None
    return assignment.state_value(partition)
