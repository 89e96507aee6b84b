"""In-flight records: order per customer, the position that may be committed, and draining."""

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


def test_records_are_sequential_per_customer_and_concurrent_across_customers() -> None:
    """Rule: the position is the first unfinished record, whatever is finished after it."""

    async def body() -> None:
        gates = {offset: asyncio.Event() for offset in range(6)}
        started: list[int] = []

        async def deliver(record: Any) -> bool:
            started.append(record.offset)
            await gates[record.offset].wait()
            return True

        in_flight = InFlightRecords(0, deliver, started.append)  # type: ignore[arg-type]
        for offset, key in enumerate("aabbac"):
            in_flight.add(record(offset, key))
        await asyncio.sleep(0.01)
        assert started == [0, 2, 5]
        for offset in (2, 5):
            gates[offset].set()
        await asyncio.sleep(0.01)
        assert started == [0, 2, 5, 3]
        assert (in_flight.position, len(in_flight)) == (0, 4)
        gates[0].set()
        await asyncio.sleep(0.01)
        assert (started[-1], in_flight.position) == (1, 1)
        for gate in gates.values():
            gate.set()
        await asyncio.sleep(0.01)
        assert started[-1] == 4
        assert (in_flight.position, len(in_flight), in_flight.oldest_s) == (6, 0, 0.0)
        assert in_flight._newest == {}
        in_flight.skip(9)
        assert in_flight.position == 9

    virtual_clock.run(body())


def test_number_is_limited_and_a_failed_record_stays_in_flight() -> None:
    """Rule: a record whose delivery raises an exception is never committed, nor are the records after it."""

    async def body() -> None:
        failures: list[BaseException] = []

        async def deliver(record: Any) -> bool:
            if record.offset == 0:
                raise ZeroDivisionError
            await asyncio.sleep(3600)
            return True

        in_flight = InFlightRecords(0, deliver, failures.append)
        for offset in range(RECORDS_MAX):
            assert not in_flight.full
            in_flight.add(record(offset, "a" if offset < 2 else str(offset)))
        assert in_flight.full
        await asyncio.sleep(0.01)
        assert [type(failure) for failure in failures] == [ZeroDivisionError]
        assert in_flight.position == 0
        for task in in_flight.tasks:
            task.cancel()
        await asyncio.gather(*in_flight.tasks, return_exceptions=True)

    virtual_clock.run(body())


def test_route_respects_its_concurrency() -> None:
    """Setup: 20 customers, and a concurrency of 4."""

    async def body() -> None:
        full = asyncio.Event()  # no response before the limit is reached

        async def slow_response(request: web.Request) -> web.Response:
            if receiver.concurrent >= QUICK.concurrency:
                full.set()
            await asyncio.wait_for(full.wait(), WAIT_S)
            await asyncio.sleep(0.02)
            return web.Response()

        receiver = Receiver(lambda request, count: slow_response(request))
        async with receiver.listening(), delivering(receiver.url) as (delivery, _):
            in_flight = InFlightRecords(0, delivery.deliver, lambda failure: None)
            for number in range(20):
                for event in records(f"c-{number}", 4 * number):
                    in_flight.add(event)
            await asyncio.gather(*in_flight.tasks)
            assert receiver.max_concurrent == QUICK.concurrency
            assert len(receiver.requests) == 80
            sequences: dict[str, list[str]] = {}
            for headers, _ in receiver.requests:
                sequences.setdefault(headers["ce-subject"], []).append(headers["ce-id"][-1])
            assert set(map(tuple, sequences.values())) == {("1", "2", "3", "4")}

    asyncio.run(body())


def test_drain_finishes_pending_requests_and_starts_no_new_ones() -> None:
    """Setup: one pending request, one event that waits for a retry, and one behind it. The first is delivered. The
    others are left to the next owner, and are neither lost nor counted."""

    async def body() -> None:
        arrived = asyncio.Event()

        async def slow_response(request: web.Request) -> web.Response:
            if request.headers["ce-subject"] == "away":
                return web.Response(status=500)
            arrived.set()
            await asyncio.sleep(0.2)
            return web.Response()

        retry = RetryPolicy(4, 600, 600, 60, 4)
        async with (
            Receiver(lambda request, count: slow_response(request)).listening() as receiver,
            delivering(receiver.url, retry) as (delivery, letters),
        ):
            in_flight = InFlightRecords(0, delivery.deliver, lambda failure: None)
            in_flight.add(records("here")[0])
            for event in records("away", 1)[:2]:
                in_flight.add(event)
            await arrived.wait()
            await until("a failed attempt", lambda: delivery.attempts["failed"] >= 1, every_s=0.01)
            await delivery.drain(in_flight.tasks, WAIT_S)
            assert in_flight.position == 1
            assert delivery.outcomes == {"delivered": 1, "skipped": 0, "dead_letter": 0}
            assert letters == []
            assert not delivery.closing

    asyncio.run(body())
