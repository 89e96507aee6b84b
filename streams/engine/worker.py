"""Run a worker: one Faust app, one agent, and the partitions that the group assigns to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from streams.engine.contract import Batch, ProcessorFactory, SideInput
from streams.engine.faust_app import BatchSchema, EngineApp
from streams.engine.ownership import Ownership
from streams.engine.takeover import PartitionNames
from streams.health import Check
from streams.logs import get_logger
from streams.runtime.process_end import StopCutShort, unfinished_tasks, unless_stopped
from streams.settings import Settings
from streams.topics import CHANGELOG, EVENTS, name_of, verify_topics

log = get_logger(__name__)

# Part of the time that a process has to end (`streams.runtime.process_end`). The current batches get 3 s of it
# (`streams.engine.ownership.STOP_BATCH_S`), closing connections the rest.
STOP_TIMEOUT_S: Final = 7.0
# Prevents a process that is still starting from delaying the end of this one.
_ON_STOP_S: Final = 1.0


class Worker:
    """Owns partitions of the events topic and passes their batches to processors.

    Args:
        settings: of the process.
        factory: makes the processor of a partition, after its recovery.
        side_input: read to its end before any partition is taken over, followed while the worker runs.
        on_stop: awaited for a second after the app has stopped.
    """

    def __init__(
        self,
        settings: Settings,
        factory: ProcessorFactory,
        side_input: SideInput | None = None,
        on_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        self.side_input = side_input
        self._on_stop = on_stop
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.app = EngineApp(settings, on_crash=self._crash)
        events = self.app.topic(name_of(EVENTS, settings), schema=BatchSchema())
        names = PartitionNames("worker", name_of(EVENTS, settings), name_of(CHANGELOG, settings))
        self.ownership = self.app.ownership = Ownership(settings, names, factory, self.app.consumer)

        @self.app.agent(events)
        async def apply_events(fetches: object) -> None:
            """Pass every batch to its partition, which applies it (`PartitionRunner.run`)."""
            async for batches in fetches:  # type: ignore[attr-defined]
                for batch in batches:
                    self._deliver(batch)

    def _deliver(self, batch: Batch) -> None:
        batch.delivered = True
        self.ownership.deliver(batch)

    def _crash(self, reason: BaseException) -> None:
        if not self.crashed.done():
            self.crashed.set_exception(reason)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises:
            ConfigurationError: topics differ from their declarations; nothing was started.
            InputReplaced: the events topic was deleted and created again.
            OwnershipLost: fenced several times in a row; a restart continues from the last commit.
        """
        topics = await unless_stopped(stop, verify_topics(self.settings))
        self.ownership.input.partitions = topics[name_of(EVENTS, self.settings)].partitions
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), self.ownership.failed, self.crashed]
        try:
            if self.side_input is not None:
                await unless_stopped(stop, self.side_input.read_to_end())
                ends.append(asyncio.ensure_future(self.side_input.follow()))
            starting = asyncio.ensure_future(self.app.start())
            await asyncio.wait([*ends, starting], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                ends.append(asyncio.ensure_future(self.ownership.input.watch()))
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            starting.cancel()
        finally:
            ended = [future for future in ends[1:] if future.done()]
            for future in ends:
                future.cancel()
            in_time = await self._stop_in_time()
        for future in ended:
            future.result()
        if not in_time:
            raise StopCutShort("the worker did not stop in time; the next start continues from the last commit")

    async def _stop_in_time(self) -> bool:
        """Stop, or abandon what does not stop within `STOP_TIMEOUT_S`. Faust may ignore a cancellation."""
        stopping = asyncio.ensure_future(self._stop())
        await asyncio.wait({stopping}, timeout=STOP_TIMEOUT_S)
        if stopping.done():
            return True
        log.warning("not stopped within %.0f s: %s", STOP_TIMEOUT_S, unfinished_tasks())
        stopping.cancel()
        return False

    def checks(self) -> list[Check]:
        """Readiness: the side input is read, and every assigned partition is taken over."""
        side_input = self.side_input.checks() if self.side_input is not None else []
        late = sum(progress.tally.counts["events_late",] for progress in self.ownership.status().values())
        history = f"{late:,} events were too far behind the clock to learn a label from them"
        return [
            *side_input,
            Check("partitions", *self.ownership.readiness()),
            *([Check("event times", True, history)] if late else []),
        ]

    async def _stop(self) -> None:
        closing = [self.app.stop()] if self.side_input is None else [self.side_input.stop(), self.app.stop()]
        failures = await asyncio.gather(*closing, return_exceptions=True)
        if self._on_stop is not None:
            # Not awaited any longer: what it stops ends with this process.
            await asyncio.wait({asyncio.ensure_future(self._on_stop())}, timeout=_ON_STOP_S)
        for failure in failures:
            if failure is not None:
                log.warning("not everything was closed cleanly: %r", failure)
