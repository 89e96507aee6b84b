"""All of the demo together: broker, topics, processes, feed and screen; from its start to its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop
from aiokafka.errors import KafkaError

from models.definition.churn_definition import ChurnDefinition
from models.profile.mergeable import DAY_MS
from streams.cli.console import DEFAULT_PORT
from streams.cli.publish import Publisher
from streams.demo.alert_counts import AlertCounts
from streams.demo.definition_text import days_text, definition_text
from streams.demo.feed import DemoFeed
from streams.demo.processes import ChildDied, ChildProcess
from streams.demo.screen import Screen
from streams.demo.source import Source
from streams.demo.watch import Watch
from streams.demo.workspace import Workspace
from streams.errors import ChurnSignalsError
from streams.topics import create_topics

log = logging.getLogger(__name__)

_REFRESH_S = 0.5
# When the broker goes, others go with it: who was first is known after this.
_AFTERMATH_S = 0.3
_ASK = " To ask there meanwhile: CHURN_KAFKA_BOOTSTRAP_SERVERS={} churn-signals lag"
# Clients say goodbye to the broker, and do not wait for one that is gone.
_FAREWELL_S = 3.0
# Labels without a single churner: the definition may name an event that this log does not have.
_SUSPICIOUS_LABELS = 2_000


@dataclass(frozen=True)
class Options:
    """What is shown."""

    source: Source
    definition: ChurnDefinition
    config: Path
    days_per_second: float


def run_demo(place: Workspace, options: Options) -> None:
    """Run until SIGINT or SIGTERM, which is a clean end.

    1. The broker listens. 2. The topics exist. 3. Worker and trainer are started, and the feed with them. In the end,
    in the other order: the feed stops, worker and trainer commit what they have, the broker goes last.

    Raises:
        ChurnSignalsError: something could not be started, or has died; nothing of it runs any more.
    """
    with Screen() as screen, _interruptible():
        try:
            if place.embedded is not None:
                screen.status("starting Kafka ...")
                place.start_broker()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_DemoRun(place, options, screen).run())
        except KeyboardInterrupt:
            pass
        except BaseException:
            place.keep_logs = True
            raise
        finally:
            if place.embedded is not None:
                screen.status("stopping Kafka ...")
                place.embedded.stop()


class _DemoRun:
    def __init__(self, place: Workspace, options: Options, screen: Screen) -> None:
        self.place = place
        self.options = options
        self.screen = screen
        self.stop = asyncio.Event()
        self.tally = AlertCounts()
        self.watch = Watch(place.settings, self.tally.add)
        self.feed = DemoFeed(options.source, options.days_per_second, lambda: self.watch.applied)
        environment = place.environment()
        config = ("--config", str(options.config.absolute()))
        self._console_port = _free_port()
        self.children = [
            ChildProcess("worker", ("worker", *config), environment, place.directory),
            ChildProcess("trainer", ("trainer",), environment, place.directory),
            ChildProcess("console", ("console", "--port", str(self._console_port)), environment, place.directory),
        ]
        self._created = False
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self) -> None:
        self._introduce()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)
        broker = self._broker_ended()
        stop, working = self._task(self.stop.wait()), self._task(self._working())
        try:
            await asyncio.wait([broker, stop, working], return_when=asyncio.FIRST_COMPLETED)
            told = stop.done()
            if not told:
                await asyncio.wait([broker], timeout=_AFTERMATH_S)
        finally:
            await self._end(abruptly=broker.done())
        if not told:
            (broker if broker.done() else working).result()

    async def _working(self) -> None:
        """Until something fails: nothing here ends by itself.

        Raises:
            ChurnSignalsError: what failed first.
        """
        settings = self.place.settings
        await create_topics(settings)
        self._created = True
        for child in self.children:
            await child.start()
        watched = [self._watched(child) for child in self.children]
        work = [self._task(one) for one in (*watched, self.watch.run(), self._feeding(), self._refreshing())]
        # no group of tasks: it would wait for a client that does not hear that it is cancelled, and say nothing
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        [failure, *_] = [task.exception() for task in work if task.done()]
        assert failure is not None
        raise _first(failure) from None

    async def _end(self, *, abruptly: bool) -> None:
        if self._created:
            self.screen.status("stopping worker, trainer and console ...")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, timeout=_FAREWELL_S)
            for task in done:
                if not task.cancelled():
                    task.exception()  # what failed besides is not asked for by anybody
        await asyncio.gather(*(child.kill() if abruptly else child.stop() for child in self.children))
        if self._created and not abruptly:
            try:
                await self.place.forget_topics()
            except Exception as failure:  # somebody's cluster: that topics stay there is to be told, and no more
                self.screen.say(f"the demo's topics could not be deleted: {failure!r}")
        self._conclude()

    def _told_to_stop(self) -> None:
        """Once: all in order. Twice: at once."""
        if not self.stop.is_set():
            self.stop.set()
            return
        for child in self.children:
            child.send_kill()

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    # What goes on -------------------------------------------------------------------------------------------------

    async def _feeding(self) -> None:
        async with Publisher(self.place.settings) as publisher:
            await self.feed.run(publisher)
        self.screen.say("Everything was sent. Worker and trainer stay until Ctrl-C.")
        await asyncio.Event().wait()

    async def _watched(self, child: ChildProcess) -> None:
        raise ChildDied(child.name, await child.ended(), child.log_file)

    async def _refreshing(self) -> None:
        warned = False
        while True:
            self.screen.refresh(self.feed, self.watch, self.tally)
            quality = self.watch.quality
            if not warned and quality and quality["labels"] >= _SUSPICIOUS_LABELS and not quality["positives"]:
                warned = True
                self.screen.say(
                    f"{quality['labels']:,} labels, and nobody churned: does {self.options.config} name what happens"
                    " in this log? See docs/definition.md."
                )
            await asyncio.sleep(_REFRESH_S)

    def _broker_ended(self) -> asyncio.Future[None]:
        """Fails when the embedded broker ends; from a thread, because only a thread can wait for it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        embedded = self.place.embedded
        if embedded is None:
            return ended

        def tell(status: int) -> None:
            if not ended.done():
                ended.set_exception(ChildDied("broker", status, embedded.log_file))

        def wait() -> None:
            status = embedded.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed: we have ended it ourselves
                loop.call_soon_threadsafe(tell, status)

        threading.Thread(target=wait, name="broker's end", daemon=True).start()
        return ended

    # What is said -------------------------------------------------------------------------------------------------

    def _introduce(self) -> None:
        options, say = self.options, self.screen.say
        say(f"Events: {options.source.what}.")
        pace_ms = round(options.days_per_second * DAY_MS)
        say(f"Churn, by {options.config}: {definition_text(options.definition)}.")
        say(
            f"History first, at full speed ({options.source.history}); then {days_text(pace_ms)} a second."
            f" Each example is learned {days_text(options.definition.release_after_ms)} after its snapshot."
        )
        address, where = self.place.settings.kafka_bootstrap_servers, self.place.settings.topic_alerts
        say(f"Look at http://127.0.0.1:{self._console_port}/ for who is at risk, why, and how good the model is.")
        say(f"Alerts go to {where} at {address}." + (_ASK.format(address) if self.place.embedded is not None else ""))

    def _conclude(self) -> None:
        if not self.watch.applied:
            return
        tally = self.tally
        self.screen.say(
            f"{self.watch.applied:,} events, {tally.opened:,} alerts; {tally.ended:,} of them ended,"
            f" {tally.churned:,} because the customer left."
        )


def _free_port() -> int:
    """The console's usual port, or any other if somebody has it."""
    for port in (DEFAULT_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
            return int(tried.getsockname()[1])
    raise ChurnSignalsError("no port is free on 127.0.0.1")


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return ChurnSignalsError(f"Kafka: {failure!r}") if isinstance(failure, KafkaError) else failure


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM is as Ctrl-C while no loop runs."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
