"""Broker outages during processing: workers wait, resume, and lose or duplicate nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.harness import Run, scenario


def test_suspended_broker_loses_and_duplicates_nothing(new_run: Callable[..., Run], broker: EmbeddedBroker) -> None:
    """Rule: during a SIGSTOP of the broker, transactions take longer, then complete or are recovered."""

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


def test_restarted_broker_loses_and_duplicates_nothing(new_run: Callable[..., Run], broker: EmbeddedBroker) -> None:
    """Rule: after kill -9 of the broker, the worker reconnects, recovers and continues by itself."""

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
