"""The Faust app: group membership, consumer and agents. It and `consumer_thread` alone use private parts of Faust.

Stock Faust delivers one record at a time, acknowledges by offset, and recovers tables. Here the consumer delivers each
fetch as one message, *a batch of each partition*, and `streams.engine.ownership` handles rebalances:

- The consumer fetches only partitions that were taken over and sought (`_open`), and only a batch or two ahead.
- Each batch states the offsets that it covers. They are read in the consumer's own thread right after the records were
  drained, so that nothing is lost between a seek and a fetch that started before it.
- The app's revoke and assign steps are replaced: no flow resumes before the seek, and every wait has a limit.
- Acknowledgements, commits, table recovery and the producer of Faust are not used.

Tested by tests/broker/test_worker.py; tests/streams/test_private_versions.py keeps private parts in here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import faust
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.engine.consumer_thread import ConsumerThread
from streams.engine.contract import Batch
from streams.engine.fetch_credits import FetchCredits
from streams.engine.ownership import Ownership
from streams.errors import ConfigurationError, InputLost
from streams.kafka import aiokafka_internals as private
from streams.kafka.group_consumer import JOIN_HEADROOM_MS
from streams.kafka.topic_identity import TopicIdentity, read_identity
from streams.logs import get_logger
from streams.settings import Settings

log = get_logger(__name__)
_T = TypeVar("_T")

WRITTEN_FOR: Final = "0.15.3"

# A fetch costs worker and broker some 0.5 ms each, whatever it returns. This delays records by at most this much.
_FETCH_PACE_S: Final = 0.01
# Prevents a broker that does not answer from blocking a takeover: it is tried again after this time.
_CALL_TIMEOUT_S: Final = 15.0


def check_faust_version() -> None:
    """Reject another version of Faust: its private parts may differ.

    Raises:
        ConfigurationError: which version is installed and which one is needed.
    """
    if faust.__version__ != WRITTEN_FOR:
        raise ConfigurationError(f"faust-streaming {faust.__version__} is installed, this program needs {WRITTEN_FOR}")
    private.check_aiokafka_version()


class BatchSchema(faust.Schema):
    """Passes batches to the agent unchanged: the processor decodes them."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        return message.value


class _RevocationListener(driver.ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked: Any) -> Awaitable[None]:
        self._thread.expected.clear()
        return super().on_partitions_revoked(revoked)


class BatchConsumer(driver.Consumer):
    """Delivers batches of the partitions that were taken over; the `GroupInputs` of `streams.engine.ownership`."""

    RebalanceListener = _RevocationListener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[TopicPartition] = set()
        self._credits = FetchCredits()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.app.settings.topic_events, partition)

    # Called by ownership ---------------------------------------------------------------------------------------------

    async def seek(self, partition: int, offset: int) -> None:
        tp = self._tp(partition)
        if await self._thread.run_in_thread(self._thread.seek_now(tp, offset)):
            self._open.add(tp)
            self._wake()

    def finished(self, batch: Batch) -> None:
        if self._credits.give_back(self._tp(batch.partition), batch):
            self._wake()

    async def bounds(self, partitions: set[int]) -> dict[int, tuple[int, int]]:
        tps = [self._tp(number) for number in partitions]
        consumer = self._thread._ensure_consumer()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            first = await self._thread.run_in_thread(consumer.beginning_offsets(tps))
            end = await self._thread.run_in_thread(consumer.end_offsets(tps))
        return {tp.partition: (first[tp], end[tp]) for tp in tps}

    async def identity(self) -> TopicIdentity | None:
        consumer = self._thread._ensure_consumer()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            return await self._thread.run_in_thread(read_identity(consumer, self.app.settings.topic_events))

    async def commit(self, positions: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit group offsets, for lag monitoring. Faust's own calls (without positions) do nothing."""
        if not isinstance(positions, dict) or not positions:
            return False
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            return await self._thread.run_in_thread(
                self._thread.commit_now({self._tp(number): offset for number, offset in positions.items()})
            )

    @property
    def thread_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the consumer's thread; None until the thread is started."""
        return self._thread.thread_loop if self._thread._thread is not None else None

    def close_all(self) -> None:
        """Fetch nothing until it is sought again."""
        self._open.clear()

    def _wake(self) -> None:
        self._thread.wake()

    # Called by Faust -------------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            active = frozenset(tp for tp in self._open if self._credits.has_credit(tp))
            try:
                batches = await self._thread.run_in_thread(self._thread.fetch(active))
            except ConsumerStoppedError:
                return
            except OffsetOutOfRangeError as gone:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await self.app.ownership.input.confirm()  # raises if it is another topic
                raise InputLost(f"events were deleted by retention before they were applied: {gone}") from gone
            batches = [batch for batch in batches if TopicPartition(batch.topic, batch.partition) in self._open]
            if batches:
                for batch in batches:
                    self._credits.take(TopicPartition(batch.topic, batch.partition), batch)
                await self.callback(self._message(batches))
                await asyncio.sleep(_FETCH_PACE_S)

    def _message(self, batches: Sequence[Batch]) -> ConsumerMessage:
        """Make one message of all batches, because each message costs Faust some 0.5 ms.

        It carries the partition of the first batch, which is enough because all partitions are revoked together.
        """
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
        """Give back the credit of a message that a stream has skipped, so that it never reached the agent."""
        message.acked = True
        self._unacked_messages.discard(message)
        for batch in message.value:
            if not batch.delivered:
                batch.delivered = True
                self.finished(batch)
        return True

    async def wait_empty(self) -> None:
        """Not used: ownership finishes or aborts the current batches, within a limit."""

    async def perform_seek(self) -> None:
        """Not used: positions come from the changelog, not from committed offsets."""

    async def on_stop(self) -> None:
        self.transport._topic_waiters.clear()

    async def verify_all_partitions_active(self) -> None:
        """Not used: it relies on acknowledgements."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with `BatchConsumer`."""

    Consumer = BatchConsumer


class _NoTables(TableManager):
    """Profiles are not Faust tables: there is nothing to register or to recover."""

    async def on_start(self) -> None:
        self._tables_finalized.set()
        self._tables_registered.set()

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass


class _Boot(BootStrategy):
    enable_kafka_producer = False  # every record is written by a partition's fenced producer
    enable_web = False
    enable_sensors = False


class EngineApp(faust.App):
    """A Faust app whose rebalances are handled by an `Ownership`, which is set before the app starts."""

    BootStrategy = _Boot
    ownership: Ownership

    def __init__(self, settings: Settings, *, on_crash: Callable[[BaseException], None]) -> None:
        check_faust_version()
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
            broker_request_timeout=(settings.kafka_rebalance_timeout_ms + JOIN_HEADROOM_MS) / 1000,
        )

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Not used: Faust would create a data directory."""

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

    def ended(self, reason: BaseException) -> None:
        """The consumer's thread has ended with an error. Runs on the main loop."""
        self._crash(reason)

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self._on_crash(reason)
