"""Background tasks that never die silently: a failure is logged, counted, shown in the health checks, and retried.

Tested by tests/streams/runtime/test_background_tasks.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from streams.health import Check
from streams.logs import error_location, get_logger, safe_error_text

log = get_logger(__name__)

# A broker that is away for a moment is noticed within a second of its return.
RETRY_S: Final = 1.0
# A bug or a full disk fails again at once. Half a minute bounds what the retries cost.
LONGEST_RETRY_S: Final = 30.0
# aiokafka's consumers may wait for a broker that no longer responds.
STOP_TIMEOUT_S: Final = 3.0

Work = Callable[["BackgroundTask"], Awaitable[None]]
Explain = Callable[[Exception], str | None]
"""Returns a sentence about a failure that is expected and passes, such as a missing broker; None for all others."""


def _nothing_expected(_failure: Exception) -> str | None:
    return None


class BackgroundTask:
    """Work that must run as long as the process.

    Args:
        name: in messages, checks and metrics.
        work: runs until cancelled, and calls `succeeded` on its argument whenever it has made progress.
        explain: recognizes expected failures, which leave the process alive.
        on_change: called when `problem` changes.

    Attributes:
        problem: why it makes no progress, in a sentence; empty while it does.
        failed: the problem is unexpected: a bug, or a disk that is full.
        failures: number of unexpected failures since the start.
        progressed: it has made progress at least once.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        explain: Explain = _nothing_expected,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.problem = ""
        self.failed = self.progressed = False
        self.failures = 0
        self._work, self._explain, self._on_change = work, explain, on_change
        self._wait_s = RETRY_S

    def succeeded(self) -> None:
        """Report progress: the problem has passed."""
        self._wait_s = RETRY_S
        self.progressed = True
        if self.problem:
            log.info("%s: works again", self.name)
            self._set("", failed=False)

    async def run(self) -> None:
        """Run the work until cancelled. An end of the work, for whatever reason, starts it again."""
        while True:
            try:
                await self._work(self)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # A library cancelled one of its own tasks while the work waited for it.
                self._fail("it was cancelled by a library", "CancelledError")
            except Exception as failure:
                sentence = self._explain(failure)
                if sentence is None:
                    self._fail(safe_error_text(failure), error_location(failure))
                elif sentence != self.problem:
                    log.warning("%s: %s", self.name, sentence)
                    self._set(sentence, failed=False)
            await asyncio.sleep(self._wait_s)

    def _fail(self, what: str, where: str) -> None:
        self.failures += 1
        log.error("%s failed and will be retried in %.0f s: %s (%s)", self.name, self._wait_s, what, where)
        self._wait_s = min(2 * self._wait_s, LONGEST_RETRY_S)
        self._set(f"{self.name} failed and is retried: {what.rstrip('.')}.", failed=True)

    def _set(self, problem: str, *, failed: bool) -> None:
        changed = problem != self.problem
        self.problem, self.failed = problem, failed
        if changed:
            self._on_change()


class BackgroundTasks:
    """The background tasks of a process, started and stopped together."""

    def __init__(self, *tasks: BackgroundTask) -> None:
        self.tasks = tasks
        self._running: dict[asyncio.Task[None], BackgroundTask] = {}

    def start(self) -> None:
        """Start all tasks in the running loop."""
        self._running = {asyncio.create_task(task.run(), name=task.name): task for task in self.tasks}

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Cancel all tasks and wait for their end, but not longer than the timeout. Returns whether all have ended."""
        for running in self._running:
            running.cancel()
        if not self._running:
            return True
        _, pending = await asyncio.wait(self._running, timeout=timeout_s)
        for running in pending:
            log.warning("%s did not end within %.0f s", self._running[running].name, timeout_s)
        return not pending

    @property
    def problems(self) -> list[str]:
        """The problems of all tasks, unexpected ones first, each once."""
        troubled = sorted((task for task in self.tasks if task.problem), key=lambda task: not task.failed)
        return list(dict.fromkeys(task.problem for task in troubled))

    def liveness(self) -> Iterator[Check]:
        """Fails for each task that failed unexpectedly or has ended."""
        ended = {task.name for running, task in self._running.items() if running.done()}
        for task in self.tasks:
            if task.name in ended:
                yield Check(task.name, False, "has ended; restart the process")
            else:
                yield Check(task.name, not task.failed, task.problem if task.failed else "running")

    def readiness(self) -> Iterator[Check]:
        """Fails for each task that makes no progress, or none yet."""
        for task in self.tasks:
            why = task.problem or ("running" if task.progressed else "starting")
            yield Check(task.name, task.progressed and not task.problem, why)
