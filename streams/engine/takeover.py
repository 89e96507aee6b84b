"""Take over partitions in the order that makes it safe: a new owner fences the old one before it reads anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.engine.contract import GroupInputs, ProcessorFactory
from streams.engine.executor import ComputeSlot
from streams.engine.input_topic import InputTopic, is_same
from streams.engine.partition_runner import PartitionRunner
from streams.engine.position import Position
from streams.engine.recovery import recover
from streams.engine.store import PartitionStore
from streams.engine.store_directories import open_stores
from streams.engine.transactions import FencedProducer
from streams.errors import InputLost
from streams.logs import get_logger
from streams.settings import Settings, variable

log = get_logger(__name__)

# Prevents a broker that stops answering during a recovery from blocking the takeover: it is tried again. A chunk of the
# changelog takes a few seconds at most.
_NO_PROGRESS_S: Final = 30.0
# Partitions whose connections are opened at the same time.
_PARALLEL_OPENS: Final = 8


@dataclass(frozen=True)
class PartitionNames:
    """The role and topics of a group of owners."""

    role: str
    input: str
    changelog: str

    def transactional_id(self, settings: Settings, partition: int) -> str:
        """Return the id that fences a partition: the same in every process that may own it."""
        return f"{settings.kafka_group_id}/{self.role}/{self.input}/{partition}"


class Takeover:
    """Steps 1 to 3 of a takeover, see `streams.engine.ownership.Ownership`.

    Args:
        settings: of the process.
        names: of role and topics.
        factory: makes the processor of a partition, after its recovery.
        inputs: the group's consumer.
        topic: the input topic.
        progress: called with (partition, changelog records to go, records in all) during recovery.
    """

    def __init__(
        self,
        settings: Settings,
        names: PartitionNames,
        factory: ProcessorFactory,
        inputs: GroupInputs,
        topic: InputTopic,
        progress: Callable[[int, int, int], None],
    ) -> None:
        self._settings = settings
        self._names = names
        self._factory = factory
        self._inputs = inputs
        self._topic = topic
        self._progress = progress
        self._compute_slot = ComputeSlot()

    async def run(self, numbers: set[int], runners: dict[int, PartitionRunner]) -> None:
        """Take over partitions and add their runners to `runners`, ready to run.

        Raises:
            Exception: one cannot be taken over; everything that was opened for those not in `runners` is closed.
        """
        started_s = time.monotonic()
        producers: dict[int, FencedProducer] = {}
        stores: dict[int, PartitionStore] = {}
        try:
            # 1. Fence the former owners and abort what they left open.
            await self._fence(numbers, producers)
            # 2. Recover the changelogs into the local stores: nothing can be appended to them any more.
            await open_stores(self._settings.store_dir, self._names.input, numbers, stores)
            positions = await self._recover(stores)
            topic_id = await self._topic.confirm()
            bounds = await self._inputs.bounds(numbers)
            # 3. Create the processors from the recovered states.
            for number in sorted(numbers):
                first, end = bounds[number]
                recovered, lost = self._checked(number, positions[number], first, end, topic_id)
                runner = PartitionRunner(
                    number,
                    changelog=self._names.changelog,
                    clock=self._settings.clock,
                    producer=producers[number],
                    store=stores[number],
                    recovered=recovered,
                    first_offset=first,
                    factory=self._factory,
                    inputs=self._inputs,
                    compute_slot=self._compute_slot,
                    topic_id=topic_id or (recovered.topic_id if recovered is not None else b""),
                )
                runner.progress.lost_input, runner.progress.counts = lost, stores[number].counts
                runner.progress.takeover_s = time.monotonic() - started_s
                runners[number] = runner
        except BaseException:
            opened = numbers - set(runners)
            for number in opened & set(stores):
                stores[number].close()
            await asyncio.gather(*[producers[number].discard() for number in opened & set(producers)])
            raise

    async def _recover(self, stores: dict[int, PartitionStore]) -> dict[int, Position | None]:
        """Recover, or raise `TimeoutError` after a time without progress."""
        loop, left = asyncio.get_running_loop(), dict[int, int]()
        async with asyncio.timeout(_NO_PROGRESS_S) as limit:

            def progress(partition: int, to_go: int, total: int) -> None:
                if left.get(partition) != to_go:
                    left[partition] = to_go
                    limit.reschedule(loop.time() + _NO_PROGRESS_S)
                self._progress(partition, to_go, total)

            return await recover(self._settings, self._names.changelog, stores, progress)

    async def _fence(self, numbers: Iterable[int], producers: dict[int, FencedProducer]) -> None:
        limit = asyncio.Semaphore(_PARALLEL_OPENS)

        async def open_one(number: int) -> None:
            async with limit:
                transactional_id = self._names.transactional_id(self._settings, number)
                producers[number] = await FencedProducer.open(self._settings, transactional_id)

        for failure in await asyncio.gather(*[open_one(number) for number in numbers], return_exceptions=True):
            if failure is not None:
                raise failure

    def _checked(
        self, number: int, recovered: Position | None, first: int, end: int, topic_id: bytes
    ) -> tuple[Position | None, int]:
        """Check that the input still has the recovered position; returns the position and the offsets that are lost.

        A position without an id, of an earlier release or from older brokers, is taken for one of the current topic.

        Raises:
            InputReplaced: it is another topic, and the settings do not accept that.
            InputLost: the position is gone, and the settings do not accept that.
        """
        if recovered is None:
            return None, 0
        if not is_same(recovered.topic_id, topic_id):
            self._report_replaced(number, recovered.next_offset, first)
            return msgspec.structs.replace(recovered, next_offset=first), 0
        if first <= recovered.next_offset <= end:
            return recovered, 0
        self._report_lost(number, recovered.next_offset, first, end)
        return msgspec.structs.replace(recovered, next_offset=first), max(0, first - recovered.next_offset)

    def _report_replaced(self, number: int, position: int, first: int) -> None:
        topic, accept = self._names.input, variable("accept_lost_input")
        fields: dict[str, str | int] = {"topic": topic, "partition": number, "offset": position}
        if not self._settings.accept_lost_input:
            raise self._topic.replaced(partition=number, offset=position)
        log.error(
            "%s/%d was deleted and created again; continuing from offset %d, because %s is set",
            topic,
            number,
            first,
            accept,
            **fields,
        )

    def _report_lost(self, number: int, position: int, first: int, end: int) -> None:
        if position < first:
            lost = f"events {position} to {first - 1} were deleted by retention before they were applied"
            lost += f" ({first - position:,} offsets)"
        else:
            lost = f"the topic ends at {end}, events up to {position - 1} were applied: it was deleted and recreated"
        topic, accept = self._names.input, variable("accept_lost_input")
        fields: dict[str, str | int] = {"topic": topic, "partition": number, "offset": position}
        if not self._settings.accept_lost_input:
            raise InputLost(f"{topic}/{number}: {lost}; to continue from offset {first} set {accept}=true", **fields)
        log.error(
            "%s/%d: %s; continuing from offset %d, because %s is set", topic, number, lost, first, accept, **fields
        )
