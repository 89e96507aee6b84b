"""Own the partitions that the group assigns: take them over, run them, and release them when they are revoked.

Tested by tests/streams/engine/test_ownership.py and tests/broker/test_procedures.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection
from typing import Final

from aiokafka.errors import KafkaError

from streams.engine import batch_metrics as reasons
from streams.engine.contract import Batch, GroupInputs, ProcessorFactory
from streams.engine.damaged_record import with_offset
from streams.engine.input_topic import RESET_OR_ACCEPT, InputTopic
from streams.engine.partition_runner import PartitionRunner
from streams.engine.progress import Progress
from streams.engine.store import StoreDamaged
from streams.engine.store_directories import UNUSED_MS, set_aside
from streams.engine.takeover import PartitionNames, Takeover
from streams.engine.transactions import is_lasting
from streams.errors import ConfigurationError, Fenced, OwnershipLost
from streams.failpoints import FAILPOINT, failpoint
from streams.logs import get_logger
from streams.settings import Settings, variable

log = get_logger(__name__)

# Prevents a slow batch from holding up the rebalance of the whole group: it may commit for this long after a
# revocation, then it is cancelled. Fits into the group's rebalance timeout (20 s), with room for the takeover.
REVOKE_TIMEOUT_S: Final = 5.0
# The same when the worker stops, which a supervisor allows 10 s for.
STOP_BATCH_S: Final = 3.0
# Prevents a batch that ignores its cancellation from holding up a rebalance or a stop.
_CANCEL_S: Final = 1.0
# Group offsets serve lag monitoring only.
_GROUP_COMMIT_EVERY_S: Final = 1.0
# Prevents a broker that does not answer from delaying a revocation: the monitored lag is then a second old.
_LAST_COMMIT_TIMEOUT_S: Final = 1.0
# Prevents a busy loop while a takeover fails, for instance because no broker is reachable.
_RETRY_S: Final = 0.5
# After more losses in a row, without a commit in between, another process uses our transactional id: let the
# supervisor decide.
_LOSSES_MAX: Final = 5

# After these a partition is taken over again; any other error ends the worker.
_LOSSES: Final = (OwnershipLost, KafkaError, TimeoutError, StoreDamaged)


class Ownership:
    """The partitions of this worker.

    A takeover, in the order that makes it safe (a new owner fences the old one before it reads):

    1. Open the partition's transactional producer: it aborts what the former owner left open, and fences it.
    2. Recover the changelog into the local store.
    3. Create the processor from the recovered state.
    4. Start the runner and seek the input to the recovered position.
    5. Deliver batches only from then on.

    A revoked partition finishes its batch within `REVOKE_TIMEOUT_S` or is cancelled. If the next assignment brings it
    back, its state is kept: should another owner have had it in between, the first transaction is fenced, none of its
    effects become visible, and the partition is taken over again.

    Attributes:
        owned: partitions that were taken over, including those that are kept over a rebalance and do not run.
        wanted: partitions that the group assigns to this worker.
        recovering: partition -> (changelog records to go, in all).
        input: the topic whose partitions are owned.
        total: partitions that the current assignment gives to all members together; None if it is unknown.
        taking_since: partition -> start of its takeover, monotonic seconds, while it lasts.
        rebalances: assignments by the group.
        given_up: aborted batches, by reason.
        failed: done with the error that must end the worker.
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
        self.total: int | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.input = InputTopic(names.input, inputs, RESET_OR_ACCEPT)
        self._inputs = inputs
        self._takeover = Takeover(settings, names, factory, inputs, self.input, self._recovery_progress)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._losses: dict[int, int] = {}  # in a row, without a commit in between
        self._lost_at: dict[int, int] = {}  # position at the last loss
        self._progress: dict[int, Progress] = {}  # of partitions that are not owned any more
        self._group_offsets: dict[int, int] = {}  # as committed to the group
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._releasing: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is taken over and runs."""
        return self.generation >= 0 and self.wanted == set(self._running)

    def readiness(self) -> tuple[bool, str]:
        """Return `ready` and the reason. Safe to call from another thread."""
        wanted, running = self.wanted, set(self._running)
        if self.generation < 0:
            return False, "the group has not assigned any partitions yet"
        existing = self.input.partitions
        if not self.input.exists:
            return False, f"topic {self.names.input} does not exist"
        if self.total is not None and self.total < existing < sys.maxsize:
            return False, f"the group has assigned {self.total} of {existing} partitions"
        if wanted == running:
            return True, f"{len(wanted)} assigned, all taken over"
        to_go = ", ".join(
            f"{number}: {records:,} of {total:,} records to go"
            for number, (records, total) in sorted(dict(self.recovering).items())
        )
        recovering = f"; recovering {to_go}" if to_go else ""
        return False, f"{len(running)} of {len(wanted)} assigned partitions are taken over{recovering}"

    def note_total(self, partitions: int | None) -> None:
        """Note how many partitions an assignment gives to all members. Called from the consumer's thread."""
        self.total = partitions

    def status(self) -> dict[int, Progress]:
        """Return the progress of every assigned partition, by number, for health, lag and metrics."""
        return {number: self.progress_of(number) for number in sorted(self.wanted)}

    def claims(self) -> dict[int, int]:
        """Return the state that this worker has, for the assignment: kept partitions, and stores on disk."""
        prefix = f"{self.names.input}-"
        names = [path.name for path in self.settings.store_dir.glob(f"{prefix}*")]
        on_disk = {int(name[len(prefix) :]): 0 for name in names if name[len(prefix) :].isdigit()}
        return on_disk | {number: runner.changelog_offset for number, runner in dict(self.owned).items()}

    def progress_of(self, number: int) -> Progress:
        """Return the progress of a partition; the last known one if it is not owned."""
        return self.owned[number].progress if number in self.owned else self._progress.get(number, Progress())

    def deliver(self, batch: Batch) -> None:
        """Pass a batch to its partition, if that runs here."""
        runner = self.owned.get(batch.partition)
        if runner is None or batch.partition not in self._running:
            self._inputs.finished(batch)
        else:
            runner.deliver(batch)

    # Rebalances ------------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[int], generation: int) -> None:
        """Start to take over exactly these partitions. Returns at once, so that heartbeats continue."""
        self.input.check_count(max(partitions, default=-1) + 1)
        self.wanted, self.generation = set(partitions), generation
        self.rebalances += 1
        log.info(
            "generation %d: partitions %s",
            generation,
            sorted(partitions),
            generation=generation,
            topic=self.names.input,
        )
        self._tasks = [
            asyncio.create_task(self._take_over()),
            asyncio.create_task(self._keep_group_offsets()),
            asyncio.create_task(self._remove_unused_stores()),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_done)

    async def revoked(self, batch_timeout_s: float = REVOKE_TIMEOUT_S) -> bool:
        """Stop all partitions within a time; those that stop cleanly are kept for the next assignment.

        Returns:
            Whether the broker has answered all requests: every batch has stopped, and the group offsets are committed.
        """
        self.wanted, self.generation = set(), -1
        deadline_s = time.monotonic() + batch_timeout_s
        await _cancelled(self._tasks, batch_timeout_s)
        self._tasks = []
        for number in self._running:
            self.owned[number].stop()
        running = dict(self._running)
        self._running.clear()
        late: set[asyncio.Task[None]] = set()
        if running:
            _done, late = await asyncio.wait(running.values(), timeout=max(0.0, deadline_s - time.monotonic()))
            await _cancelled(late, _CANCEL_S)
        await asyncio.gather(*[self._stopped(number, task) for number, task in running.items()])
        return not late and await self._commit_last()

    async def _commit_last(self) -> bool:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_TIMEOUT_S):
                await self._commit_group_offsets()
                return True
        return False

    async def _stopped(self, number: int, task: asyncio.Task[None]) -> None:
        """Release a partition that did not stop cleanly at a revocation."""
        late = not task.done() or task.cancelled()
        error = None if late else task.exception()
        if late or error is not None:
            self.given_up[reasons.REVOKED] += 1
            log.warning(
                "partition %d: aborted its batch at revocation (%s)",
                number,
                error or "too slow",
                topic=self.names.input,
                partition=number,
                offset=self.progress_of(number).position,
            )
            await self._release(number)
        if error is not None and not isinstance(error, _LOSSES):
            self._fail(error)

    async def stop(self) -> None:
        """Revoke and release everything. If the broker does not answer, do not wait for it again."""
        answers = await self.revoked(STOP_BATCH_S)
        await asyncio.gather(*[self._release(number, clean=answers) for number in list(self.owned)])

    # Takeover --------------------------------------------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Own the assigned partitions until the next revocation; take them over again after a loss."""
        for number in sorted(self.wanted & set(self.owned)):
            self.owned[number].resume()
            await self._start(number)
        await asyncio.gather(*[self._release(number, clean=True) for number in set(self.owned) - self.wanted])
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
        """After a loss, check that the group still takes us for the owner: a zombie must not fence its successor."""
        lost = {number for number in missing if self._losses.get(number)}
        if not lost:
            return True
        worst = max(lost, key=lambda number: self._losses[number])
        if self._losses[worst] > _LOSSES_MAX:
            why = f"partition {worst} was lost {self._losses[worst]} times in a row"
            if self.settings.kafka_group_instance_id:
                why += f"; does another worker have {variable('kafka_group_instance_id')} too?"
            raise OwnershipLost(f"{why}; start again")
        return await self._inputs.commit({number: self._lost_at[number] for number in lost})

    async def _take(self, numbers: set[int]) -> None:
        started_s = time.monotonic()
        self.taking_since = dict.fromkeys(numbers, started_s)
        try:
            await with_offset(self.settings, self._takeover.run(numbers, self.owned))  # steps 1 to 3
        finally:
            self.recovering.clear()
            self.taking_since.clear()
        for number in sorted(numbers):
            await self._start(number)
        log.info(
            "took over %s in %.1f s",
            sorted(numbers),
            time.monotonic() - started_s,
            topic=self.names.input,
            partitions=sorted(numbers),
        )

    async def _start(self, number: int) -> None:
        """Step 4; batches of the partition are delivered only after the seek."""
        runner = self.owned[number]
        self._running[number] = asyncio.create_task(
            with_offset(self.settings, runner.run()), name=f"partition {number}"
        )
        self._running[number].add_done_callback(lambda task: self._run_done(number, task))
        await self._inputs.seek(number, runner.position)

    def _recovery_progress(self, partition: int, to_go: int, total: int) -> None:
        self.recovering[partition] = (to_go, total)

    # Losses ----------------------------------------------------------------------------------------------------------

    def _run_done(self, number: int, task: asyncio.Task[None]) -> None:
        if self._running.get(number) is not task:
            return  # revoked: `revoked` handles the outcome
        del self._running[number]
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not isinstance(error, _LOSSES):
            self._fail(error)
            return
        self.given_up[_reason(error)] += 1
        runner = self.owned.pop(number)  # at once: a failed runner must never be resumed
        fields = {"topic": self.names.input, "partition": number, "offset": runner.position}
        log.warning("partition %d: %s", number, error, **fields)
        if isinstance(error, StoreDamaged):
            runner.store.clear()  # a cache: the takeover rebuilds it from the changelog
        self._lost_at[number] = runner.position
        self._losses[number] = 1 if runner.progress.transactions else self._losses.get(number, 0) + 1
        releasing = asyncio.create_task(runner.release(clean=False))
        self._releasing.add(releasing)
        releasing.add_done_callback(self._released)

    def _released(self, task: asyncio.Task[None]) -> None:
        self._releasing.discard(task)
        self._changed.set()

    async def _release(self, number: int, *, clean: bool = False) -> None:
        runner = self.owned.pop(number, None)
        if runner is not None:
            self._progress[number] = runner.progress
            await runner.release(clean=clean)

    # Background tasks of an assignment -------------------------------------------------------------------------------

    async def _keep_group_offsets(self) -> None:
        while True:
            await asyncio.sleep(_GROUP_COMMIT_EVERY_S)
            with contextlib.suppress(KafkaError, TimeoutError):
                await self._commit_group_offsets()

    async def _commit_group_offsets(self) -> None:
        positions = {
            number: runner.position
            for number, runner in self.owned.items()
            if self._group_offsets.get(number) != runner.position
        }
        if positions:
            if FAILPOINT:
                failpoint("before-group-commit")
            if await self._inputs.commit(positions):
                self._group_offsets.update(positions)

    async def _remove_unused_stores(self) -> None:
        """Ten minutes into an assignment, remove the stores of partitions that are not owned any more.

        A revocation cancels this before the next takeover. It can be cancelled only while it waits, when the stores
        that it set aside block no takeover.
        """
        await asyncio.sleep(UNUSED_MS / 1000)
        used = self.wanted | set(self.owned)
        aside = set_aside(self.settings.store_dir, self.names.input, used, int(time.time() * 1000))
        for path in aside:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        if aside:
            log.info("removed %d stores of partitions that other workers own", len(aside), topic=self.names.input)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


async def _cancelled(tasks: Collection[asyncio.Task[None]], within_s: float) -> None:
    """Cancel tasks and wait for their end, for a limited time."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=within_s)


def _reason(error: BaseException) -> str:
    """The label of `transactions_aborted` for an error."""
    if isinstance(error, Fenced):
        return reasons.FENCED
    if isinstance(error, OwnershipLost):
        return reasons.UNKNOWN
    return reasons.DAMAGED if isinstance(error, StoreDamaged) else reasons.BROKER
