"""One route: takes alert events from the topic, hands them to delivery, and commits up to where all is done."""

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
from streams.settings import Settings
from streams.topics import ALERTS, name_of

log = get_logger(__name__)

_POLL_MS: Final = 200
_TAKE_RECORDS: Final = 100
# After a crash so much is delivered a second time, and what is under way.
_COMMIT_EVERY_S: Final = 0.5
_RETRY_S: Final = 1.0
# A request that takes longer when we are to leave is done again by the next one.
_LET_GO_S: Final = 5.0
# A commit has three seconds then: stopping stays below the ten of the other roles.
_LAST_COMMIT_S: Final = 3.0


class InFlightStatus(NamedTuple):
    """What a partition looked like a moment ago, for whoever asks from another thread."""

    open: int
    oldest_s: float
    lag: int | None


class RouteConsumer:
    """A member of the route's group, as long as it runs.

    Attributes:
        held: of each partition that the group assigns.
        joined: the group has said which partitions are ours, and we know where to begin.
    """

    def __init__(self, settings: Settings, delivery: Delivery) -> None:
        self.route = delivery.route
        self.delivery = delivery
        self.held: dict[int, InFlightStatus] = {}
        self.joined = False
        self._settings = settings
        self._topic = name_of(ALERTS, settings)
        self._windows: dict[TopicPartition, InFlightRecords] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assignment = 0  # counts changes: what was read before one is not ours to take after it
        self._taken_over = -1
        self._failed: BaseException | None = None
        self._commit_at_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises what cannot be mended by trying again."""
        self._consumer = group_consumer(self._settings, "notify", self._settings.notify_group(self.route.name))
        try:
            await self._consumer.start()
            self._consumer.subscribe([self._topic], listener=_Listener(self))
            while not stop.is_set():
                try:
                    await self._turn()
                except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                    await self._begin_again()
                except (KafkaError, TimeoutError) as failure:
                    if is_lasting(failure):
                        raise
                    log.warning("route %s: Kafka: %r", self.route.name, failure, topic=self._topic)
                    await asyncio.sleep(_RETRY_S)
        finally:
            await self.let_go()
            with contextlib.suppress(KafkaError):
                await self._consumer.stop()

    async def let_go(self) -> None:
        """Requests under way come to their end, what is done is committed, the rest is left to the next owner."""
        self._assignment += 1
        self._assigned, self.joined = frozenset(), False
        await self._settle()

    async def _begin_again(self) -> None:
        """The log does not hold what comes next: the next turn finds out what is there."""
        await self._settle()
        self._taken_over = -1

    async def _settle(self) -> None:
        await self.delivery.settle([task for window in self._windows.values() for task in window.tasks], _LET_GO_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_S):
                await self._commit()
        self._windows.clear()
        self.held = {}

    def assigned(self, tps: Iterable[TopicPartition]) -> None:
        """The group has said what is ours."""
        self._assignment += 1
        self._assigned = frozenset(tps)
        self.joined = not self._assigned  # there may be more processes than partitions: one that stands by

    def checks(self) -> list[Check]:
        """Whether it delivers what comes; a receiver that is away is no fault of this process."""
        why = f"{len(self._windows)} partitions" if self.joined else "the group has not said which partitions are ours"
        return [Check(f"route {self.route.name}", self.joined, why)]

    async def _turn(self) -> None:
        consumer, assignment = self._consumer, self._assignment
        if self._taken_over != assignment and self._assigned:
            await self._take_over(assignment)
            return
        for tp, window in self._windows.items():
            (consumer.pause if window.full else consumer.resume)(tp)
        found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_TAKE_RECORDS)
        if assignment != self._assignment:
            return  # the new assignment begins at positions of its own
        for tp, records in found.items():
            for record in records:
                self._windows[tp].take(record)
        for tp, window in self._windows.items():
            if tp not in found:
                window.skip(private.position(consumer, tp) or 0)  # markers of transactions behind the last record
        loop_s = asyncio.get_running_loop().time()
        if loop_s >= self._commit_at_s:
            self._commit_at_s = loop_s + _COMMIT_EVERY_S
            await self._commit()
        self._tell()
        if self._failed is not None:
            raise self._failed

    async def _take_over(self, assignment: int) -> None:
        """Begin each partition where the group stands; a group that never was begins where the route says."""
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
                    "%s/%d: route %s: offsets %d to %d were deleted before they were delivered",
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
        self._windows = {tp: InFlightRecords(at, self.delivery.deliver, self._fail) for tp, at in starts.items()}
        self._committed = {}
        for tp, at in starts.items():
            consumer.seek(tp, at)
        self._taken_over, self.joined = assignment, True
        # From now on this is where the group stands: who begins at the end must not begin at a later end next time.
        await self._commit()

    async def _commit(self) -> None:
        """Tell the group up to where everything is done. What it does not hear now, it hears later."""
        moved = {tp: w.position for tp, w in self._windows.items() if w.position != self._committed.get(tp)}
        if not moved:
            return
        if FAILPOINT and any(tp in self._committed for tp in moved):
            failpoint("before-notify-commit")
        try:
            await self._consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in moved.items()})
        except (KafkaError, ValueError) as failure:  # a ValueError for what is not assigned any more
            if is_lasting(failure):
                raise
            log.warning("route %s: positions not committed: %r", self.route.name, failure, topic=self._topic)
            return
        self._committed |= moved

    def _tell(self) -> None:
        held = {}
        for tp, window in self._windows.items():
            end = private.last_stable_offset(self._consumer, tp)
            lag = None if end is None or end < 0 else max(0, end - window.position)
            held[tp.partition] = InFlightStatus(len(window), window.oldest_s, lag)
        self.held = held

    def _fail(self, failure: BaseException) -> None:
        self._failed = self._failed or failure


class _Listener(ConsumerRebalanceListener):
    def __init__(self, courier: RouteConsumer) -> None:
        self._courier = courier

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._courier.let_go()

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._courier.assigned(assigned)
