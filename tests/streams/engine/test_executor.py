"""Computations take turns in one thread, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading

from streams.engine.executor import ComputeSlot
from tests.waiting import WAIT_S, until


def test_one_computes_at_a_time_in_the_order_of_asking() -> None:
    """Rule: partitions take turns; nobody computes twice while another one waits."""
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


def test_the_event_loop_goes_on_while_somebody_computes() -> None:
    """Rule: a transaction's answers are read while the next batch is computed."""

    async def whole() -> None:
        turns, go = ComputeSlot(), threading.Event()
        async with turns:
            computing = asyncio.ensure_future(turns.compute(go.wait, WAIT_S))
            await asyncio.sleep(0.01)
            assert not computing.done()
            go.set()
            assert await computing

    asyncio.run(whole())


def test_what_was_given_up_has_ended_when_it_is_settled() -> None:
    """Rule: a store is closed when nobody reads it any more, also if the batch was given up in its middle."""
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
        await turns.settled()
        assert ended.is_set()

    asyncio.run(whole())
