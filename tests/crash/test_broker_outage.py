"""The broker goes away in mid-flight: workers wait, come back, and have lost and doubled nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.harness import Run, scenario


def test_a_broker_that_stands_still_for_four_seconds(new_run: Callable[..., Run], broker: EmbeddedBroker) -> None:
    """Rule: SIGSTOP of the broker in mid-flight: transactions take long, and end or are recovered from."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(600_000, per_second=1_200))
        run.start("w0")
        await run.progress(1_000)
        assert not publishing.done(), "stopped after the work: the test proved nothing"
        broker.pause()
        await asyncio.sleep(4)
        broker.resume()
        await asyncio.sleep(1)
        run.enough()
        await publishing
        await run.verdict()
        assert run.workers["w0"].poll() is None, run.log_of("w0")

    scenario(new_run(), body)


def test_a_broker_that_is_killed_and_started_again(new_run: Callable[..., Run], broker: EmbeddedBroker) -> None:
    """Rule: kill -9 of the broker in mid-flight: the worker reconnects, recovers and goes on by itself."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(600_000, per_second=1_200))
        run.start("w0")
        await run.progress(1_000)
        assert not publishing.done(), "killed after the work: the test proved nothing"
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.start)
        await asyncio.sleep(1)
        run.enough()
        await publishing
        await run.verdict()
        assert run.workers["w0"].poll() is None, run.log_of("w0")

    scenario(new_run(), body)
