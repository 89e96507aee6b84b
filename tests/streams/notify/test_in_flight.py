"""A partition's window: the order of a customer, the position up to which all is done, and a clean end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from streams.notify.in_flight import RECORDS_MAX, InFlightRecords
from streams.notify.routes import RetryPolicy
from tests import virtual_clock
from tests.streams.notify.receiver import QUICK, Receiver, delivering, records
from tests.waiting import WAIT_S, until


def record(offset: int, key: str) -> Any:
    return SimpleNamespace(offset=offset, key=key.encode())


def test_a_customer_s_records_follow_each_other_and_others_overtake() -> None:
    """Rule: the position stays at the first that is not done, however much behind it is."""

    async def body() -> None:
        gates = {offset: asyncio.Event() for offset in range(6)}
        begun: list[int] = []

        async def work(one: Any) -> bool:
            begun.append(one.offset)
            await gates[one.offset].wait()
            return True

        window = InFlightRecords(0, work, begun.append)  # type: ignore[arg-type]
        for offset, key in enumerate("aabbac"):
            window.take(record(offset, key))
        await asyncio.sleep(0.01)
        assert begun == [0, 2, 5]
        for offset in (2, 5):
            gates[offset].set()
        await asyncio.sleep(0.01)
        assert begun == [0, 2, 5, 3]
        assert (window.position, len(window)) == (0, 4)
        gates[0].set()
        await asyncio.sleep(0.01)
        assert (begun[-1], window.position) == (1, 1)
        for gate in gates.values():
            gate.set()
        await asyncio.sleep(0.01)
        assert begun[-1] == 4
        assert (window.position, len(window), window.oldest_s) == (6, 0, 0.0)
        assert window._newest == {}
        window.skip(9)
        assert window.position == 9

    virtual_clock.run(body())


def test_it_is_full_in_the_end_and_a_fault_is_told_and_stays_open() -> None:
    """Rule: nothing unbounded; what fails for a fault of ours is never committed, nor what follows it."""

    async def body() -> None:
        failures: list[BaseException] = []

        async def work(one: Any) -> bool:
            if one.offset == 0:
                raise ZeroDivisionError
            await asyncio.sleep(3600)
            return True

        window = InFlightRecords(0, work, failures.append)
        for offset in range(RECORDS_MAX):
            assert not window.full
            window.take(record(offset, "a" if offset < 2 else str(offset)))
        assert window.full
        await asyncio.sleep(0.01)
        assert [type(failure) for failure in failures] == [ZeroDivisionError]
        assert window.position == 0
        for task in window.tasks:
            task.cancel()
        await asyncio.gather(*window.tasks, return_exceptions=True)

    virtual_clock.run(body())


def test_a_route_opens_no_more_requests_than_it_may() -> None:
    """Setup: twenty customers at once, four allowed."""

    async def body() -> None:
        full = asyncio.Event()  # nobody is answered before as many ask as may

        async def slowly(request: web.Request) -> web.Response:
            if receiver.at_once >= QUICK.concurrency:
                full.set()
            await asyncio.wait_for(full.wait(), WAIT_S)
            await asyncio.sleep(0.02)
            return web.Response()

        receiver = Receiver(lambda request, count: slowly(request))
        async with receiver.listening(), delivering(receiver.url) as (running, _):
            window = InFlightRecords(0, running.deliver, lambda failure: None)
            for number in range(20):
                for one in records(f"c-{number}", 4 * number):
                    window.take(one)
            await asyncio.gather(*window.tasks)
            assert receiver.most_at_once == QUICK.concurrency
            assert len(receiver.got) == 80
            seen: dict[str, list[str]] = {}
            for headers, _ in receiver.got:
                seen.setdefault(headers["ce-subject"], []).append(headers["ce-id"][-1])
            assert set(map(tuple, seen.values())) == {("1", "2", "3", "4")}

    asyncio.run(body())


def test_a_stop_lets_requests_end_and_begins_nothing() -> None:
    """Setup: one request under way, one event waiting for another try, one behind it. The first is done, the others
    are left for whoever comes next, and nothing of them is lost or counted."""

    async def body() -> None:
        arrived = asyncio.Event()

        async def slowly(request: web.Request) -> web.Response:
            if request.headers["ce-subject"] == "away":
                return web.Response(status=500)
            arrived.set()
            await asyncio.sleep(0.2)
            return web.Response()

        pace = RetryPolicy(4, 600, 600, 60, 4)
        async with (
            Receiver(lambda request, count: slowly(request)).listening() as receiver,
            delivering(receiver.url, pace) as (running, letters),
        ):
            window = InFlightRecords(0, running.deliver, lambda failure: None)
            window.take(records("here")[0])
            for one in records("away", 1)[:2]:
                window.take(one)
            await arrived.wait()
            await until("a failed attempt", lambda: running.attempts["failed"] >= 1, every_s=0.01)
            await running.settle(window.tasks, WAIT_S)
            assert window.position == 1
            assert running.ends == {"delivered": 1, "skipped": 0, "dead_letter": 0}
            assert letters == []
            assert not running.closing

    asyncio.run(body())
