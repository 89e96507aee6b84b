"""Consumer of one route: fetches alert events, starts their delivery, and commits the offsets of finished ones.

Tested by tests/broker/test_notify.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from streams.engine.transactions import is_lasting
from streams.failpoints import FAILPOINT, failpoint
from streams.health import Check
from streams.kafka import aiokafka_internals as private
from streams.kafka.group_consumer import group_consumer
from streams.logs import get_logger
from streams.notify.delivery import Delivery
from streams.notify.in_flight import InFlightRecords
from streams.runtime.process_end import unless_stopped
from streams.settings import Settings
from streams.topics import ALERTS, name_of

log = get_logger(__name__)

_POLL_MS: Final = 200
_MAX_RECORDS: Final = 100
# After a crash, the events that finished within this time are delivered twice, and so are those in flight.
_COMMIT_EVERY_S: Final = 0.5
_RETRY_S: Final = 1.0
# On shutdown or revocation, a request that takes longer is sent again by the next owner.
_DRAIN_TIMEOUT_S: Final = 4.0
# Prevents a broker that is away from delaying a shutdown: with the drain and the producer of dead letters, 7 s.
_LAST_COMMIT_TIMEOUT_S: Final = 1.0
_LEAVE_TIMEOUT_S: Final = 1.0


class InFlightStatus(NamedTuple):
    """Status of one partition, read by the HTTP thread.

    Attributes:
        open: number of in-flight events.
        oldest_s: age of the oldest of them; 0 if there is none.
        lag: offsets between the oldest unfinished event and the last stable offset; None if unknown.
    """

    open: int
    oldest_s: float
    lag: int | None


class RouteConsumer:
    """Member of the route's consumer group while `run` runs.

    Attributes:
        status: by assigned partition, as of the last poll.
        joined: the group has assigned partitions (perhaps none), and their start offsets are known.
    """

    def __init__(self, settings: Settings, delivery: Delivery) -> None:
        self.route = delivery.route
        self.delivery = delivery
        self.status: dict[int, InFlightStatus] = {}
        self.joined = False
        self._settings = settings
        self._topic = name_of(ALERTS, settings)
        self._in_flight: dict[TopicPartition, InFlightRecords] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assignment = 0  # incremented on each change: records fetched before a change are discarded after it
        self._taken_over = -1  # the assignment whose start offsets are set
        self._failure: BaseException | None = None
        self._commit_at_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Transient Kafka errors are retried, permanent ones raised."""
        self._consumer = group_consumer(self._settings, "notify", self._settings.notify_group(self.route.name))
        try:
            await unless_stopped(stop, self._consumer.start())
            self._consumer.subscribe([self._topic], listener=_Listener(self))
            while not stop.is_set():
                try:
                    await self._poll()
                except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                    await self._reset_positions()
                except (KafkaError, TimeoutError) as failure:
                    if is_lasting(failure):
                        raise
                    log.warning(
                        "route %s: cannot consume %s, will retry: %r",
                        self.route.name,
                        self._topic,
                        failure,
                        topic=self._topic,
                    )
                    await asyncio.sleep(_RETRY_S)
        finally:
            await self.release()
            await private.stop_consumer(self._consumer, _LEAVE_TIMEOUT_S)

    async def release(self) -> None:
        """Drain pending requests, commit finished events, and leave the others to the next owner."""
        self._assignment += 1
        self._assigned, self.joined = frozenset(), False
        await self._drain()

    async def _reset_positions(self) -> None:
        """The log no longer contains the next offset: determine the start offsets again in the next poll."""
        await self._drain()
        self._taken_over = -1

    async def _drain(self) -> None:
        tasks = [task for records in self._in_flight.values() for task in records.tasks]
        await self.delivery.drain(tasks, _DRAIN_TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_TIMEOUT_S):
                await self._commit()
        self._in_flight.clear()
        self.status = {}

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        """Accept the partitions that the group assigns."""
        self._assignment += 1
        self._assigned = frozenset(tps)
        self.joined = not self._assigned  # without partitions this is a standby, which is ready

    def checks(self) -> list[Check]:
        """Fails until the partitions are assigned. A receiver that is down is no failure of this process."""
        why = f"{len(self._in_flight)} partitions" if self.joined else "waiting for the group to assign partitions"
        return [Check(f"route {self.route.name}", self.joined, why)]

    async def _poll(self) -> None:
        consumer, assignment = self._consumer, self._assignment
        if self._taken_over != assignment and self._assigned:
            await self._take_over(assignment)
            return
        for tp, in_flight in self._in_flight.items():
            (consumer.pause if in_flight.full else consumer.resume)(tp)
        fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        if assignment != self._assignment:
            return  # the new assignment starts at its own offsets
        for tp, records in fetched.items():
            for record in records:
                self._in_flight[tp].add(record)
        for tp, in_flight in self._in_flight.items():
            if tp not in fetched:
                in_flight.skip(private.position(consumer, tp) or 0)  # transaction markers after the last record
        loop_s = asyncio.get_running_loop().time()
        if loop_s >= self._commit_at_s:
            self._commit_at_s = loop_s + _COMMIT_EVERY_S
            await self._commit()
        self._update_status()
        if self._failure is not None:
            raise self._failure

    async def _take_over(self, assignment: int) -> None:
        """Seek each partition to the committed offset, or to the route's `start` if there is none."""
        consumer, tps = self._consumer, self._assigned
        first, end = await consumer.beginning_offsets(list(tps)), await consumer.end_offsets(list(tps))
        starts = {}
        for tp in tps:
            committed = await consumer.committed(tp)
            if committed is None:
                starts[tp] = first[tp] if self.route.start == "beginning" else end[tp]
                continue
            starts[tp] = max(committed, first[tp])
            if committed < first[tp]:
                log.error(
                    "%s/%d: route %s: offsets %d to %d were deleted by retention before they were delivered",
                    tp.topic,
                    tp.partition,
                    self.route.name,
                    committed,
                    first[tp] - 1,
                    topic=tp.topic,
                    partition=tp.partition,
                    offset=committed,
                )
        if assignment != self._assignment:
            return
        self._in_flight = {
            tp: InFlightRecords(offset, self.delivery.deliver, self._fail) for tp, offset in starts.items()
        }
        self._committed = {}
        for tp, offset in starts.items():
            consumer.seek(tp, offset)
        self._taken_over, self.joined = assignment, True
        # Without this commit, a new route that restarts before its first event would start at a later end.
        await self._commit()

    async def _commit(self) -> None:
        """Commit the positions that changed. A failed commit is repeated with the next one."""
        moved = {
            tp: in_flight.position
            for tp, in_flight in self._in_flight.items()
            if in_flight.position != self._committed.get(tp)
        }
        if not moved:
            return
        if FAILPOINT and any(tp in self._committed for tp in moved):
            failpoint("before-notify-commit")
        try:
            await self._consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, offset in moved.items()})
        except (KafkaError, ValueError) as failure:  # ValueError: a partition is no longer assigned
            if is_lasting(failure):
                raise
            log.warning(
                "route %s: commit of offsets failed, will retry: %r", self.route.name, failure, topic=self._topic
            )
            return
        self._committed |= moved

    def _update_status(self) -> None:
        status = {}
        for tp, in_flight in self._in_flight.items():
            end = private.last_stable_offset(self._consumer, tp)
            lag = None if end is None or end < 0 else max(0, end - in_flight.position)
            status[tp.partition] = InFlightStatus(len(in_flight), in_flight.oldest_s, lag)
        self.status = status

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure


class _Listener(ConsumerRebalanceListener):
    def __init__(self, consumer: RouteConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._consumer.release()

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._consumer.assign(assigned)
