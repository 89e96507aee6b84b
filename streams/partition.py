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

from streams.errors import ChurnSignalsError
from streams.failpoints import FAILPOINT, failpoint
from streams.latency import Latency
from streams.logs import get_logger
from streams.position import POSITION_KEY, Position, encode
from streams.processing import Batch, Effects, Processor, ProcessorFactory, Record
from streams.store import Counts, PartitionStore
from streams.tally import Stopwatch, Tally
from streams.transactions import FencedProducer

log = get_logger(__name__)

# An input is live when its newest event was within ten minutes of its receipt.
LIVE_WITHIN_MS = 10 * 60_000
# A processor that had nothing to do at its own deadline is asked again after a second, not at once.
_IDLE_RETRY_S = 1.0
# Wall clocks are set and machines sleep: a far deadline is looked at anew every minute.
_LONGEST_WAIT_S = 60.0
_BIRTH_BYTES = 16


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
    tally: Tally = field(default_factory=Tally)
    latency: Latency = field(default_factory=Latency)
    newest_record_ms: int | None = None
    newest_event_ms: int | None = None
    lost_input: int = 0
    takeover_s: float = 0.0
    counts: Counts | None = None

    @property
    def lag(self) -> int:
        """Offsets between the position and the end (markers included, so that 0 is 0)."""
        return max(0, self.end - self.position)


class Partition:
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
    ) -> None:
        self.number = number
        self.producer = producer
        self.store = store
        self.progress = Progress(position=recovered.next_offset if recovered is not None else first_offset)
        self.changelog_offset = store.meta.changelog_offset if store.meta is not None else 0
        self._changelog = (changelog, number)
        self._clock = clock
        self._inputs = inputs
        self._live = clock == "wall" or (clock == "auto" and recovered is not None and recovered.live)
        self.progress.live = self._live
        self._birth = recovered.birth if recovered is not None else os.urandom(_BIRTH_BYTES)
        self._processor: Processor = factory(number, store, recovered.state if recovered is not None else None)
        self._waiting: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._stopping = False
        self._not_before = 0.0

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
            batch = await self._next()
            if self._stopping:
                break
            if batch is None:
                await self._apply((), self.position, due=True)
            else:
                try:
                    await self._continue(batch)
                finally:
                    self._inputs.finished(batch)

    def stop(self) -> None:
        """Finish the batch under way, start no other."""
        self._stopping = True
        self._arrived.set()

    async def release(self, *, clean: bool) -> None:
        """Give everything up: after a commit cleanly, otherwise without another word to the broker."""
        self._drop_waiting()
        self.store.close()
        await (self.producer.close() if clean else self.producer.discard())

    async def _next(self) -> Batch | None:
        """The next batch, or None when a deadline falls due in live running."""
        while not self._waiting and not self._stopping:
            self._arrived.clear()
            wait_s = self._until_due_s()
            if wait_s is not None and wait_s <= 0:
                return None  # a deadline
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
        return None if self._stopping else self._waiting.popleft()

    def _until_due_s(self) -> float | None:
        if not (self._live and self.progress.caught_up):
            return None  # behind, or a replay: deadlines are looked at as the log's own time passes them
        due_ms = self._processor.next_due_ms()
        if due_ms is None:
            return None
        return min(_LONGEST_WAIT_S, max(due_ms / 1000 - time.time(), self._not_before - time.monotonic()))

    async def _continue(self, batch: Batch) -> None:
        progress = self.progress
        if batch.next < progress.position or (batch.next == progress.position and batch.start < batch.next):
            return  # a fetch from before a seek, answered after it
        if batch.start != progress.position:
            log.info(
                "partition %d: expected offset %d, got %d: seeking back",
                self.number,
                progress.position,
                batch.start,
                topic=batch.topic,
                partition=self.number,
                offset=progress.position,
            )
            await self._inputs.seek(self.number, progress.position)
            return
        progress.end, progress.caught_up = batch.end, batch.next >= batch.end
        records = batch.records
        if FAILPOINT and records:
            failpoint("after-decode")
        while records:
            consumed = await self._apply(records, batch.next, due=False)
            if consumed >= len(records):
                break
            records = records[consumed:]
            # committed: behind us also if the rest is fetched again, by the next owner or, kept over a rebalance, by us
            progress.position = records[0].offset
            if self._stopping:
                return
        progress.position = batch.next

    async def _apply(self, records: Sequence[Record], next_offset: int, *, due: bool) -> int:
        """One transaction; returns how many of the records it holds."""
        progress = self.progress
        now_ms = int(time.time() * 1000) if self._live and progress.caught_up else None
        effects = self._processor.process(records, now_ms)
        consumed = len(records) if effects.consumed is None else effects.consumed
        if consumed < len(records):
            next_offset = records[consumed].offset
        self._find_out_if_live(records[:consumed])
        if not consumed and not effects.outputs and not effects.changes:
            if not due:
                raise ChurnSignalsError(f"partition {self.number}: the processor neither consumes nor changes anything")
            self._not_before = time.monotonic() + _IDLE_RETRY_S
            return 0
        if FAILPOINT:
            failpoint("after-apply")
        await self._commit(effects, next_offset)
        progress.records += consumed
        return consumed

    async def _commit(self, effects: Effects, next_offset: int) -> None:
        progress, tally = self.progress, effects.tally
        watch = Stopwatch(tally)
        changes = dict(effects.changes)
        changes[POSITION_KEY] = encode(next_offset, self._live, self._birth, effects.state)
        changelog_offset = await self.producer.commit(effects.outputs, self._changelog, changes)
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
        progress.transactions += 1
        progress.outputs += len(effects.outputs)
        progress.tally.add(tally)
        progress.latency.observe(tally, self.number, visible_ms, self._live)

    def _find_out_if_live(self, records: Sequence[Record]) -> None:
        if not records:
            return
        self.progress.newest_record_ms = records[-1].timestamp
        newest_ms = getattr(self._processor, "newest_event_ms", records[-1].timestamp)
        self.progress.newest_event_ms = newest_ms
        if newest_ms is not None and self._clock == "auto":
            self._live = newest_ms >= time.time() * 1000 - LIVE_WITHIN_MS
            self.progress.live = self._live

    def _drop_waiting(self) -> None:
        while self._waiting:
            self._inputs.finished(self._waiting.popleft())
