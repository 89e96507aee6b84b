"""The owner of a partition, with an input, a producer and a store that are plain Python."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.engine import partition_runner as module
from streams.engine.contract import Batch, BatchEffects, Output
from streams.engine.executor import ComputeSlot
from streams.engine.partition_runner import PartitionRunner
from streams.engine.position import POSITION_KEY, decode
from streams.engine.record_batch import EncodedBatch
from streams.engine.transactions import DeferredBatches
from streams.errors import ChurnSignalsError, OwnershipLost
from streams.scoring.explain_process import ExplainerLost
from tests.waiting import until


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for more to come, but where a test says so."""
    monkeypatch.setattr(module, "PACE_S", 0.0)


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
    """Everything around a partition, and what it was told."""

    applied: list[int] = field(default_factory=list)
    sought: list[int] = field(default_factory=list)
    finished: list[Batch] = field(default_factory=list)
    committed: list[dict[bytes, bytes | None]] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    clocks: list[int | None] = field(default_factory=list)
    told: int = 0
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
    def process(self, records: Sequence[Event], now_ms: int | None) -> BatchEffects:
        self.clocks.append(now_ms)
        taken = records if self.take is None else records[: self.take]
        self.applied += [record.offset for record in taken]
        if not records:
            self.due_ms = None
        return BatchEffects(changes={b"ck": b"v"} if records else {}, consumed=len(taken))

    def next_due_ms(self) -> int | None:
        return self.due_ms


class _AtOnce(ComputeSlot):
    """Computes on the event loop, so that what happens when does not depend on a thread."""

    async def compute(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def settled(self) -> None:
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

    class Processor:
        process = staticmethod(world.process)
        next_due_ms = staticmethod(world.next_due_ms)

        @property
        def newest_event_ms(self) -> int | None:
            return world.newest_event_ms

        def committed(self) -> None:
            assert len(world.stored) == len(world.committed), "told before the store was written"
            world.told += 1

    return PartitionRunner(
        0,
        changelog="changelog",
        clock=clock,
        producer=world,  # type: ignore[arg-type]
        store=Store(),  # type: ignore[arg-type]
        recovered=None,
        first_offset=0,
        factory=lambda number, store, state: Processor(),
        inputs=Inputs(),
        turns=_AtOnce(),
    )


def running(partition: PartitionRunner, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        task = asyncio.create_task(partition.run())
        await body()
        partition.stop()
        await task

    asyncio.run(whole())


def positions(world: World) -> list[int]:
    """The position of each transaction."""
    return [decode(changes[POSITION_KEY] or b"").next_offset for changes in world.committed]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_batches_that_continue_each_other_are_applied_in_order() -> None:
    """Rule: commit, then store, then the processor is told, then the next batch; the position covers markers."""
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
    assert world.told == 2
    assert positions(world) == [5, 7]
    assert [list(changes)[-1] for changes in world.committed] == [POSITION_KEY, POSITION_KEY]
    assert len(world.finished) == 2


def test_a_batch_ahead_of_the_position_is_sought_back_and_not_applied() -> None:
    """Rule: apply nothing past a hole."""
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
    """Rule: a fetch from before a seek may be answered after it; it changes nothing."""
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


def test_a_batch_that_overlaps_the_position_is_sought_back() -> None:
    """Rule: a batch counts as a whole or not at all."""
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 5))
        partition.deliver(batch(3, 8))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 3, 4]
    assert world.sought == [5]


def test_markers_alone_move_the_position_without_a_transaction() -> None:
    """Rule: nothing happened, so nothing is written; after a restart the markers are read again."""
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
    """Rule: what is not known to be committed is nowhere but in the transaction."""
    world = World(fail=OwnershipLost("unknown"))
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 3))
        await settle()

    with pytest.raises(OwnershipLost):
        running(partition, body)
    assert partition.position == 0
    assert (world.stored, world.told) == ([], 0)


def test_a_part_of_a_batch_is_committed_at_its_own_position() -> None:
    """Rule: `consumed` bounds a transaction; the rest follows in the next one."""
    world = World(take=2)
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 5, next_=6))
        await settle()

    running(partition, body)
    assert world.applied == [0, 1, 2, 3, 4]
    assert positions(world) == [2, 4, 6]


def test_a_batch_that_was_stopped_in_its_middle_goes_on_behind_what_is_committed() -> None:
    """Rule: revoked between two transactions of a batch and kept over the rebalance, nothing is applied twice."""
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


def test_a_processor_that_takes_nothing_and_changes_nothing_stops_the_worker() -> None:
    """Rule: no endless loop over the same record."""

    class Stuck(World):
        def process(self, records: Sequence[Event], now_ms: int | None) -> BatchEffects:
            return BatchEffects(consumed=0)

    partition = partition_of(Stuck())

    async def body() -> None:
        partition.deliver(batch(0, 5))
        await settle()

    with pytest.raises(ChurnSignalsError, match="neither consumes nor changes"):
        running(partition, body)


def test_wall_time_is_given_only_to_a_live_input_read_to_its_end() -> None:
    """Rule: in a replay, and while there is a backlog, deadlines wait for the log's own time."""
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


def test_a_deadline_of_a_live_input_calls_without_records() -> None:
    """Rule: silence is looked at when it is due; a call that changes nothing writes nothing."""
    world = World(due_ms=int(time.time() * 1000))
    partition = partition_of(world, clock="wall")

    async def body() -> None:
        partition.deliver(Batch("events", 0, 0, 0, 0, []))
        await settle()

    running(partition, body)
    assert len(world.clocks) == 1
    assert world.committed == []


def test_batches_that_wait_go_into_one_transaction() -> None:
    """Rule: what came while others computed is applied at once, markers included, and each batch gives its credit
    back."""
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
    """Rule: what waits is joined up to a number of records; one batch above it is still a transaction."""
    monkeypatch.setattr(module, "JOIN_RECORDS", 3)
    world = World()
    partition = partition_of(world)

    async def body() -> None:
        partition.deliver(batch(0, 1))
        partition.deliver(batch(1, 3))
        partition.deliver(batch(3, 8))
        await settle()

    running(partition, body)
    assert positions(world) == [3, 8]


def test_what_waits_behind_a_hole_is_not_joined() -> None:
    """Rule: apply nothing past a hole, also among the batches that wait."""
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
    """Rule: transactions of a partition that hold little begin at a distance, so that they hold more."""
    monkeypatch.setattr(module, "PACE_S", 0.5)
    monkeypatch.setattr(module, "WORTH_RECORDS", 5)
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
    """Rule: a large batch takes its turn as every other, but no thread."""
    monkeypatch.setattr("streams.engine.partition_runner.INLINE_RECORDS", 10)
    world = World()
    partition = partition_of(world)
    sizes: list[int] = []

    async def compute(work: Callable[..., Any], *args: Any) -> Any:
        sizes.append(len(args[0]))
        return work(*args)

    monkeypatch.setattr(partition._turns, "compute", compute)

    async def body() -> None:
        partition.deliver(batch(0, 9))
        await settle()
        partition.deliver(batch(9, 19))
        await settle()

    running(partition, body)
    assert positions(world) == [9, 19]
    assert sizes == [9]


class _Deferring(World):
    """Every batch leaves one output to another process."""

    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.places = asyncio.Semaphore(1)

    async def commit(self, *written: Any) -> int:
        outputs, late = written[0], written[3] if len(written) > 3 else None
        said = [output.value for output in outputs]
        if late is not None:
            said += [batch.data for batch in await late.batches]
        self.said = [*self.__dict__.get("said", []), said]
        return await super().commit(*written)

    def process(self, records: Sequence[Event], now_ms: int | None) -> BatchEffects:
        effects = super().process(records, now_ms)
        effects.deferred = self
        return effects

    def again(self, records: Sequence[Event], now_ms: int | None) -> BatchEffects:
        """As `process`, and nothing is left to others."""
        effects = super().process(records, now_ms)
        effects.outputs.append(Output("scores", 0, b"k", b"ourselves"))
        return effects

    questions, to, count = (b"what?",), ("scores", 0), 1

    def batches(self, answers: Sequence[bytes]) -> list[EncodedBatch]:
        """One of each answer."""
        return [EncodedBatch("scores", 0, 1, answer) for answer in answers]

    async def ask(self, questions: Sequence[bytes]) -> list[bytes]:
        """As an `Explainer`, which answers every second time."""
        self.asked += 1
        if self.asked % 2 == 0:
            raise ExplainerLost("gone")
        return [b"answered"]


def test_what_another_process_explains_is_in_the_transaction_whoever_explains_it() -> None:
    """Rule: nothing is committed before it is explained; if nobody answers, the batch is computed anew, in whole."""
    world = _Deferring()
    partition = partition_of(world)
    partition._explainer = world  # type: ignore[assignment]
    partition._again = world.again  # type: ignore[assignment]

    async def body() -> None:
        partition.deliver(batch(0, 3))
        await settle()
        partition.deliver(batch(3, 5))
        await settle()

    running(partition, body)
    assert world.said == [[b"answered"], [b"ourselves"]]
    assert positions(world) == [3, 5]


def test_no_transaction_is_begun_that_would_wait_long_for_an_explanation() -> None:
    """Rule: while others wait for the process that explains, a batch waits outside of a transaction, which is timed."""
    world = _Deferring()
    partition = partition_of(world)
    partition._explainer = world  # type: ignore[assignment]
    partition._again = world.again  # type: ignore[assignment]
    seen: list[list[int]] = []

    async def body() -> None:
        async with world.places:
            partition.deliver(batch(0, 3))
            await settle()
            seen.append(positions(world))
        await settle()
        seen.append(positions(world))

    running(partition, body)
    assert seen == [[], [3]]
