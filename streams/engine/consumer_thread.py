"""The thread of the group's consumer: fetches batches, seeks, commits group offsets, and ends within a time.

Tested by tests/broker/test_worker.py and tests/crash/test_ending.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from mode.services import Service
from mode.threads import ServiceThread, WorkerThread

from streams.engine.contract import Batch
from streams.engine.group_assignor import StateAwareAssignor
from streams.kafka import aiokafka_internals as private
from streams.kafka.group_consumer import group_consumer
from streams.logs import get_logger, handle_orphaned_error
from streams.settings import Settings

log = get_logger(__name__)
_T = TypeVar("_T")

# Prevents a fetch from waiting forever for data: credits and a stop are noticed at most this much later.
_FETCH_WAIT_S: Final = 1.0
# Prevents a busy loop during a rebalance: fetching starts at most this much later.
_REBALANCE_POLL_S: Final = 0.02
# Prevents a broker that is away from delaying the end of the process. Longer than the consumer's own limit (1.5 s).
_STOP_S: Final = 2.0
_JOIN_S, _JOIN_POLL_S = 0.5, 0.01
# Prevents a task that ignores its cancellation from keeping the thread alive.
_CANCEL_S: Final = 0.3


class _DaemonThread(WorkerThread):
    """Ends with the process. Python waits for other threads at its exit, and this one may wait for a broker."""

    service: ConsumerThread

    def __init__(self, service: ServiceThread, **kwargs: Any) -> None:
        super().__init__(service, name="consumer", **kwargs)
        self.daemon = True

    def run(self) -> None:
        try:
            super().run()
        except (Exception, asyncio.CancelledError) as error:
            self.service.ended(error)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread: heartbeats continue while the main thread computes."""

    Worker = _DaemonThread

    def __post_init__(self) -> None:
        super().__post_init__()
        # The next offset of every partition that was sought in this assignment. Other partitions are not delivered.
        self.expected: dict[TopicPartition, int] = {}
        self._reported_end: dict[TopicPartition, int] = {}
        self._wake: asyncio.Event | None = None
        self._serving: asyncio.Task[Any] | None = None

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        settings: Settings = self.app.settings
        ownership = self.app.ownership
        self.thread_loop.set_exception_handler(self._handle_orphan)
        return group_consumer(
            settings,
            "worker",
            settings.kafka_group_id,
            partition_assignment_strategy=[StateAwareAssignor(ownership.claims, ownership.note_total)],
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
        )

    async def run_in_thread(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run on the thread's loop; awaited on the caller's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    def wake(self) -> None:
        """End a fetch that waits, because credits have changed."""
        if self._wake is not None:
            self.thread_loop.call_soon_threadsafe(self._wake.set)

    async def fetch(self, active: frozenset[TopicPartition]) -> list[Batch]:
        """Return a batch of each active partition that has data; wait up to `_FETCH_WAIT_S` for some."""
        consumer = self._ensure_consumer()
        if private.closed(consumer):
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
                data.result()  # raises a critical error of the group, such as a missing right
        self._wake.clear()  # after the wait, not before it: the caller counts its credits after this

    async def _drain(self, consumer: AIOKafkaConsumer, active: frozenset[TopicPartition]) -> list[Batch]:
        batches = []
        for tp in active:
            if tp not in self.expected:
                continue
            records = await private.drain(consumer, tp, self.app.settings.kafka_max_poll_records)
            # No other coroutine of this thread has run since: the position is that of these records, or of a newer
            # seek, which has changed `expected` too.
            start, position = self.expected.get(tp), private.position(consumer, tp)
            if start is None or position is None:
                continue
            end = private.last_stable_offset(consumer, tp)
            if position == start and (end is None or position < end or self._reported_end.get(tp) == position):
                continue
            batches.append(Batch(tp.topic, tp.partition, start, position, end or 0, records))
            self.expected[tp] = position
            if end is not None and position >= end:
                self._reported_end[tp] = position
        return batches

    async def seek_now(self, tp: TopicPartition, offset: int) -> bool:
        """Seek, and expect exactly that offset next; returns False if the partition is not assigned any more."""
        try:
            self._ensure_consumer().seek(tp, offset)
        except IllegalStateError:
            return False
        self.expected[tp] = offset
        self._reported_end.pop(tp, None)
        return True

    async def commit_now(self, offsets: Mapping[TopicPartition, int]) -> bool:
        consumer = self._ensure_consumer()
        try:
            await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, offset in offsets.items()})
        except (KafkaError, ValueError) as failure:  # not the owner, or between two generations
            log.debug("group offsets were not committed: %r", failure)
            return False
        return True

    # Start and stop --------------------------------------------------------------------------------------------------

    def _handle_orphan(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.should_stop:  # what is abandoned by a stop may fail
            handle_orphaned_error(loop, context)

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        await super()._serve()

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Print nothing: the app is crashed with the same error, which is logged."""

    def ended(self, error: BaseException) -> None:
        """Report the error that ended the thread, unless it is being stopped."""
        if not self.should_stop:
            with contextlib.suppress(RuntimeError):  # the main loop has ended
                self.parent_loop.call_soon_threadsafe(self.app.ended, error)

    async def stop(self) -> None:
        """Stop within a time, and abandon the thread after it: it does not keep the process alive.

        Faust's own `stop` blocks the event loop until the thread has ended, which a broker that is away prevents.
        """
        if not self._started.is_set():
            return
        stopping = asyncio.ensure_future(Service.stop(self))
        await asyncio.wait({stopping}, timeout=_STOP_S)
        thread, serving = self._thread, self._serving
        if not stopping.done() and serving is not None:
            with contextlib.suppress(RuntimeError):  # the thread has just ended
                self.thread_loop.call_soon_threadsafe(serving.cancel)
        stopping.cancel()
        deadline_s = time.monotonic() + _JOIN_S
        while thread is not None and thread.is_alive():
            if time.monotonic() > deadline_s:
                log.warning("the consumer's thread did not end in time and is abandoned: a broker does not answer")
                return
            await asyncio.sleep(_JOIN_POLL_S)

    async def on_thread_stop(self) -> None:
        """Leave the group and close the connections, within a time."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()  # without its unlimited stop of the consumer
        if self._consumer is not None:
            await private.stop_consumer(self._consumer)

    async def _gather_remaining_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_S)
