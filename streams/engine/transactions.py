"""The fenced producer of one partition: all effects of a batch become visible in one transaction, or none.

Tested by tests/broker/test_transactions.py and tests/streams/engine/test_late_batches.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, MessageSizeTooLargeError, ProducerFenced

from streams.engine.contract import Changes, Headers, Output
from streams.engine.record_batch import BATCH_BYTES, EncodedBatch, PreencodedBatch
from streams.errors import ConfigurationError, Fenced, OwnershipLost
from streams.failpoints import FAILPOINT, failpoint
from streams.kafka.aiokafka_internals import announce, back_off_reconnects, create_batch, discard_producer, failure_of
from streams.settings import Settings

# The wait while the broker is still completing the previous transaction. aiokafka's default is 100 ms.
_RETRY_BACKOFF_MS = 5
# Profiles are alike: snappy leaves a quarter of the bytes for network, disks and recovery, at 1 us a profile.
# (aiokafka's lz4 takes 37 us, because of its compression level; zstd 2.3 us for a sixth of the bytes.)
_CHANGELOG_COMPRESSION = "snappy"
# Prevents a broker that does not answer from delaying a shutdown. Nothing is lost: everything was committed before.
_CLOSE_TIMEOUT_S = 2.0

# aiokafka raises these when the producer was fenced between two of our calls.
_BROKEN_STATE = (AssertionError, IllegalOperation)

# Kafka 4 rejects a batch with a record further in the future than this (message.timestamp.after.max.ms), and would
# reject it at every attempt: such a record gets the time of writing instead.
_AHEAD_MAX_MS = 3_600_000

_Record = tuple[bytes | None, bytes | None, Headers, int | None]


class DeferredBatches(NamedTuple):
    """Batches for one partition that are still being encoded while the rest of the transaction is sent."""

    topic: str
    partition: int
    batches: Coroutine[Any, Any, Sequence[EncodedBatch]]


@dataclass(slots=True)
class _Delivery:
    topic: str
    partition: int
    count: int
    future: asyncio.Future[Any]

    async def done(self) -> None:
        try:
            await self.future
        except MessageSizeTooLargeError as error:
            raise ConfigurationError(
                f"topic {self.topic} rejected a batch of {self.count} records as too large: raise its max.message.bytes"
            ) from error

    @property
    def next_offset(self) -> int:
        return int(self.future.result().offset) + self.count


class FencedProducer:
    """The transactional producer of one partition, until another one with the same transactional id fences it."""

    def __init__(self, producer: AIOKafkaProducer, transactional_id: str, settings: Settings) -> None:
        self._producer = producer
        self._timeout_s = settings.kafka_transaction_timeout_ms / 1000
        self._compression_of = settings.compression_of
        self.transactional_id = transactional_id

    @classmethod
    async def open(cls, settings: Settings, transactional_id: str) -> FencedProducer:
        """Fence the former user of this id and abort its open transaction; returns when that is done.

        Raises:
            KafkaError, TimeoutError: the broker did not answer; nothing is owned.
        """
        producer = AIOKafkaProducer(
            **settings.connection(),
            client_id=transactional_id,
            transactional_id=transactional_id,
            transaction_timeout_ms=settings.kafka_transaction_timeout_ms,
            request_timeout_ms=settings.kafka_request_timeout_ms,
            acks="all",
            enable_idempotence=True,
            compression_type=settings.compression,
            max_batch_size=BATCH_BYTES,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
        )
        back_off_reconnects(producer.client)
        opened = cls(producer, transactional_id, settings)
        try:
            async with asyncio.timeout(opened._timeout_s):
                await producer.start()
        except BaseException:
            await opened.discard()
            raise
        return opened

    async def commit(
        self,
        outputs: Sequence[Output],
        changelog: tuple[str, int] | None = None,
        changes: Changes | None = None,
        late: DeferredBatches | None = None,
    ) -> int:
        """Write everything in one transaction; returns the changelog's next offset (0 without changes).

        1. Begin, and send the outputs.
        2. Send the changelog records, in the order of `changes`: the position is the last one.
        3. Send the late batches, when they are encoded.
        4. Wait until every batch is delivered: the commit itself does not report one that was not.
        5. Commit.

        Args:
            outputs: in the order in which they are written.
            changelog: topic and partition of `changes`.
            changes: store changes.
            late: batches for a partition that `outputs` has no output for.

        Raises:
            Exception: raised by `late`; the transaction is aborted, and another one can begin.
            OwnershipLost: fenced, timed out or unknown outcome. Discard the producer and everything that was computed
                from uncommitted state; retry nothing from memory.
            ConfigurationError: the broker rejected a request for a reason that a restart does not change.
        """
        producer = self._producer
        coming = asyncio.ensure_future(late.batches) if late is not None else None
        try:
            async with asyncio.timeout(self._timeout_s):
                # 1. Begin, and send the outputs.
                await producer.begin_transaction()
                if late is not None:
                    announce(producer, late.topic, late.partition)
                sent = []
                for to, records in _by_partition(outputs).items():
                    sent += await self._send(to, records, self._compression_of(to[0]))
                # 2. Send the changelog records.
                state = []
                if changelog is not None and changes:
                    own = self._compression_of(changelog[0]) or _CHANGELOG_COMPRESSION
                    state = await self._send(changelog, ((k, value, (), None) for k, value in changes.items()), own)
                # 3. Send the late batches.
                if coming is not None:
                    sent += await self._send_encoded(coming)
                # 4. Wait for all deliveries.
                for delivery in sent + state:
                    await delivery.done()
                if FAILPOINT:
                    failpoint("inside-transaction")
                # 5. Commit.
                await producer.commit_transaction()
        except ProducerFenced as fenced:
            why = "another owner has taken it, or the transaction took longer than its timeout"
            raise Fenced(f"{self.transactional_id} is fenced: {why}") from fenced
        except (KafkaError, TimeoutError, *_BROKEN_STATE) as error:
            if is_lasting(error):
                raise ConfigurationError(f"{self.transactional_id} cannot write: {error!r}") from error
            raise OwnershipLost(f"{self.transactional_id}: outcome of a transaction unknown: {error!r}") from error
        finally:
            if coming is not None and not coming.cancel() and not coming.cancelled():
                coming.exception()  # otherwise asyncio logs it as never retrieved
        if not state:
            return 0
        return state[-1].next_offset

    async def _send(self, to: tuple[str, int], records: Iterable[_Record], compression: str | None) -> list[_Delivery]:
        """Fill batches here: 3.2 us a record, compared with 8.9 through aiokafka's `send`."""
        (topic, partition), now_ms, producer = to, int(time.time() * 1000), self._producer
        deliveries = []
        batch = create_batch(producer, compression)
        for key, value, headers, own_ms in records:
            at_ms = kept_timestamp(own_ms, now_ms)
            if batch.append(key=key, value=value, timestamp=at_ms, headers=list(headers)) is None:
                deliveries.append(await self._submit(batch, topic, partition))
                batch = create_batch(producer, compression)
                # The first record of a batch is always accepted, whatever its size.
                batch.append(key=key, value=value, timestamp=at_ms, headers=list(headers))
        deliveries.append(await self._submit(batch, topic, partition))
        return deliveries

    async def _send_encoded(self, coming: asyncio.Task[Sequence[EncodedBatch]]) -> list[_Delivery]:
        try:
            batches = await coming
        except Exception:
            await self._producer.abort_transaction()
            raise
        if (failure := failure_of(self._producer)) is not None:
            raise failure
        now_ms = int(time.time() * 1000)
        return [await self._submit(PreencodedBatch(batch, now_ms), batch.topic, batch.partition) for batch in batches]

    async def _submit(self, batch: Any, topic: str, partition: int) -> _Delivery:
        count = batch.record_count()
        return _Delivery(topic, partition, count, await self._producer.send_batch(batch, topic, partition=partition))

    async def close(self) -> None:
        """Close the connections, after a commit."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._producer.stop()
        except (KafkaError, TimeoutError, *_BROKEN_STATE):
            await self.discard()

    async def discard(self) -> None:
        """Close after a failure, without sending anything more. The next owner aborts the open transaction."""
        with contextlib.suppress(Exception):
            await discard_producer(self._producer)


def kept_timestamp(own_ms: int | None, now_ms: int) -> int:
    """Return a record's own timestamp, or `now_ms` if it has none or one that Kafka rejects.

    >>> kept_timestamp(5, 9), kept_timestamp(-1, 9), kept_timestamp(9_999_999, 9), kept_timestamp(None, 9)
    (5, 9, 9, 9)
    """
    return now_ms if own_ms is None or not 0 <= own_ms <= now_ms + _AHEAD_MAX_MS else own_ms


def _by_partition(outputs: Sequence[Output]) -> dict[tuple[str, int], list[_Record]]:
    groups: dict[tuple[str, int], list[_Record]] = {}
    for topic, partition, key, value, headers, timestamp_ms in outputs:
        groups.setdefault((topic, partition), []).append((key, value, headers, timestamp_ms))
    return groups


_LASTING = {
    "TopicAuthorizationFailedError",
    "TransactionalIdAuthorizationFailed",
    "ClusterAuthorizationFailedError",
    "MessageSizeTooLargeError",
    "RecordListTooLargeError",
    "AuthenticationFailedError",
    "InvalidTopicError",
    "InvalidRequiredAcksError",
    "UnsupportedForMessageFormatError",
}


def is_lasting(error: BaseException) -> bool:
    """Return whether a retry cannot help: an operator must change rights, limits or passwords."""
    return type(error).__name__ in _LASTING
