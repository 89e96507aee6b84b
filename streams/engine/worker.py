"""Run a worker: one Faust app, one agent, and the partitions that the group assigns to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop
from aiokafka.errors import KafkaError

from streams.engine.contract import Batch, ProcessorFactory, SideInput
from streams.engine.faust_app import BatchSchema, EngineApp
from streams.engine.ownership import Ownership
from streams.engine.takeover import PartitionNames
from streams.errors import ChurnSignalsError
from streams.health import Check
from streams.logs import get_logger, handle_orphaned_error
from streams.settings import Settings
from streams.topics import CHANGELOG, EVENTS, name_of, verify_topics

log = get_logger(__name__)

# Prevents a supervisor's SIGKILL, which usually follows after 10 s. The current batches get 5 s of it
# (`streams.engine.ownership.REVOKE_TIMEOUT_S`), closing connections the rest.
STOP_TIMEOUT_S: Final = 9.0


class Worker:
    """Owns partitions of the events topic and passes their batches to processors.

    Args:
        settings: of the process.
        factory: makes the processor of a partition, after its recovery.
        side_input: read to its end before any partition is taken over, followed while the worker runs.
        on_stop: awaited after the app has stopped, within `STOP_TIMEOUT_S`.
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
            OwnershipLost: fenced several times in a row; a restart continues from the last commit.
        """
        topics = await verify_topics(self.settings)
        self.ownership.partitions = topics[name_of(EVENTS, self.settings)].partitions
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), self.ownership.failed, self.crashed]
        try:
            if self.side_input is not None:
                await self.side_input.read_to_end()
                ends.append(asyncio.ensure_future(self.side_input.follow()))
            await self.app.start()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = [future for future in ends[1:] if future.done()]
            for future in ends:
                future.cancel()
            try:
                await asyncio.wait_for(self._stop(), STOP_TIMEOUT_S)
            except TimeoutError:
                log.warning("shutdown took more than %.0f s and was cancelled", STOP_TIMEOUT_S)
            except Exception as failure:
                if not ended:
                    raise
                log.warning("shutdown failed, after the error that is reported next: %r", failure)
        for future in ended:
            future.result()

    def checks(self) -> list[Check]:
        """Readiness: the side input is read, and every assigned partition is taken over."""
        side_input = self.side_input.checks() if self.side_input is not None else []
        return [*side_input, Check("partitions", *self.ownership.readiness())]

    async def _stop(self) -> None:
        if self.side_input is not None:
            await self.side_input.stop()
        await self.app.stop()
        if self._on_stop is not None:
            await self._on_stop()


def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` on uvloop until SIGINT or SIGTERM; returns the exit code and logs an error in one line.

    Tasks that are left in the loop are not awaited, because some tasks of Faust ignore their cancellation and would
    keep the process alive. The caller ends the process (`streams.logs.exit_now`).
    """

    async def guarded() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(handle_orphaned_error)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            await main(stop)
        except ChurnSignalsError as error:
            log.error("%s", error)
            return error.exit_code
        except KafkaError as error:
            log.error("Kafka: %r (see CHURN_KAFKA_BOOTSTRAP_SERVERS and the security settings)", error)
            return 1
        except Exception as error:
            log.exception("stopped by an error of this program: %r", error)
            return 1
        return 0

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # the consumer's thread creates its loop from it too
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(guarded())
