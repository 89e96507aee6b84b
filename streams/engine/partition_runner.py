"""The owner of one input partition: applies batches in order, each with its effects in one fenced transaction."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.engine.batch_metrics import BatchMetrics, Stopwatch
from streams.engine.contract import Batch, BatchEffects, Deferred, Processor, ProcessorFactory, Record
from streams.engine.executor import ComputeSlot
from streams.engine.latency import Latency
from streams.engine.position import POSITION_KEY, Position, encode
from streams.engine.record_batch import EncodedBatch
from streams.engine.store import PartitionStore, StoreCounts
from streams.engine.transactions import DeferredBatches, FencedProducer
from streams.errors import ChurnSignalsError, DeferredOutputsLost
from streams.failpoints import FAILPOINT, failpoint
from streams.logs import get_logger

log = get_logger(__name__)

# An input is live when its newest event was within ten minutes of its receipt.
LIVE_WITHIN_MS = 10 * 60_000
# A processor that had nothing to do at its own deadline is asked again after a second, not at once.
_IDLE_RETRY_S = 1.0
# Wall clocks are set and machines sleep: a far deadline is looked at anew every minute.
_LONGEST_WAIT_S = 60.0
_BIRTH_BYTES = 16
# What came in small pieces goes into one transaction: a transaction costs the worker some 2 ms of CPU, and the
# broker too, whatever is in it. A backlog comes in pieces that are larger than this already.
JOIN_RECORDS = 2_500
# Transactions of a partition begin at this distance, so that they hold more (with 30 ms they took 0.75 of a core at
# 1,000 events/s), unless as many records wait as make what a transaction costs by itself small beside what they cost.
PACE_S = 0.05
WORTH_RECORDS = 500
# A backlog's batches are computed where transactions are, or both threads take Python's lock from each other (4 us an
# event): nobody waits for these events as they do for new ones.
INLINE_RECORDS = 2_000


def _topic_of(records: Sequence[Record]) -> str | None:
    return records[0].topic if records else None


class Inputs(Protocol):
    """Where batches come from (the group's consumer)."""

    async def seek(self, partition: int, offset: int) -> None:
        """Deliver from this offset on; what was fetched before is dropped."""

    def finished(self, batch: Batch) -> None:
        """One batch less under way: another one may be delivered."""


@dataclass(slots=True)
class Progress:
    """Figures of a partition, for lag and metrics.

    Attributes:
        position: the next input offset to apply.
        end: the end of the input when it was last fetched.
        caught_up: everything up to `end` is applied.
        live: the newest event was within ten minutes of its receipt.
        records, transactions, outputs: since the takeover.
        tally: what the processor counted, and seconds by stage, since the takeover.
        latency: how long events took to a told score, and alerts from when they were due.
        newest_record_ms: timestamp of the last record applied.
        newest_event_ms: the partition's event clock, if its processor tells.
        lost_input: offsets that retention had deleted before they were applied, of this takeover.
        takeover_s: how long this takeover took, recovery included.
        counts: how much the store holds.
    """

    position: int = 0
    end: int = 0
    caught_up: bool = False
    live: bool = False
    records: int = 0
    transactions: int = 0
    outputs: int = 0
    tally: BatchMetrics = field(default_factory=BatchMetrics)
    latency: Latency = field(default_factory=Latency)
    newest_record_ms: int | None = None
    newest_event_ms: int | None = None
    lost_input: int = 0
    takeover_s: float = 0.0
    counts: StoreCounts | None = None

    @property
    def lag(self) -> int:
        """Offsets between the position and the end (markers included, so that 0 is 0)."""
        return max(0, self.end - self.position)


@dataclass(frozen=True, slots=True)
class _Computed:
    """What came of records: so many of them consumed, and the offset to go on from."""

    effects: BatchEffects
    consumed: int
    next_offset: int

    @property
    def anything(self) -> bool:
        """Whether there is something to commit."""
        return bool(self.consumed or self.effects.outputs or self.effects.changes)


class PartitionRunner:
    """One partition under our ownership, from takeover until revocation or failure.

    The steps of a batch, in the order that makes it exact:

    1. It must continue the position: what is behind is dropped, what is ahead of it is sought back to.
    2. The processor applies it and says what it causes; nothing is visible yet.
    3. One transaction: outputs, changelog records, and the new position as its last record.
    4. After commit the local store, in one write batch with the changelog offset it stands for.
    5. The processor is told; then the next batch may be read.

    Args:
        number: partition number of the input.
        changelog: topic of the changelog; the same number there.
        clock: "auto", "event" or "wall".
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
        turns: ComputeSlot,
    ) -> None:
        self.number = number
        self.producer = producer
        self.store = store
        self.progress = Progress(position=recovered.next_offset if recovered is not None else first_offset)
        self.changelog_offset = store.meta.changelog_offset if store.meta is not None else 0
        self._changelog = (changelog, number)
        self._clock = clock
        self._inputs = inputs
        self._turns = turns
        self._live = clock == "wall" or (clock == "auto" and recovered is not None and recovered.live)
        self.progress.live = self._live
        self._birth = recovered.birth if recovered is not None else os.urandom(_BIRTH_BYTES)
        self._processor: Processor = factory(number, store, recovered.state if recovered is not None else None)
        self._waiting: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._not_before = 0.0
        self._began_s = 0.0

    @property
    def position(self) -> int:
        """The next input offset to apply."""
        return self.progress.position

    def deliver(self, batch: Batch) -> None:
        """Queue a batch."""
        self._waiting.append(batch)
        self._arrived.set()

    def resume(self) -> None:
        """Kept over a rebalance: go on from the position, forget what was fetched before it."""
        self._drop_waiting()
        self._stopping = False

    async def run(self) -> None:
        """Apply batches until `stop`; raises what made that impossible."""
        while not self._stopping:
            due = await self._next()
            if self._stopping:
                break
            if due:
                await self._apply_due()
            elif self._waiting[0].start == self.position:
                await self._apply_waiting()
            else:
                await self._pass_over(self._waiting.popleft())
        if self._processor.next_flush_ms() is not None:
            await self._apply_due()

    def stop(self) -> None:
        """Finish the batch under way, start no other."""
        self._stopping = True
        self._arrived.set()

    async def release(self, *, clean: bool) -> None:
        """Give everything up: after a commit cleanly, otherwise without another word to the broker."""
        self._drop_waiting()
        await self._turns.settled()  # given up in its middle, it may still read the store
        self.store.close()
        await (self.producer.close() if clean else self.producer.discard())

    async def _next(self) -> bool:
        """Wait for a batch (False), or until a deadline falls due in live running (True)."""
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
        if self._live and self.progress.caught_up:  # else deadlines are looked at as the log's own time passes them
            times_ms.append(self._processor.next_due_ms())
        due_ms = min([each for each in times_ms if each is not None], default=None)
        if due_ms is None:
            return None
        return min(_LONGEST_WAIT_S, max(due_ms / 1000 - time.time(), self._not_before - time.monotonic()))

    async def _pass_over(self, batch: Batch) -> None:
        """A batch that does not continue the position is not applied."""
        position = self.position
        try:
            if batch.next <= position:
                return  # a fetch from before a seek, answered after it
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
        """Apply what waits and continues the position, in one transaction or, if it causes too much, in several."""
        await self._linger()
        progress, taken = self.progress, list[Batch]()
        try:
            async with self._turns:
                if self._stopping:
                    return
                taken = self._take()  # now, with what came while others computed
                progress.end, progress.caught_up = taken[-1].end, taken[-1].next >= taken[-1].end
                records, end = taken[0].records, taken[-1].next
                if len(taken) > 1:
                    records = [record for batch in taken for record in batch.records]
                if FAILPOINT and records:
                    failpoint("after-decode")
                computed = await self._compute(records, end) if records else None
            while computed is not None:
                if not computed.anything:
                    said = f"partition {self.number}: the processor neither consumes nor changes anything"
                    raise ChurnSignalsError(said)
                computed = await self._committed(computed, records, end)
                records = records[computed.consumed :]
                if not records:
                    break
                if self._stopping:
                    return
                async with self._turns:
                    computed = await self._compute(records, end)
            progress.position = end
        finally:
            for batch in taken:
                self._inputs.finished(batch)

    async def _apply_due(self) -> None:
        """Look at deadlines without records."""
        async with self._turns:
            computed = await self._compute((), self.position)
        if computed.anything:
            await self._committed(computed, (), self.position)
        else:
            self._not_before = time.monotonic() + _IDLE_RETRY_S

    async def _linger(self) -> None:
        """After a small transaction the next one waits a little, so that it holds more."""
        wait_s = self._began_s + PACE_S - time.monotonic()
        if wait_s > 0 and sum(len(batch.records) for batch in self._waiting) < WORTH_RECORDS:
            await asyncio.sleep(wait_s)

    def _take(self) -> list[Batch]:
        """Batches that continue the position and each other, together as much as one transaction is to hold."""
        taken: list[Batch] = []
        end, count = self.position, 0
        while self._waiting and self._waiting[0].start == end:
            count += len(self._waiting[0].records)
            if taken and count > JOIN_RECORDS:
                break
            taken.append(self._waiting.popleft())
            end = taken[-1].next
        return taken

    async def _compute(self, records: Sequence[Record], next_offset: int, *, again: bool = False) -> _Computed:
        """What records, or deadlines without any, cause; when it is our turn."""
        progress = self.progress
        self._began_s = time.monotonic()
        now_ms = int(time.time() * 1000) if self._live and progress.caught_up else None
        process = self._processor.reprocess if again else self._processor.process
        if len(records) < INLINE_RECORDS:
            effects = await self._turns.compute(process, records, now_ms)
        else:
            effects = process(records, now_ms)
        consumed = len(records) if effects.consumed is None else effects.consumed
        if consumed < len(records):
            next_offset = records[consumed].offset
        self._find_out_if_live(records[:consumed])
        return _Computed(effects, consumed, next_offset)

    async def _committed(self, computed: _Computed, records: Sequence[Record], next_offset: int) -> _Computed:
        """Commit; returns what was committed, which is computed again if its deferred outputs are lost."""
        try:
            await self._commit(computed)
        except DeferredOutputsLost as lost:
            log.warning("%s: the worker computes it itself", lost, topic=_topic_of(records), partition=self.number)
            async with self._turns:
                computed = await self._compute(records, next_offset, again=True)
            await self._commit(computed)
        return computed

    @staticmethod
    async def _deferred_batches(deferred: Deferred, tally: BatchMetrics) -> Sequence[EncodedBatch]:
        """Wait for deferred outputs, while other partitions compute and the rest of the transaction is sent."""
        watch = Stopwatch(tally)
        batches = await deferred.batches()
        watch("explain")
        return batches

    async def _commit(self, computed: _Computed) -> None:
        """One transaction; then the local store, then the processor is told.

        Raises:
            DeferredOutputsLost: nothing is committed, because the deferred outputs are missing.
        """
        if FAILPOINT:
            failpoint("after-apply")
        effects, next_offset = computed.effects, computed.next_offset
        progress, tally, deferred = self.progress, effects.tally, effects.deferred
        watch = Stopwatch(tally)
        changes = dict(effects.changes)
        changes[POSITION_KEY] = encode(next_offset, self._live, self._birth, effects.state)
        if deferred is None:
            changelog_offset = await self.producer.commit(effects.outputs, self._changelog, changes)
        else:
            async with deferred.slot:
                late = DeferredBatches(deferred.topic, deferred.partition, self._deferred_batches(deferred, tally))
                changelog_offset = await self.producer.commit(effects.outputs, self._changelog, changes, late)
        watch("transaction")
        visible_ms = time.time() * 1000
        if FAILPOINT:
            failpoint("before-store")
        self.store.write(changes, changelog_offset)
        watch("store")
        self.changelog_offset = changelog_offset
        if FAILPOINT:
            failpoint("after-store")
        self._processor.committed()
        progress.position = next_offset
        progress.records += computed.consumed
        progress.transactions += 1
        progress.outputs += len(effects.outputs) + (0 if deferred is None else deferred.count)
        progress.tally.add(tally)
        progress.latency.observe(tally, self.number, visible_ms, self._live)

    def _find_out_if_live(self, records: Sequence[Record]) -> None:
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
