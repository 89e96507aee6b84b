"""Computations run one at a time in a thread, while the event loop runs."""

from __future__ import annotations

import asyncio
import threading

from streams.engine.executor import ComputeSlot
from tests.waiting import WAIT_S, until


def test_one_computation_runs_at_a_time_in_order() -> None:
    """Rule: partitions take turns; none computes twice while another one waits."""
    order: list[tuple[str, int]] = []

    async def one(turns: ComputeSlot, name: str) -> None:
        for number in range(2):
            async with turns:
                await turns.compute(order.append, (name, number))

    async def whole() -> None:
        turns = ComputeSlot()
        await asyncio.gather(one(turns, "a"), one(turns, "b"), one(turns, "c"))

    asyncio.run(whole())
    assert order == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1)]


def test_the_event_loop_runs_during_a_computation() -> None:
    """Rule: responses to a transaction are read while the next batch is computed."""

    async def whole() -> None:
        turns, go = ComputeSlot(), threading.Event()
        async with turns:
            computing = asyncio.ensure_future(turns.compute(go.wait, WAIT_S))
            await asyncio.sleep(0.01)
            assert not computing.done()
            go.set()
            assert await computing

    asyncio.run(whole())


def test_drained_waits_for_cancelled_computations() -> None:
    """Rule: a store is closed only when no computation reads it, even if the batch was cancelled midway."""
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(WAIT_S)
        ended.set()

    async def whole() -> None:
        turns = ComputeSlot()
        async with turns:
            computing = asyncio.ensure_future(turns.compute(work))
            await until("the computation", begun.is_set)
            computing.cancel()
        assert not ended.is_set()
        asyncio.get_running_loop().call_later(0.05, go.set)
        await turns.drained()
        assert ended.is_set()

    asyncio.run(whole())
