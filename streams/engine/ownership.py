"""Which partitions this worker owns: takes them over when the group assigns them, lets go when it revokes them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from streams.engine import batch_metrics as tally
from streams.engine.contract import Batch, ProcessorFactory
from streams.engine.executor import ComputeSlot
from streams.engine.partition_runner import Inputs, PartitionRunner, Progress
from streams.engine.recovery import recover
from streams.engine.store import PartitionStore, StoreDamaged
from streams.engine.store_directories import UNHELD_MS, open_stores, set_aside
from streams.engine.transactions import FencedProducer, is_lasting
from streams.errors import ConfigurationError, Fenced, InputLost, OwnershipLost, TopicMismatch
from streams.failpoints import FAILPOINT, failpoint
from streams.logs import get_logger
from streams.settings import Settings, variable

log = get_logger(__name__)

# A batch under way at revocation may commit for this long, then it is given up: it must fit into the group's
# rebalance timeout (20 s) with room for the takeover of the others.
REVOKE_TIMEOUT_S = 5.0
# The group's own offsets serve lag monitoring only, so once a second is enough.
_GROUP_COMMIT_EVERY_S = 1.0
_LAST_COMMIT_TIMEOUT_S = 1.0
_RETRY_S = 0.5
# Fenced this often without a commit in between: somebody else works with our id. Let a supervisor decide.
_MOST_LOSSES = 5
# Connections are opened for this many partitions at a time.
_PARALLEL_OPENS = 8

# What a partition is taken over again after; anything else ends the worker.
_LOSSES = (OwnershipLost, KafkaError, TimeoutError, StoreDamaged)


class GroupInputs(Inputs, Protocol):
    """The group's consumer, as ownership needs it."""

    async def bounds(self, partitions: set[int]) -> dict[int, tuple[int, int]]:
        """The first offset that the broker still has, and the one behind the last."""

    async def commit(self, positions: Mapping[int, int]) -> bool:
        """Tell the group; False if it no longer takes us for the owner."""


@dataclass(frozen=True)
class PartitionNames:
    """Topics and role that a group of owners works with."""

    role: str
    input: str
    changelog: str

    def transactional_id(self, settings: Settings, partition: int) -> str:
        """What fences a partition: the same for every process that may own it."""
        return f"{settings.kafka_group_id}/{self.role}/{self.input}/{partition}"


class Ownership:
    """Takeover, in the order that makes it safe (a new owner fences the old one before it reads):

    1. Open the partition's transactional producer: aborts what the former owner left open, and locks it out.
    2. Recover the changelog into the local store.
    3. Create the processor from the recovered state.
    4. Seek the input to the recovered position.
    5. Only then let batches in.

    Attributes:
        owned: partitions taken over (also those that are kept over a rebalance and do not run).
        wanted: partitions that the group assigns us.
        recovering: partition -> (changelog records to go, in all).
        partitions: how many the input had at the start; another number moves customers away from their profiles.
        taking_since: partition -> when its takeover began, monotonic seconds, as long as it lasts.
        rebalances: assignments by the group.
        given_up: batches that were, by why.
        failed: done with the error that must end the worker.

    A partition that is revoked finishes its batch within five seconds or gives it up. If it comes back in the next
    assignment its state is kept: should another owner have had it in between, the first transaction is fenced,
    nothing of it is seen, and the partition is taken over anew.
    """

    def __init__(
        self, settings: Settings, names: PartitionNames, factory: ProcessorFactory, inputs: GroupInputs
    ) -> None:
        self.settings = settings
        self.names = names
        self.owned: dict[int, PartitionRunner] = {}
        self.wanted: set[int] = set()
        self.recovering: dict[int, tuple[int, int]] = {}
        self.taking_since: dict[int, float] = {}
        self.rebalances = 0
        self.given_up: Counter[str] = Counter()
        self.generation = -1
        self.partitions = sys.maxsize
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._factory = factory
        self._inputs = inputs
        self._turns = ComputeSlot()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._losses: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._progress: dict[int, Progress] = {}
        self._told: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._dropping: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Every assigned partition is taken over and runs."""
        return self.generation >= 0 and self.wanted == set(self._running)

    def readiness(self) -> tuple[bool, str]:
        """`ready`, and why; may be asked from another thread."""
        wanted, running = self.wanted, set(self._running)
        if self.generation < 0:
            return False, "the group has not assigned any partitions yet"
        if wanted == running:
            return True, f"{len(wanted)} assigned, all taken over"
        to_go = ", ".join(
            f"{number}: {records:,} of {total:,} records to go"
            for number, (records, total) in sorted(dict(self.recovering).items())
        )
        recovering = f"; recovering {to_go}" if to_go else ""
        return False, f"{len(running)} of {len(wanted)} assigned partitions are taken over{recovering}"

    def status(self) -> dict[int, Progress]:
        """Figures of every partition that the group assigns us, by number; for health, lag and metrics."""
        return {number: self.progress_of(number) for number in sorted(self.wanted)}

    def claims(self) -> dict[int, int]:
        """What state we have, for the group's assignment: partitions kept over a rebalance, and stores on disk."""
        prefix = f"{self.names.input}-"
        names = [path.name for path in self.settings.store_dir.glob(f"{prefix}*")]
        on_disk = {int(name[len(prefix) :]): 0 for name in names if name[len(prefix) :].isdigit()}
        return on_disk | {number: partition.changelog_offset for number, partition in dict(self.owned).items()}

    def progress_of(self, number: int) -> Progress:
        """Figures of a partition; those of the last time we had it when it is not ours."""
        return self.owned[number].progress if number in self.owned else self._progress.get(number, Progress())

    def deliver(self, batch: Batch) -> None:
        """Hand a batch to its partition, if that runs here."""
        partition = self.owned.get(batch.partition)
        if partition is None or batch.partition not in self._running:
            self._inputs.finished(batch)
        else:
            partition.deliver(batch)

    async def assigned(self, partitions: set[int], generation: int) -> None:
        """The group gave us these and no others. Returns at once; the takeover goes on beside the heartbeat."""
        if max(partitions, default=0) >= self.partitions:
            raise TopicMismatch(
                f"topic {self.names.input} has more than the {self.partitions} partitions it had at the start:"
                " customers have moved, and their profiles have not; start a new group"
            )
        self.wanted, self.generation = set(partitions), generation
        self.rebalances += 1
        log.info(
            "generation %d: partitions %s",
            generation,
            sorted(partitions),
            generation=generation,
            topic=self.names.input,
        )
        self._tasks = [asyncio.create_task(self._take_over()), asyncio.create_task(self._tell_group())]
        self._tasks.append(asyncio.create_task(self._tidy()))
        for task in self._tasks:
            task.add_done_callback(self._task_done)

    async def revoked(self) -> None:
        """Stop everything within five seconds; what ended cleanly is kept for the next assignment."""
        self.wanted, self.generation = set(), -1
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for number in self._running:
            self.owned[number].stop()
        running = dict(self._running)
        self._running.clear()
        if running:
            _done, late = await asyncio.wait(running.values(), timeout=REVOKE_TIMEOUT_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
        for number, task in running.items():
            error = None if task.cancelled() else task.exception()
            if task.cancelled() or error is not None:
                self.given_up[tally.REVOKED] += 1
                log.warning(
                    "partition %d: gave up its batch at revocation (%s)",
                    number,
                    error or "too slow",
                    topic=self.names.input,
                    partition=number,
                    offset=self.progress_of(number).position,
                )
                await self._drop(number)
            if error is not None and not isinstance(error, _LOSSES):
                self._fail(error)
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_TIMEOUT_S):
                await self._commit_group_offsets()

    async def stop(self) -> None:
        """Revoke and give everything back."""
        await self.revoked()
        await asyncio.gather(*[self._drop(number, clean=True) for number in list(self.owned)])

    async def _take_over(self) -> None:
        """Until the next revocation: own what is wanted, again after a loss."""
        for number in sorted(self.wanted & set(self.owned)):
            self.owned[number].resume()
            await self._start(number)
        await asyncio.gather(*[self._drop(number, clean=True) for number in set(self.owned) - self.wanted])
        while True:
            self._changed.clear()
            missing = self.wanted - set(self.owned)
            if not missing:
                await self._changed.wait()
                continue
            try:
                if await self._may_take(missing):
                    await self._take(missing)
                    continue
            except (KafkaError, TimeoutError, OSError) as failure:
                if is_lasting(failure):
                    raise ConfigurationError(f"{sorted(missing)} cannot be taken over: {failure!r}") from failure
                log.warning(
                    "takeover of %s failed, trying again: %r",
                    sorted(missing),
                    failure,
                    topic=self.names.input,
                    partitions=sorted(missing),
                )
            await asyncio.sleep(_RETRY_S)

    async def _may_take(self, missing: set[int]) -> bool:
        """After a loss: only if the group still takes us for the owner. A zombie must not fence its successor."""
        lost = {number for number in missing if self._losses.get(number)}
        if not lost:
            return True
        worst = max(lost, key=lambda number: self._losses[number])
        if self._losses[worst] > _MOST_LOSSES:
            why = f"partition {worst} was lost {self._losses[worst]} times in a row"
            if self.settings.kafka_group_instance_id:
                why += f"; does another worker have {variable('kafka_group_instance_id')} too?"
            raise OwnershipLost(f"{why}; start again")
        return await self._inputs.commit({number: self._last[number] for number in lost})

    async def _take(self, numbers: set[int]) -> None:
        started = time.monotonic()
        self.taking_since = dict.fromkeys(numbers, started)
        producers: dict[int, FencedProducer] = {}
        stores: dict[int, PartitionStore] = {}
        try:
            await self._fence(numbers, producers)
            await open_stores(self.settings.store_dir, self.names.input, numbers, stores)
            positions = await recover(self.settings, self.names.changelog, stores, self._recovery_progress)
            bounds = await self._inputs.bounds(numbers)
            for number in sorted(numbers):
                first, end = bounds[number]
                recovered, lost = positions[number], 0
                if recovered is not None and not first <= recovered.next_offset <= end:
                    self._input_lost(number, recovered.next_offset, first, end)
                    lost = max(0, first - recovered.next_offset)
                    recovered = msgspec.structs.replace(recovered, next_offset=first)
                self.owned[number] = PartitionRunner(
                    number,
                    changelog=self.names.changelog,
                    clock=self.settings.clock,
                    producer=producers[number],
                    store=stores[number],
                    recovered=recovered,
                    first_offset=first,
                    factory=self._factory,
                    inputs=self._inputs,
                    turns=self._turns,
                )
                progress = self.owned[number].progress
                progress.lost_input, progress.counts = lost, stores[number].counts
                progress.takeover_s = time.monotonic() - started
        except BaseException:
            for number in numbers - set(self.owned):
                if number in stores:
                    stores[number].close()
                if number in producers:
                    await producers[number].discard()
            raise
        finally:
            self.recovering.clear()
            self.taking_since.clear()
        for number in sorted(numbers):
            await self._start(number)
        log.info(
            "took over %s in %.1f s",
            sorted(numbers),
            time.monotonic() - started,
            topic=self.names.input,
            partitions=sorted(numbers),
        )

    async def _fence(self, numbers: set[int], producers: dict[int, FencedProducer]) -> None:
        limit = asyncio.Semaphore(_PARALLEL_OPENS)

        async def open_one(number: int) -> None:
            async with limit:
                identity = self.names.transactional_id(self.settings, number)
                producers[number] = await FencedProducer.open(self.settings, identity)

        for failure in await asyncio.gather(*[open_one(number) for number in numbers], return_exceptions=True):
            if failure is not None:
                raise failure

    async def _start(self, number: int) -> None:
        partition = self.owned[number]
        self._running[number] = asyncio.create_task(partition.run(), name=f"partition {number}")
        self._running[number].add_done_callback(lambda task: self._run_done(number, task))
        await self._inputs.seek(number, partition.position)

    def _run_done(self, number: int, task: asyncio.Task[None]) -> None:
        if self._running.get(number) is not task:
            return  # revoked: whoever did that looks at the outcome
        del self._running[number]
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not isinstance(error, _LOSSES):
            self._fail(error)
            return
        self.given_up[_why(error)] += 1
        partition = self.owned.pop(number)  # at once: what failed must never be resumed
        place = {"topic": self.names.input, "partition": number, "offset": partition.position}
        log.warning("partition %d: %s", number, error, **place)
        if isinstance(error, StoreDamaged):
            partition.store.clear()  # a cache: the takeover reads it anew from the changelog
        self._last[number] = partition.position
        self._losses[number] = 1 if partition.progress.transactions else self._losses.get(number, 0) + 1
        dropping = asyncio.create_task(partition.release(clean=False))
        self._dropping.add(dropping)
        dropping.add_done_callback(self._dropped)

    def _dropped(self, task: asyncio.Task[None]) -> None:
        self._dropping.discard(task)
        self._changed.set()

    async def _drop(self, number: int, *, clean: bool = False) -> None:
        partition = self.owned.pop(number, None)
        if partition is not None:
            self._progress[number] = partition.progress
            await partition.release(clean=clean)

    def _input_lost(self, number: int, position: int, first: int, end: int) -> None:
        if position < first:
            lost = f"events {position} to {first - 1} were deleted by retention before they were applied"
            lost += f" ({first - position:,} offsets)"
        else:
            lost = f"the topic ends at {end}, events up to {position - 1} were applied: it was deleted and created anew"
        accept = variable("accept_lost_input")
        place: dict[str, str | int] = {"topic": self.names.input, "partition": number, "offset": position}
        if not self.settings.accept_lost_input:
            said = f"{self.names.input}/{number}: {lost}; to go on from offset {first} set {accept}=true"
            raise InputLost(said, **place)
        topic = self.names.input
        log.error("%s/%d: %s; going on from offset %d, as %s says", topic, number, lost, first, accept, **place)

    def _recovery_progress(self, partition: int, to_go: int, total: int) -> None:
        self.recovering[partition] = (to_go, total)

    async def _tell_group(self) -> None:
        while True:
            await asyncio.sleep(_GROUP_COMMIT_EVERY_S)
            with contextlib.suppress(KafkaError, TimeoutError):
                await self._commit_group_offsets()

    async def _tidy(self) -> None:
        """Ten minutes into an assignment: remove the stores of partitions that are not ours any more.

        A revocation cancels this before the next takeover; it can only be cancelled while it waits, when what it took
        aside is out of anybody's way.
        """
        await asyncio.sleep(UNHELD_MS / 1000)
        held = self.wanted | set(self.owned)
        aside = set_aside(self.settings.store_dir, self.names.input, held, int(time.time() * 1000))
        for path in aside:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        if aside:
            log.info("removed %d stores of partitions that are held elsewhere", len(aside), topic=self.names.input)

    async def _commit_group_offsets(self) -> None:
        positions = {
            number: partition.position
            for number, partition in self.owned.items()
            if self._told.get(number) != partition.position
        }
        if positions:
            if FAILPOINT:
                failpoint("before-group-commit")
            if await self._inputs.commit(positions):
                self._told.update(positions)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


def _why(error: BaseException) -> str:
    if isinstance(error, Fenced):
        return tally.FENCED
    if isinstance(error, OwnershipLost):
        return tally.UNKNOWN
    return tally.DAMAGED if isinstance(error, StoreDamaged) else tally.BROKER
