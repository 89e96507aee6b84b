"""Start, connect and stop the demo: broker, topics, processes, feed and screen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from aiokafka.errors import KafkaError

from models.definition.churn_definition import ChurnDefinition
from models.profile.mergeable import DAY_MS
from streams.console.address import DEFAULT_PORT, page_url
from streams.demo.alert_counts import AlertCounts
from streams.demo.definition_text import days_text, definition_text
from streams.demo.feed import DemoFeed
from streams.demo.processes import ChildExited, ChildProcess
from streams.demo.screen import Screen
from streams.demo.source import Source
from streams.demo.watch import Watch
from streams.demo.workspace import Workspace
from streams.errors import ChurnSignalsError
from streams.kafka.publisher import Publisher
from streams.runtime.process_end import SignalAction, on_signal
from streams.topics import create_topics

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_REFRESH_EVERY_S = 0.5
# Other processes fail soon after the broker. This delay shows which one failed first.
_FIRST_FAILURE_S = 0.3
_LAG_HINT = " Check its lag with: CHURN_KAFKA_BOOTSTRAP_SERVERS={} churn-signals lag"
# Prevents a supervisor's SIGKILL after 10 s: time for a stop. Of this, clients have so long to disconnect.
_STOP_S, _DISCONNECT_S = 8.0, 1.0
# The shortest time to delete the topics on a cluster.
_DELETE_MIN_S = 1.0
# After so many labels without churn, the definition may name an event that the file does not have.
_SUSPICIOUS_LABELS = 2_000


@dataclass(frozen=True)
class DemoOptions:
    """What the demo publishes, and how fast."""

    source: Source
    definition: ChurnDefinition
    config: Path
    days_per_second: float


def run_demo(workspace: Workspace, options: DemoOptions) -> None:
    """Run until SIGINT or SIGTERM, which is a clean end within 9 s.

    1. Start the broker. 2. Create the topics. 3. Start worker, trainer and console, and the feed with them. At the end,
    in reverse order: stop the feed; worker and trainer commit; stop the broker last.

    Raises:
        ChurnSignalsError: a process did not start, or has exited; all others are stopped.
    """
    action = SignalAction()
    with Screen() as screen, on_signal(action):
        try:
            if workspace.embedded is not None:
                screen.status("starting Kafka ...")
                workspace.start_broker()
            # Not an `asyncio.Runner`: it would wait for a client that ignores its cancellation.
            uvloop.new_event_loop().run_until_complete(_DemoRun(workspace, options, screen).run(action))
        except KeyboardInterrupt:
            pass
        except BaseException:
            workspace.keep_logs = True
            raise
        finally:
            action.handle = None
            if workspace.embedded is not None:
                screen.status("stopping Kafka ...")
                workspace.embedded.kill()  # its data is removed


class _DemoRun:
    def __init__(self, workspace: Workspace, options: DemoOptions, screen: Screen) -> None:
        self.workspace = workspace
        self.options = options
        self.screen = screen
        self.stop = asyncio.Event()
        self.counts = AlertCounts()
        self.watch = Watch(workspace.settings, self.counts.add)
        self.feed = DemoFeed(options.source, options.days_per_second, lambda: self.watch.applied)
        environment, directory = workspace.environment(), workspace.directory
        config = ("--config", str(options.config.absolute()))
        self._console_port = _free_port()
        self.children = [
            ChildProcess("worker", ("worker", *config), environment, directory),
            ChildProcess("trainer", ("trainer",), environment, directory),
            ChildProcess("console", ("console", "--port", str(self._console_port)), environment, directory),
        ]
        self._topics_created = False
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self, action: SignalAction) -> None:
        self._print_introduction()
        loop = asyncio.get_running_loop()
        action.handle = lambda: loop.call_soon_threadsafe(self._on_signal)
        broker = self._broker_exit()
        stop, work = self._task(self.stop.wait()), self._task(self._work())
        try:
            await asyncio.wait([broker, stop, work], return_when=asyncio.FIRST_COMPLETED)
            stopped = stop.done()
            if not stopped:
                await asyncio.wait([broker], timeout=_FIRST_FAILURE_S)
        finally:
            await self._shut_down(kill=broker.done())
        if not stopped:
            (broker if broker.done() else work).result()

    async def _work(self) -> None:
        """Run until something fails; nothing here ends by itself.

        Raises:
            ChurnSignalsError: the first failure.
        """
        await create_topics(self.workspace.settings)
        self._topics_created = True
        for child in self.children:
            await child.start()
        exits = [self._fail_on_exit(child) for child in self.children]
        tasks = [self._task(job) for job in (*exits, self.watch.run(), self._feed_events(), self._refresh())]
        # Not a TaskGroup: it would wait for a client that ignores its cancellation, and report nothing.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        [failure, *_] = [task.exception() for task in tasks if task.done()]
        assert failure is not None
        raise _first_failure(failure) from None

    async def _shut_down(self, *, kill: bool) -> None:
        deadline_s = time.monotonic() + _STOP_S
        if self._topics_created:
            self.screen.status("stopping worker, trainer and console ...")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, timeout=_DISCONNECT_S)
            for task in done:
                if not task.cancelled():
                    task.exception()  # mark later failures as retrieved; only the first is reported
        await asyncio.gather(*(child.kill() if kill else child.stop() for child in self.children))
        if self._topics_created and not kill:
            try:
                await self.workspace.delete_topics(max(_DELETE_MIN_S, deadline_s - time.monotonic()))
            except Exception as failure:  # topics that stay on a cluster are reported, and fail nothing
                self.screen.print(f"The demo's topics could not be deleted: {failure!r}")
        self._print_summary()

    def _on_signal(self) -> None:
        """Stop cleanly on the first signal, and at once on the second."""
        if not self.stop.is_set():
            self.stop.set()
            return
        for child in self.children:
            child.send_kill()

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    # Tasks ----------------------------------------------------------------------------------------------------------

    async def _feed_events(self) -> None:
        async with Publisher(self.workspace.settings) as publisher:
            await self.feed.run(publisher)
        self.screen.print("All events are published. Worker, trainer and console run until Ctrl-C.")
        await asyncio.Event().wait()

    async def _fail_on_exit(self, child: ChildProcess) -> None:
        raise ChildExited(child.name, await child.ended(), child.log_file)

    async def _refresh(self) -> None:
        warned = False
        while True:
            self.screen.refresh(self.feed, self.watch, self.counts)
            quality = self.watch.quality
            if not warned and quality and quality["labels"] >= _SUSPICIOUS_LABELS and not quality["positives"]:
                warned = True
                self.screen.print(
                    f"{quality['labels']:,} labels and no churn: check that {self.options.config} names events that"
                    " occur in this file (docs/definition.md)."
                )
            await asyncio.sleep(_REFRESH_EVERY_S)

    def _broker_exit(self) -> asyncio.Future[None]:
        """A future that fails when the embedded broker exits. Waiting for the process blocks, so a thread does it."""
        loop = asyncio.get_running_loop()
        exited: asyncio.Future[None] = loop.create_future()
        embedded = self.workspace.embedded
        if embedded is None:
            return exited

        def fail(status: int) -> None:
            if not exited.done():
                exited.set_exception(ChildExited("broker", status, embedded.log_file))

        def wait() -> None:
            status = embedded.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed: the demo has stopped the broker
                loop.call_soon_threadsafe(fail, status)

        threading.Thread(target=wait, name="broker-exit", daemon=True).start()
        return exited

    # Text -----------------------------------------------------------------------------------------------------------

    def _print_introduction(self) -> None:
        options, settings = self.options, self.workspace.settings
        pace = days_text(round(options.days_per_second * DAY_MS))
        maturity = days_text(options.definition.release_after_ms)
        hint = _LAG_HINT.format(settings.kafka_bootstrap_servers) if self.workspace.embedded is not None else ""
        for line in (
            f"Console: {page_url(_LOOPBACK, self._console_port)}",
            f"Events: {options.source.description}.",
            f"Churn ({options.config}): {definition_text(options.definition)}.",
            f"Pace: the history ({options.source.history}) at full speed, then {pace} per second. The model learns from"
            f" a label {maturity} after its snapshot.",
            f"Alerts: topic {settings.topic_alerts} at {settings.kafka_bootstrap_servers}.{hint}",
        ):
            self.screen.print(line)

    def _print_summary(self) -> None:
        if not self.watch.applied:
            return
        counts = self.counts
        self.screen.print(
            f"{self.watch.applied:,} events, {counts.opened:,} alerts; {counts.ended:,} alerts ended,"
            f" {counts.churned:,} of them because the customer churned."
        )


def _free_port() -> int:
    """The console's default port, or any free one if it is taken."""
    for port in (DEFAULT_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_LOOPBACK, port))
            return int(probe.getsockname()[1])
    raise ChurnSignalsError(f"no port is free on {_LOOPBACK}")


def _first_failure(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return ChurnSignalsError(f"Kafka: {failure!r}") if isinstance(failure, KafkaError) else failure
