"""Background tasks: no end of a task is silent, and none is final."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest

from streams.health import Check
from streams.runtime import background_tasks
from streams.runtime.background_tasks import BackgroundTask, BackgroundTasks
from tests.waiting import until


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "RETRY_S", 0.01)


def outcome(checks: Iterator[Check]) -> tuple[bool, str]:
    [check] = checks
    return check.ok, check.why


def failing_once(*ends: BaseException | None) -> Callable[[BackgroundTask], Awaitable[None]]:
    """Work that ends in these ways, one after the other, and then makes progress."""
    left = list(ends)

    async def work(task: BackgroundTask) -> None:
        if left:
            end = left.pop(0)
            if end is not None:
                raise end
            return
        task.succeeded()
        await asyncio.sleep(3600)

    return work


def test_unexpected_failure_is_visible_until_the_retry_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: log line, problem, check of /healthz and counter; after the retry all is well again."""
    changes: list[str] = []

    async def body() -> None:
        task = BackgroundTask("reader", failing_once(ValueError("a customer")), on_change=lambda: seen(tasks))
        tasks = BackgroundTasks(task)
        assert outcome(tasks.readiness()) == (False, "starting")
        tasks.start()
        await until("progress", lambda: task.progressed)
        assert (task.failures, task.problem, task.failed) == (1, "", False)
        assert outcome(tasks.liveness()) == outcome(tasks.readiness()) == (True, "running")
        assert await tasks.stop()

    def seen(tasks: BackgroundTasks) -> None:
        [task] = tasks.tasks
        changes.append(task.problem)
        if task.problem:
            assert not outcome(tasks.liveness())[0]
            assert not outcome(tasks.readiness())[0]

    with caplog.at_level(logging.INFO):
        asyncio.run(body())
    assert len(changes) == 2
    assert changes[0].startswith("reader failed and is retried: ValueError")
    assert changes[1] == ""
    assert "reader failed and will be retried" in caplog.text
    assert "a customer" not in caplog.text
    assert "reader: works again" in caplog.text


def test_expected_failure_makes_the_process_unready_but_not_unhealthy() -> None:
    """Rule: a restart does not bring back a broker that is away."""

    async def body() -> None:
        task = BackgroundTask("reader", failing_once(*[OSError()] * 1_000), lambda _: "Kafka is away.")
        tasks = BackgroundTasks(task)
        tasks.start()
        await until("the problem", lambda: task.problem)
        assert outcome(tasks.liveness()) == (True, "running")
        assert outcome(tasks.readiness()) == (False, "Kafka is away.")
        assert (tasks.problems, task.failures) == (["Kafka is away."], 0)
        await tasks.stop()

    asyncio.run(body())


@pytest.mark.parametrize("end", [None, asyncio.CancelledError(), RecursionError(), MemoryError()], ids=repr)
def test_work_that_ends_is_started_again(end: BaseException | None) -> None:
    """Rule: a return and a cancellation by a library are no ends either. Libraries cancel their own tasks."""

    async def body() -> None:
        task = BackgroundTask("reader", failing_once(end))
        tasks = BackgroundTasks(task)
        tasks.start()
        await until("progress", lambda: task.progressed)
        assert task.failures == (end is not None)
        assert await tasks.stop()
        assert outcome(tasks.liveness()) == (False, "has ended; restart the process")

    asyncio.run(body())


def test_task_that_ignores_its_cancellation_does_not_delay_the_stop() -> None:
    async def work(_task: BackgroundTask) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async def body() -> None:
        tasks = BackgroundTasks(BackgroundTask("reader", work))
        tasks.start()
        await asyncio.sleep(0)
        assert not await tasks.stop(0.05)
        released.set()

    released = asyncio.Event()
    asyncio.run(body())


def test_retries_of_a_lasting_failure_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a bug costs one attempt in half a minute, not one a second."""
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    async def body() -> None:
        tasks = BackgroundTasks(BackgroundTask("reader", failing_once(*[KeyError()] * 100)))
        tasks.start()
        while len(waits) < 15:
            await real(0)
        await tasks.stop()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(body())
    assert waits[:2] == [0.02, 0.04]
    assert max(waits) == background_tasks.LONGEST_RETRY_S
