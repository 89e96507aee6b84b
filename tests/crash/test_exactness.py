"""Counts and outputs equal those of an oracle, whatever faults hit the workers during processing."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable

from tests.crash.harness import Run, scenario

# One batch is some 50 events at this rate: kills fall between, into and after transactions.
RATE = 1_500.0
# More than are sent before all harm is done, also on a machine where each start takes ten times as long.
EVENTS = 600_000


def test_kill_9_of_the_only_worker_loses_and_duplicates_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: effects and position become visible together, so a restart continues exactly, after each of four kills."""

    async def body(run: Run) -> None:
        rng = random.Random(7)
        publishing = asyncio.create_task(run.publish(EVENTS, per_second=RATE))
        run.start("w0", CHURN_KAFKA_GROUP_INSTANCE_ID="w0")
        await run.progress(200)
        for life in range(1, 5):
            await asyncio.sleep(rng.uniform(0.3, 1.2))
            assert not publishing.done(), "killed after the work: the test proved nothing"
            run.kill(f"w{life - 1}")
            # With static membership, the restarted worker is the same member and needs no session timeout.
            run.start(f"w{life}", CHURN_KAFKA_GROUP_INSTANCE_ID="w0")
            await run.took_over(f"w{life}")
        run.enough()
        await publishing
        await run.verdict()
        assert run.stop("w4") == 0

    scenario(new_run(), body)


def test_kill_9_of_one_of_two_workers_loses_and_duplicates_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: the survivor fences the dead worker, recovers its partitions and continues from their positions."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(EVENTS, per_second=RATE))
        run.start("w0")
        run.start("w1")
        for name in run.workers:  # the group's first rebalances are over
            await run.took_over(name)
        await run.progress(3_000)
        earlier = run.takeovers("w0")
        run.kill("w1")
        await run.takes_over_again("w0", earlier)  # while events come
        assert not publishing.done(), "killed after the work: the test proved nothing"
        await asyncio.sleep(1)
        run.enough()
        await publishing
        await run.verdict()

    scenario(new_run(), body)


def test_worker_suspended_beyond_its_session_writes_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: a zombie (SIGSTOP for longer than its session) is fenced, and its in-flight records are never visible."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(EVENTS, per_second=RATE))
        run.start("w0")
        run.start("w1")
        for name in run.workers:  # the group's first rebalances are over
            await run.took_over(name)
        await run.progress(3_000)
        earlier = {name: run.takeovers(name) for name in run.workers}
        run.workers["w1"].send_signal(signal.SIGSTOP)
        await run.takes_over_again("w0", earlier["w0"])
        assert not publishing.done(), "stopped after the work: the test proved nothing"
        await asyncio.sleep(1)
        run.workers["w1"].send_signal(signal.SIGCONT)
        await run.takes_over_again("w1", earlier["w1"])
        run.enough()
        await publishing
        await run.verdict()
        assert run.workers["w1"].poll() in (None, 75)
        assert "never retrieved" not in run.log_of("w1")  # of a late offset commit

    scenario(new_run(), body)


def test_joining_and_leaving_workers_lose_and_duplicate_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: rebalances (three joins, two clean leaves, one kill) neither skip nor repeat an event."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(EVENTS, per_second=RATE))
        run.start("w0")
        await run.progress(500)
        for visit in range(3):
            name = f"visitor{visit}"
            run.start(name)
            await run.took_over(name)
            await asyncio.sleep(1)
            assert not publishing.done(), "left after the work: the test proved nothing"
            if visit < 2:
                assert run.stop(name) == 0
            else:
                run.kill(name)
        run.enough()
        await publishing
        await run.verdict()
        assert run.stop("w0") == 0

    scenario(new_run(), body)
