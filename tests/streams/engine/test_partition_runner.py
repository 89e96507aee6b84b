"""A partition runner with input, producer and store in plain Python."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.engine import partition_runner as module
from streams.engine.contract import Batch, BatchEffects, Output, Processor, Record
from streams.engine.executor import ComputeSlot
from streams.engine.partition_runner import PartitionRunner
from streams.engine.position import POSITION_KEY, decode_position
from streams.engine.record_batch import EncodedBatch
from streams.engine.transactions import DeferredBatches
from streams.errors import ChurnSignalsError, DeferredOutputsLost, OwnershipLost
from tests.waiting import until


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions are not delayed, except where a test enables it."""
    monkeypatch.setattr(module, "MIN_INTERVAL_S", 0.0)


@dataclass
class Event:
    offset: int
    timestamp: int = 0
    topic: str = "events"
    partition: int = 0
    key: bytes = b"k"
    value: bytes = b"v"
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class World:
    """Everything around a partition runner, and the calls that it received."""

    applied: list[int] = field(default_factory=list)
    sought: list[int] = field(default_factory=list)
    finished: list[Batch] = field(default_factory=list)
    committed: list[dict[bytes, bytes | None]] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    clocks: list[int | None] = field(default_factory=list)
    notified: int = 0
    fail: BaseException | None = None
    take: int | None = None
    due_ms: int | None = None
    newest_event_ms: int | None = None

    # producer
    async def commit(
        self,
        outputs: Sequence[Output],
        changelog: Any,
        changes: dict[bytes, bytes | None],
        late: DeferredBatches | None = None,
    ) -> int:
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        self.committed.append(changes)
        return len(self.committed) * 10

    # store
    def write(self, changes: dict[bytes, bytes | None], changelog_offset: int) -> None:
        assert self.committed[-1] is changes, "the store was written before the commit"
        self.stored.append(changelog_offset)

    # inputs
    async def seek(self, partition: int, offset: int) -> None:
        self.sought.append(offset)

    def finish(self, batch: Batch) -> None:
        self.finished.append(batch)

    # processor
    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        self.clocks.append(now_ms)
        taken = records if self.take is None else records[: self.take]
        self.applied += [record.offset for record in taken]
        if not records:
            self.due_ms = None
        return BatchEffects(changes={b"ck": b"v"} if records else {}, consumed=len(taken))

    def reprocess(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        return self.process(records, now_ms)

    def next_due_ms(self) -> int | None:
        return self.due_ms


class _AtOnce(ComputeSlot):
    """Computes on the event loop, so that the order of calls does not depend on a thread."""

    async def compute(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def drained(self) -> None:
        pass


def batch(start: int, stop: int, *, next_: int | None = None, end: int = 1_000) -> Batch:
    return Batch("events", 0, start, stop if next_ is None else next_, end, [Event(o) for o in range(start, stop)])


def partition_of(world: World, clock: str = "event") -> PartitionRunner:
    class Store:
        write = staticmethod(world.write)
        meta = None

    class Inputs:
        seek = staticmethod(world.seek)
        finished = staticmethod(world.finish)

    class Stub(Processor):
        process = staticmethod(world.process)
        reprocess = staticmethod(world.reprocess)
        next_due_ms = staticmethod(world.next_due_ms)

        @property
        def newest_event_ms(self) -> int | None:  # type: ignore[override]
            return world.newest_event_ms

        def committed(self) -> None:
            assert len(world.stored) == len(world.committed), "notified before the store was written"
            world.notified += 1

    return PartitionRunner(
        0,
        changelog="changelog",
        clock=clock,
        producer=world,  # type: ignore[arg-type]
        store=Store(),  # type: ignore[arg-type]
        recovered=None,
        first_offset=0,
        factory=lambda number, store, state: Stub(),
        inputs=Inputs(),
        compute_slot=_AtOnce(),
    )


def running(partition: PartitionRunner, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        task = asyncio.create_task(partition.run())
        await body()
        partition.stop()
        await task

    asyncio.run(whole())


def positions(world: World) -> list[int]:
    """Return the position of each transaction."""
    return [decode_position(changes[POSITION_KEY] or b"").next_offset for changes in world.committed]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_batches_that_continue_each_other_are_applied_in_order() -> None:
    """Rule: commit, write the store, notify the processor, then the next batch; the position includes markers."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 3, next_=5))
        await settle()
        partition.deliver(batch(5, 7))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 5, 6]
    assert partition.position == 7
    assert world.stored == [10, 20]
    assert world.notified == 2
    assert positions(world) == [5, 7]
    assert [list(changes)[-1] for changes in world.committed] == [POSITION_KEY, POSITION_KEY]
    assert len(world.finished) == 2


def test_batch_ahead_of_the_position_causes_a_seek_and_is_not_applied() -> None:
    """Rule: apply nothing after a gap."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(4, 6))
        await settle()

    running(partition, body)
    assert world.applied == []
    assert world.sought == [0]
    assert len(world.finished) == 1


def test_a_batch_behind_the_position_is_dropped_without_a_seek() -> None:
    """Rule: a batch that was fetched before a seek may arrive after it, and changes nothing."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 5))
        partition.deliver(batch(0, 5))
        partition.deliver(batch(2, 4))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 3, 4]
    assert world.sought == []


def test_batch_that_overlaps_the_position_causes_a_seek() -> None:
    """Rule: a batch is applied as a whole or not at all."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 5))
        partition.deliver(batch(3, 8))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 3, 4]
    assert world.sought == [5]


def test_markers_alone_advance_the_position_without_a_transaction() -> None:
    """Rule: without effects nothing is written; after a restart the markers are read again."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(Batch("events", 0, 0, 3, 3, []))
        await settle()

    running(partition, body)
    assert partition.position == 3
    assert partition.progress.caught_up
    assert world.committed == []


def test_an_unknown_outcome_leaves_position_store_and_processor_untouched() -> None:
    """Rule: effects that may not be committed exist in the transaction only."""
    world = World(fail=OwnershipLost("unknown"))
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 3))
        await settle()

    with pytest.raises(OwnershipLost):
        running(partition, body)
    assert partition.position == 0
    assert (world.stored, world.notified) == ([], 0)


def test_part_of_a_batch_is_committed_at_its_own_position() -> None:
    """Rule: `consumed` bounds a transaction; the other records follow in the next one."""
    world = World(take=2)
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 5, next_=6))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 3, 4]
    assert positions(world) == [2, 4, 6]


def test_a_batch_that_was_stopped_midway_continues_after_the_last_commit() -> None:
    """Rule: nothing is applied twice if a partition is revoked between two transactions of a batch and then kept."""
    world = World(take=2)
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 6))
        while not world.committed:
            await asyncio.sleep(0)

    running(partition, body)
    done = len(world.applied)
    assert 0 < done < 6, "stopped after the batch: the test proved nothing"
    assert partition.position == done
    partition.resume()

    async def rest() -> None:
        partition.deliver(batch(partition.position, 6))
        await settle()

    running(partition, rest)
    assert world.applied == [0, 1, 2, 3, 4, 5]


def test_a_processor_that_consumes_and_changes_nothing_stops_the_worker() -> None:
    """Rule: no endless loop over the same record."""

    class Stuck(World):
        def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
            return BatchEffects(consumed=0)

    partition = partition_of(Stuck())

    async def body() -> None:
        partition.deliver(batch(0, 5))
        await settle()

    with pytest.raises(ChurnSignalsError, match="neither consumes nor changes"):
        running(partition, body)


def test_wall_time_is_given_only_to_a_live_input_read_to_its_end() -> None:
    """Rule: in a replay, and during a backlog, deadlines follow event time."""
    world = World(newest_event_ms=int(time.time() * 1000))
    partition = partition_of(world, clock="auto")

    async def body() -> None:
        partition.deliver(batch(0, 2, end=6))  # not known to be live yet
        await settle()
        partition.deliver(batch(2, 4, end=6))  # live, with a backlog
        await settle()
        partition.deliver(batch(4, 6, end=6))  # live and at the end
        await settle()

    running(partition, body)
    assert [clock is not None for clock in world.clocks] == [False, False, True]


def test_a_deadline_of_a_live_input_is_processed_without_records() -> None:
    """Rule: a deadline is processed when it is due; a call that changes nothing writes nothing."""
    world = World(due_ms=int(time.time() * 1000))
    partition = partition_of(world, clock="wall")

    async def body() -> None:
        partition.deliver(Batch("events", 0, 0, 0, 0, []))
        await settle()

    running(partition, body)
    assert len(world.clocks) == 1
    assert world.committed == []


def test_waiting_batches_are_joined_into_one_transaction() -> None:
    """Rule: records that arrived while others computed are applied at once, markers included, and each batch gives
    its credit back."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 2, next_=3))
        partition.deliver(batch(3, 5))
        partition.deliver(Batch("events", 0, 5, 6, 6, []))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 3, 4]
    assert positions(world) == [6]
    assert partition.progress.caught_up
    assert [each.start for each in world.finished] == [0, 3, 5]


def test_a_transaction_holds_a_limited_number_of_waiting_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: waiting batches are joined up to a number of records; a larger batch is one transaction."""
    monkeypatch.setattr(module, "JOIN_RECORDS_MAX", 3)
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 1))
        partition.deliver(batch(1, 3))
        partition.deliver(batch(3, 8))
        await settle()

    running(partition, body)
    assert positions(world) == [3, 8]


def test_batches_after_a_gap_are_not_joined() -> None:
    """Rule: apply nothing after a gap, even among waiting batches."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 2))
        partition.deliver(batch(4, 6))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1]
    assert world.sought == [2]
    assert len(world.finished) == 2


def test_a_small_transaction_waits_for_more_and_a_large_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: small transactions of a partition start at an interval, so that each holds more."""
    monkeypatch.setattr(module, "MIN_INTERVAL_S", 0.5)
    monkeypatch.setattr(module, "NO_DELAY_RECORDS", 5)
    world = World()
    partition = partition_of(world)
    after: list[list[int]] = []

    async def body() -> None:
        partition.deliver(batch(0, 1))
        await settle()
        partition.deliver(batch(1, 2))
        partition.deliver(batch(2, 3))
        await settle()
        after.append(positions(world))
        await until("the second transaction", lambda: len(positions(world)) > 1)
        after.append(positions(world))
        partition.deliver(batch(3, 8))
        await settle()

    running(partition, body)
    assert after == [[1], [1, 3]]
    assert positions(world) == [1, 3, 8]


def test_a_backlog_is_computed_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a large batch waits for its turn like every other, but is not computed in a thread."""
    monkeypatch.setattr("streams.engine.partition_runner.INLINE_RECORDS_MIN", 10)
    world = World()
    partition = partition_of(world)
    sizes: list[int] = []

    async def compute(work: Callable[..., Any], *args: Any) -> Any:
        sizes.append(len(args[0]))
        return work(*args)

    monkeypatch.setattr(partition._compute_slot, "compute", compute)

    async def body() -> None:
        partition.deliver(batch(0, 9))
        await settle()
        partition.deliver(batch(9, 19))
        await settle()

    running(partition, body)
    assert positions(world) == [9, 19]
    assert sizes == [9]


class _Deferring(World):
    """Every batch defers one output."""

    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.slot = asyncio.Semaphore(1)

    async def commit(self, *written: Any) -> int:
        outputs, late = written[0], written[3] if len(written) > 3 else None
        values = [output.value for output in outputs]
        if late is not None:
            values += [batch.data for batch in await late.batches]
        self.values = [*self.__dict__.get("values", []), values]
        return await super().commit(*written)

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        effects = super().process(records, now_ms)
        effects.deferred = self
        return effects

    def reprocess(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """As `process`, and nothing is deferred."""
        effects = super().process(records, now_ms)
        effects.outputs.append(Output("scores", 0, b"k", b"ourselves"))
        return effects

    topic, partition, count = "scores", 0, 1

    async def batches(self) -> list[EncodedBatch]:
        """Succeeds every second time."""
        self.asked += 1
        if self.asked % 2 == 0:
            raise DeferredOutputsLost("gone")
        return [EncodedBatch("scores", 0, 1, b"answered")]


def test_deferred_outputs_are_in_the_transaction_or_the_batch_is_computed_again() -> None:
    """Rule: a commit waits for the deferred outputs; if they are lost, the whole batch is computed again."""
    world = _Deferring()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 3))
        await settle()
        partition.deliver(batch(3, 5))
        await settle()

    running(partition, body)
    assert world.values == [[b"answered"], [b"ourselves"]]
    assert positions(world) == [3, 5]


def test_no_transaction_begins_without_a_slot_for_its_deferred_outputs() -> None:
    """Rule: while others wait for the process that explains, a batch waits outside of a transaction, which is timed."""
    world = _Deferring()
    partition = partition_of(world)
    seen: list[list[int]] = []

    async def body() -> None:
        async with world.slot:
            partition.deliver(batch(0, 3))
            await settle()
            seen.append(positions(world))
        await settle()
        seen.append(positions(world))

    running(partition, body)
    assert seen == [[], [3]]
