"""Process one owned input partition: apply batches in order, each with its effects in one fenced transaction.

Tested by tests/streams/engine/test_partition_runner.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streams.engine.batch_metrics import BatchMetrics, Stopwatch
from streams.engine.contract import Batch, BatchEffects, Deferred, Inputs, Processor, ProcessorFactory, Record
from streams.engine.executor import ComputeSlot
from streams.engine.position import POSITION_KEY, Position, encode_position
from streams.engine.progress import Progress
from streams.engine.record_batch import EncodedBatch
from streams.engine.store import PartitionStore
from streams.engine.transactions import DeferredBatches, FencedProducer
from streams.errors import ChurnSignalsError, DeferredOutputsLost
from streams.failpoints import FAILPOINT, failpoint
from streams.logs import get_logger

log = get_logger(__name__)

# An input is live if its newest event was received within ten minutes of its time.
LIVE_WITHIN_MS: Final = 10 * 60_000
# Prevents a busy loop when a processor has nothing to do at its own deadline: a deadline is at most this late.
_IDLE_RETRY_S: Final = 1.0
# Prevents a deadline from being missed after the wall clock was set or the machine slept: it is at most this late.
_LONGEST_WAIT_S: Final = 60.0
_CHANGELOG_ID_BYTES: Final = 16
# Small batches are joined into one transaction, because a transaction costs the worker and the broker about 2 ms of CPU
# each, whatever its size. The batches of a backlog are larger than this already.
JOIN_RECORDS_MAX: Final = 2_500
# Minimum interval between the starts of a partition's transactions, so that each has more records (with 30 ms they took
# 0.75 of a core at 1,000 events/s). There is no delay if enough records wait to make the fixed cost negligible.
MIN_INTERVAL_S: Final = 0.05
NO_DELAY_RECORDS: Final = 500
# Batches of this size or more are computed on the event loop, where transactions run. In a thread, both would compete
# for Python's lock (4 us per event). The events of a backlog are not urgent.
INLINE_RECORDS_MIN: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Computed:
    """Effects of records: how many were consumed, and the offset to continue from."""

    effects: BatchEffects
    consumed: int
    next_offset: int

    @property
    def anything(self) -> bool:
        """Whether there is something to commit."""
        return bool(self.consumed or self.effects.outputs or self.effects.changes)


class PartitionRunner:
    """One owned partition, from takeover until revocation or failure.

    The steps of a batch; their order is what makes processing exactly once:

    1. Check that the batch continues the position. Drop a batch that is behind it; seek back if one is ahead of it.
    2. Compute its effects. Nothing is visible yet.
    3. Commit one transaction: outputs, changelog records, and the new position as the last record.
    4. Write the local store, in one write batch with the changelog offset that it now contains.
    5. Notify the processor. Then the next batch can be computed.

    Args:
        number: partition number of the input.
        changelog: topic of the changelog; its partition has the same number.
        clock: "auto", "event" or "wall".
        recovered: the last committed position; None for a new partition.
        first_offset: where a new partition starts.
        compute_slot: shared by the partitions of the worker.
        topic_id: of the input topic; empty if the brokers do not report it.
    """

    def __init__(
        self,
        number: int,
        *,
        changelog: str,
        clock: str,
        producer: FencedProducer,
        store: PartitionStore,
        recovered: Position | None,
        first_offset: int,
        factory: ProcessorFactory,
        inputs: Inputs,
        compute_slot: ComputeSlot,
        topic_id: bytes = b"",
    ) -> None:
        self.number = number
        self.producer = producer
        self.store = store
        self.progress = Progress(position=recovered.next_offset if recovered is not None else first_offset)
        self.changelog_offset = store.meta.changelog_offset if store.meta is not None else 0
        self._changelog = (changelog, number)
        self._topic_id = topic_id
        self._clock = clock
        self._inputs = inputs
        self._compute_slot = compute_slot
        self._live = clock == "wall" or (clock == "auto" and recovered is not None and recovered.live)
        self.progress.live = self._live
        self._changelog_id = recovered.changelog_id if recovered is not None else os.urandom(_CHANGELOG_ID_BYTES)
        self._processor: Processor = factory(number, store, recovered.state if recovered is not None else None)
        self._waiting: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._not_before_s = 0.0
        self._started_s = 0.0

    @property
    def position(self) -> int:
        """The next input offset to apply."""
        return self.progress.position

    def deliver(self, batch: Batch) -> None:
        """Queue a batch."""
        self._waiting.append(batch)
        self._arrived.set()

    def resume(self) -> None:
        """Prepare to run again after a rebalance: drop what was fetched before it."""
        self._drop_waiting()
        self._stopping = False

    async def run(self) -> None:
        """Apply batches until `stop`; raises what makes that impossible."""
        while not self._stopping:
            due = await self._next()
            if self._stopping:
                break
            if due:
                await self._apply_due()
            elif self._waiting[0].start == self.position:
                await self._apply_waiting()
            else:
                await self._reject(self._waiting.popleft())
        if self._processor.next_flush_ms() is not None:
            await self._apply_due()

    def stop(self) -> None:
        """Finish the current batch, start no other."""
        self._stopping = True
        self._arrived.set()

    async def release(self, *, clean: bool) -> None:
        """Close store and producer. After a failure (not `clean`), send nothing more to the broker."""
        self._drop_waiting()
        await self._compute_slot.drained()  # a computation that was cancelled may still read the store
        self.store.close()
        await (self.producer.close() if clean else self.producer.discard())

    async def _next(self) -> bool:
        """Wait for a batch (returns False) or for a deadline or flush (returns True)."""
        while not self._waiting and not self._stopping:
            self._arrived.clear()
            wait_s = self._until_due_s()
            if wait_s is not None and wait_s <= 0:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
        return False

    def _until_due_s(self) -> float | None:
        times_ms = [self._processor.next_flush_ms()]
        if self._live and self.progress.caught_up:  # in a replay, deadlines follow the time of the events
            times_ms.append(self._processor.next_due_ms())
        due_ms = min([time_ms for time_ms in times_ms if time_ms is not None], default=None)
        if due_ms is None:
            return None
        return min(_LONGEST_WAIT_S, max(due_ms / 1000 - time.time(), self._not_before_s - time.monotonic()))

    async def _reject(self, batch: Batch) -> None:
        """Step 1 for a batch that does not continue the position."""
        position = self.position
        try:
            if batch.next <= position:
                return  # fetched before a seek, delivered after it
            log.info(
                "partition %d: expected offset %d, got %d: seeking back",
                self.number,
                position,
                batch.start,
                topic=batch.topic,
                partition=self.number,
                offset=position,
            )
            await self._inputs.seek(self.number, position)
        finally:
            self._inputs.finished(batch)

    async def _apply_waiting(self) -> None:
        """Apply the waiting batches that continue the position, in one transaction or, if bounded, in several."""
        await self._delay_small()
        progress, batches = self.progress, list[Batch]()
        try:
            async with self._compute_slot:
                if self._stopping:
                    return
                batches = self._join_waiting()  # now, with what arrived while other partitions computed
                progress.end, progress.caught_up = batches[-1].end, batches[-1].next >= batches[-1].end
                records, end = batches[0].records, batches[-1].next
                if len(batches) > 1:
                    records = [record for batch in batches for record in batch.records]
                if FAILPOINT and records:
                    failpoint("after-decode")
                computed = await self._compute(records, end) if records else None
            while computed is not None:
                if not computed.anything:
                    raise ChurnSignalsError(
                        f"partition {self.number}: the processor neither consumes nor changes anything"
                    )
                computed = await self._commit_computed(computed, records, end)
                records = records[computed.consumed :]
                if not records:
                    break
                if self._stopping:
                    return
                async with self._compute_slot:
                    computed = await self._compute(records, end)
            progress.position = end
        finally:
            for batch in batches:
                self._inputs.finished(batch)

    async def _apply_due(self) -> None:
        """Process deadlines or a flush, without records."""
        async with self._compute_slot:
            computed = await self._compute((), self.position)
        if computed.anything:
            await self._commit_computed(computed, (), self.position)
        else:
            self._not_before_s = time.monotonic() + _IDLE_RETRY_S

    async def _delay_small(self) -> None:
        """Delay a small transaction, so that more records can join it."""
        wait_s = self._started_s + MIN_INTERVAL_S - time.monotonic()
        if wait_s > 0 and sum(len(batch.records) for batch in self._waiting) < NO_DELAY_RECORDS:
            await asyncio.sleep(wait_s)

    def _join_waiting(self) -> list[Batch]:
        """Step 1: take the batches that continue the position and each other, up to `JOIN_RECORDS_MAX` records."""
        batches: list[Batch] = []
        end, count = self.position, 0
        while self._waiting and self._waiting[0].start == end:
            count += len(self._waiting[0].records)
            if batches and count > JOIN_RECORDS_MAX:
                break
            batches.append(self._waiting.popleft())
            end = batches[-1].next
        return batches

    async def _compute(self, records: Sequence[Record], next_offset: int, *, defer: bool = True) -> _Computed:
        """Step 2: compute the effects of records, or of deadlines without any. The caller holds the compute slot."""
        progress = self.progress
        self._started_s = time.monotonic()
        now_ms = int(time.time() * 1000) if self._live and progress.caught_up else None
        process = self._processor.process if defer else self._processor.reprocess
        if len(records) < INLINE_RECORDS_MIN:
            effects = await self._compute_slot.compute(process, records, now_ms)
        else:
            effects = process(records, now_ms)
        consumed = len(records) if effects.consumed is None else effects.consumed
        if consumed < len(records):
            next_offset = records[consumed].offset
        self._update_live(records[:consumed])
        return _Computed(effects, consumed, next_offset)

    async def _commit_computed(self, computed: _Computed, records: Sequence[Record], next_offset: int) -> _Computed:
        """Commit; returns what was committed, which is computed again if its deferred outputs are lost."""
        try:
            await self._commit(computed)
        except DeferredOutputsLost as lost:
            topic = records[0].topic if records else None
            log.warning("%s: the worker computes it itself", lost, topic=topic, partition=self.number)
            async with self._compute_slot:
                computed = await self._compute(records, next_offset, defer=False)
            await self._commit(computed)
        return computed

    async def _commit(self, computed: _Computed) -> None:
        """Run steps 3 to 5.

        Raises:
            DeferredOutputsLost: nothing is committed, because the deferred outputs are missing.
        """
        if FAILPOINT:
            failpoint("after-apply")
        effects, next_offset = computed.effects, computed.next_offset
        progress, tally, deferred = self.progress, effects.tally, effects.deferred
        watch = Stopwatch(tally)
        changes = dict(effects.changes)
        changes[POSITION_KEY] = encode_position(
            next_offset, self._live, self._changelog_id, effects.state, self._topic_id
        )
        # 3. The transaction, with the position as its last changelog record.
        if deferred is None:
            changelog_offset = await self.producer.commit(effects.outputs, self._changelog, changes)
        else:
            async with deferred.slot:
                late = DeferredBatches(deferred.topic, deferred.partition, _timed_batches(deferred, tally))
                changelog_offset = await self.producer.commit(effects.outputs, self._changelog, changes, late)
        watch("transaction")
        visible_ms = time.time() * 1000
        if FAILPOINT:
            failpoint("before-store")
        # 4. The store, never before the commit.
        self.store.write(changes, changelog_offset)
        watch("store")
        self.changelog_offset = changelog_offset
        if FAILPOINT:
            failpoint("after-store")
        # 5. The processor, which may read the store from now on.
        self._processor.committed()
        progress.position = next_offset
        progress.records += computed.consumed
        progress.transactions += 1
        progress.outputs += len(effects.outputs) + (0 if deferred is None else deferred.count)
        progress.tally.add(tally)
        progress.latency.observe(tally, self.number, visible_ms, self._live)

    def _update_live(self, records: Sequence[Record]) -> None:
        """Decide from the newest event whether the input is live."""
        if not records:
            return
        self.progress.newest_record_ms = records[-1].timestamp
        newest_ms = self._processor.newest_event_ms
        self.progress.newest_event_ms = newest_ms
        if newest_ms is not None and self._clock == "auto":
            self._live = newest_ms >= time.time() * 1000 - LIVE_WITHIN_MS
            self.progress.live = self._live

    def _drop_waiting(self) -> None:
        while self._waiting:
            self._inputs.finished(self._waiting.popleft())


async def _timed_batches(deferred: Deferred, tally: BatchMetrics) -> Sequence[EncodedBatch]:
    """Wait for deferred outputs, while other partitions compute and the rest of the transaction is sent."""
    watch = Stopwatch(tally)
    batches = await deferred.batches()
    watch("explain")
    return batches
