"""Faust, as this program uses it: group membership, assignment, consumer and agents. Every private part is here.

Stock Faust delivers one record at a time, acknowledges by offset, and recovers tables. Here the consumer delivers what
a fetch has brought as one message, *a batch of each partition*, and what a rebalance means is decided by
`streams.engine.ownership`:

- the consumer fetches only partitions that were taken over and sought (`_open`), a batch or two ahead;
- each batch says which offsets it covers, read in the consumer's own thread right after the records were drained,
  so that nothing is lost between a seek and a fetch that was begun before it;
- the app's revoke and assign steps are replaced: no flow is resumed before the seek, nothing waits without a limit;
- acknowledgements, commits, table recovery and the producer of Faust are not used.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import faust
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.engine.assignment import Claims, share
from streams.engine.contract import Batch
from streams.engine.ownership import Ownership
from streams.errors import ConfigurationError, InputLost
from streams.kafka import aiokafka_internals as private
from streams.logs import get_logger, handle_orphaned_error
from streams.settings import Settings

log = get_logger(__name__)
_T = TypeVar("_T")

WRITTEN_FOR = "0.15.3"

# One batch being applied and one that waits: more would only be dropped at a rebalance. Small ones may be more, for
# they are applied together, and what is fetched and not taken holds up the fetches of all partitions for 100 ms.
_BATCHES_AHEAD = 2
_RECORDS_AHEAD = 5_000
# Of all partitions: beyond it none has more than one batch. A record is some 600 bytes, and partitions may be 64.
_RECORDS_AHEAD_IN_ALL = 100_000
_FETCH_WAIT_S = 1.0
# A fetch costs the worker some 0.5 ms, and the broker as much, whatever it brings.
_FETCH_PACE_S = 0.01
_REBALANCE_POLL_S = 0.02
# A JoinGroup request is answered when the whole group has joined.
_JOIN_HEADROOM_MS = 5_000
_CALL_TIMEOUT_S = 15.0


def check_version() -> None:
    """Refuse another Faust: its private parts may mean something else.

    Raises:
        ConfigurationError: which version is installed and which one is needed.
    """
    if faust.__version__ != WRITTEN_FOR:
        raise ConfigurationError(f"faust-streaming {faust.__version__} is installed, this program needs {WRITTEN_FOR}")
    private.check_version()


class BatchSchema(faust.Schema):
    """Hands batches to the agent as they are: decoding is the processor's business."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return message.value


class _StateAware(AbstractPartitionAssignor):
    """Assigns by `streams.engine.assignment.share`; members say with their join what state they have."""

    name = "churn-signals-state-aware"
    version = 0

    def __init__(self, claims: Callable[[], Claims]) -> None:
        self._claims = claims

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        said = orjson.dumps(dict(self._claims()), option=orjson.OPT_NON_STR_KEYS)
        return ConsumerProtocolMemberMetadata(self.version, list(topics), said)

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        topic = next(name for member in members.values() for name in member.subscription)
        claims = {member: _claims_of(metadata.user_data) for member, metadata in members.items()}
        shares = share(cluster.partitions_for_topic(topic) or (), claims)
        return {
            member: ConsumerProtocolMemberAssignment(self.version, [(topic, numbers)] if numbers else [], b"")
            for member, numbers in shares.items()
        }

    def on_assignment(self, assignment: Any) -> None:
        pass


def _claims_of(said: bytes) -> Claims:
    try:
        return {int(number): int(offset) for number, offset in orjson.loads(said).items()}
    except (ValueError, AttributeError):
        return {}  # from another version: a member without state


class _Listener(driver.ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked: Any) -> Awaitable[None]:
        self._thread.expected.clear()
        return super().on_partitions_revoked(revoked)


class _Thread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread: heartbeats go on while the main thread computes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # The next offset of every partition that was sought in this assignment; nothing else is delivered.
        self.expected: dict[TopicPartition, int] = {}
        self._said_end: dict[TopicPartition, int] = {}
        self._wake: asyncio.Event | None = None

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        settings: Settings = self.app.settings
        self.thread_loop.set_exception_handler(handle_orphaned_error)
        return AIOKafkaConsumer(
            **settings.connection(),
            client_id=settings.client_id("worker"),
            group_id=settings.kafka_group_id,
            group_instance_id=settings.kafka_group_instance_id or None,
            partition_assignment_strategy=[_StateAware(self.app.ownership.claims)],
            enable_auto_commit=False,
            auto_offset_reset="none",  # a position that the broker no longer has is an error, never a jump
            isolation_level="read_committed",  # forwarded events are part of transactions
            max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
            max_partition_fetch_bytes=settings.kafka_max_partition_fetch_bytes,
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            request_timeout_ms=settings.kafka_rebalance_timeout_ms + _JOIN_HEADROOM_MS,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        )

    async def run_in_thread(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run on the thread's loop; awaited on the caller's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    def wake(self) -> None:
        """Credits have changed: end a fetch that waits."""
        if self._wake is not None:
            self.thread_loop.call_soon_threadsafe(self._wake.set)

    async def fetch(self, active: frozenset[TopicPartition]) -> list[Batch]:
        """What there is of the active partitions; waits up to a second for something."""
        consumer = self._ensure_consumer()
        if consumer._closed:
            raise ConsumerStoppedError
        if self._wake is None:
            self._wake = asyncio.Event()
        with private.fetch_context(consumer):
            if private.rebalancing(consumer):
                await asyncio.sleep(_REBALANCE_POLL_S)
                return []
            batches = await self._drain(consumer, active)
            if not batches:
                await self._wait_for_data(consumer)
                if not private.rebalancing(consumer):
                    batches = await self._drain(consumer, active)
        return batches

    async def _wait_for_data(self, consumer: AIOKafkaConsumer) -> None:
        assert self._wake is not None
        if not self._wake.is_set():
            woken: asyncio.Future[Any] = asyncio.ensure_future(self._wake.wait())
            data: asyncio.Future[Any] = private.data_waiter(consumer)
            await asyncio.wait({woken, data}, timeout=_FETCH_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if not data.done():
                data.cancel()
            elif not data.cancelled():
                data.result()  # a critical error of the group (no right to, for one)
        self._wake.clear()  # here and not before the wait: the caller counts its credits anew after this

    async def _drain(self, consumer: AIOKafkaConsumer, active: frozenset[TopicPartition]) -> list[Batch]:
        batches = []
        for tp in active:
            if tp not in self.expected:
                continue
            records = await private.drain(consumer, tp, self.app.settings.kafka_max_poll_records)
            # No other coroutine of this thread ran since: the position is that of these records, or of a
            # newer seek, which has changed `expected` with it.
            start, position = self.expected.get(tp), private.position(consumer, tp)
            if start is None or position is None:
                continue
            end = private.last_stable_offset(consumer, tp)
            if position == start and (end is None or position < end or self._said_end.get(tp) == position):
                continue
            batches.append(Batch(tp.topic, tp.partition, start, position, end or 0, records))
            self.expected[tp] = position
            if end is not None and position >= end:
                self._said_end[tp] = position
        return batches

    async def seek_now(self, tp: TopicPartition, offset: int) -> bool:
        """Seek, and expect exactly that offset; False if it is not assigned (any more)."""
        try:
            self._ensure_consumer().seek(tp, offset)
        except IllegalStateError:
            return False
        self.expected[tp] = offset
        self._said_end.pop(tp, None)
        return True

    async def commit_now(self, offsets: Mapping[TopicPartition, int]) -> bool:
        consumer = self._ensure_consumer()
        try:
            await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()})
        except (KafkaError, ValueError) as refused:  # not the owner, or between two generations
            log.debug("group offsets were not taken: %r", refused)
            return False
        return True


class BatchConsumer(driver.Consumer):
    """Delivers batches of the partitions that were taken over; is the `GroupInputs` of `streams.engine.ownership`."""

    RebalanceListener = _Listener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[TopicPartition] = set()
        self._ahead: Counter[TopicPartition] = Counter()
        self._records_ahead: Counter[TopicPartition] = Counter()

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.app.settings.topic_events, partition)

    # What ownership asks for

    async def seek(self, partition: int, offset: int) -> None:
        tp = self._tp(partition)
        if await self._thread.run_in_thread(self._thread.seek_now(tp, offset)):
            self._open.add(tp)
            self._wake()

    def finished(self, batch: Batch) -> None:
        tp = self._tp(batch.partition)
        had_credit, were_many = self._has_credit(tp), self._many_ahead
        self._ahead[tp] -= 1
        self._records_ahead[tp] -= len(batch.records) + 1
        if (self._has_credit(tp) and not had_credit) or (were_many and not self._many_ahead):
            self._wake()

    def _has_credit(self, tp: TopicPartition) -> bool:
        if not self._ahead[tp]:
            return True
        few = self._ahead[tp] < _BATCHES_AHEAD or self._records_ahead[tp] < _RECORDS_AHEAD
        return few and not self._many_ahead

    @property
    def _many_ahead(self) -> bool:
        return self._records_ahead.total() >= _RECORDS_AHEAD_IN_ALL

    async def bounds(self, partitions: set[int]) -> dict[int, tuple[int, int]]:
        tps = [self._tp(number) for number in partitions]
        consumer = self._thread._ensure_consumer()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            first = await self._thread.run_in_thread(consumer.beginning_offsets(tps))
            end = await self._thread.run_in_thread(consumer.end_offsets(tps))
        return {tp.partition: (first[tp], end[tp]) for tp in tps}

    async def commit(self, positions: Any = None, start_new_transaction: bool = True) -> bool:
        """The group's offsets, for lag monitoring. Faust's own calls (without positions) do nothing."""
        if not isinstance(positions, dict) or not positions:
            return False
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            return await self._thread.run_in_thread(
                self._thread.commit_now({self._tp(number): offset for number, offset in positions.items()})
            )

    @property
    def thread_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the consumer's thread, None until that was started."""
        return self._thread.thread_loop if self._thread._thread is not None else None

    def close_all(self) -> None:
        """Nothing is fetched until it is sought again."""
        self._open.clear()

    def _wake(self) -> None:
        self._thread.wake()

    # What Faust asks for

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            active = frozenset(tp for tp in self._open if self._has_credit(tp))
            try:
                batches = await self._thread.run_in_thread(self._thread.fetch(active))
            except ConsumerStoppedError:
                return
            except OffsetOutOfRangeError as gone:
                raise InputLost(f"events were deleted by retention before they were applied: {gone}") from gone
            batches = [batch for batch in batches if TopicPartition(batch.topic, batch.partition) in self._open]
            if batches:
                for batch in batches:
                    tp = TopicPartition(batch.topic, batch.partition)
                    self._ahead[tp] += 1
                    self._records_ahead[tp] += len(batch.records) + 1
                await self.callback(self._message(batches))
                await asyncio.sleep(_FETCH_PACE_S)

    def _message(self, batches: Sequence[Batch]) -> ConsumerMessage:
        """One for all partitions: each costs Faust some 0.5 ms. It goes by the first: all are revoked together."""
        first = batches[0]
        return ConsumerMessage(
            first.topic,
            first.partition,
            first.start,
            0.0,
            0,
            [],
            None,
            batches,
            None,
            tp=TP(first.topic, first.partition),
            generation_id=self.app.consumer_generation_id,
        )

    def ack(self, message: Any) -> bool:
        """A message that a stream has skipped never reached the agent: give its credit back."""
        message.acked = True
        self._unacked_messages.discard(message)
        for batch in message.value:
            if not batch.delivered:
                batch.delivered = True
                self.finished(batch)
        return True

    async def wait_empty(self) -> None:
        """Not used: what is under way is finished or given up by ownership, within a limit."""

    async def perform_seek(self) -> None:
        """Not used: committed offsets play no part in correctness."""

    async def on_stop(self) -> None:
        self.transport._topic_waiters.clear()

    async def verify_all_partitions_active(self) -> None:
        """Not used: it judges by acknowledgements."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer


class _NoTables(TableManager):
    """Profiles are not Faust tables: there is nothing to register and nothing to recover."""

    async def on_start(self) -> None:
        self._tables_finalized.set()
        self._tables_registered.set()

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass


class _Boot(BootStrategy):
    enable_kafka_producer = False  # every record leaves through a partition's fenced producer
    enable_web = False
    enable_sensors = False


class EngineApp(faust.App):
    """A Faust app whose rebalances are handled by an `Ownership`, set before it starts."""

    BootStrategy = _Boot
    ownership: Ownership

    def __init__(self, settings: Settings, *, on_crash: Callable[[BaseException], None]) -> None:
        check_version()
        self.settings = settings
        self._on_crash = on_crash
        super().__init__(
            settings.kafka_group_id,
            broker="kafka://" + settings.kafka_bootstrap_servers.replace(",", ";"),
            TableManager=_NoTables,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            broker_session_timeout=settings.kafka_session_timeout_ms / 1000,
            broker_request_timeout=(settings.kafka_rebalance_timeout_ms + _JOIN_HEADROOM_MS) / 1000,
        )

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Faust would make a data directory of its own."""

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        try:
            self.consumer.close_all()
            await self.ownership.revoked()
        except Exception as failure:
            await self.crash(failure)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        if self.should_stop:
            return
        try:
            gone, new = self._update_assignment(assigned)
            await self.agents.on_rebalance(gone, new)
            await self.topics.maybe_wait_for_subscriptions()
            await self.topics.on_partitions_assigned(assigned)
            self.flow_control.resume()
            await self._fetcher.maybe_start()
            self.loop.call_soon(self.on_rebalance_end)
            await self.ownership.assigned({tp.partition for tp in assigned}, generation_id)
        except Exception as failure:
            await self.crash(failure)

    async def _stop_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.close_all()
            await self.ownership.stop()

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self._on_crash(reason)
