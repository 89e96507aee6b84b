"""Limits of HTTP servers: slow and idle clients are closed, and never keep others out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from streams.monitoring.http_limits import LIMIT, TIMEOUT, HttpLimits, LimitedRunner
from tests.waiting import WAIT_S, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(limits: HttpLimits, client_max_size: int = 1024) -> AsyncIterator[tuple[LimitedRunner, int]]:
    """A server with a page, an echo of posts, and a page that takes as long as `release` is not set."""
    release = asyncio.Event()

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="page")

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def slow(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="slow")

    async def large(_request: web.Request) -> web.Response:
        return web.Response(body=bytes(20_000_000))

    app = web.Application(client_max_size=client_max_size)
    app.add_routes([web.get("/", page), web.post("/", echo), web.get("/slow", slow), web.get("/large", large)])
    runner = LimitedRunner(app, limits, 0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner, runner.addresses[0][1]
    finally:
        release.set()
        for writer in OPENED:
            writer.close()
        OPENED.clear()
        await runner.cleanup()


OPENED: list[asyncio.StreamWriter] = []
"""A connection without a reference would be closed by the garbage collector."""


async def open_to(port: int, sent: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    OPENED.append(writer)
    writer.write(sent)
    return reader, writer


async def answer(streams: Streams) -> bytes:
    """The first line of the response; empty if the server closed the connection."""
    try:
        return await asyncio.wait_for(streams[0].readline(), WAIT_S)
    except ConnectionError:
        return b""


def run(body: Any) -> None:
    asyncio.run(body())


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost", b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2_000],
    ids=["nothing", "half a header", "long header"],
)
def test_client_that_does_not_finish_its_headers_is_closed(sent: bytes) -> None:
    async def body() -> None:
        async with serving(HttpLimits(10, header_s=0.05)) as (runner, port):
            assert await answer(await open_to(port, sent)) == b""
            await until("no connection", lambda: runner.open == 0)
            assert runner.closed[TIMEOUT] == 1

    run(body)


def test_trickling_headers_do_not_extend_their_time() -> None:
    async def body() -> None:
        async with serving(HttpLimits(10, header_s=0.1)) as (runner, port):
            _, writer = await open_to(port, b"GET / HTTP/1.1\r\n")
            for number in range(100):
                if runner.closed[TIMEOUT]:
                    break
                writer.write(b"X-%d: y\r\n" % number)
                await asyncio.sleep(0.01)
            assert runner.closed[TIMEOUT] == 1

    run(body)


def test_body_that_does_not_arrive_is_answered_with_408() -> None:
    async def body() -> None:
        async with serving(HttpLimits(10, body_s=0.05)) as (_, port):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
            assert b"408" in await answer(await open_to(port, head))
            chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
            assert b"408" in await answer(await open_to(port, chunked))

    run(body)


def test_complete_requests_are_answered_and_idle_connections_closed() -> None:
    """Rule: keep-alive works within the idle time."""

    async def body() -> None:
        async with serving(HttpLimits(10, idle_s=0.1)) as (runner, port):
            streams = await open_to(port, GET)
            assert b"200" in await answer(streams)
            streams[1].write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert b"abc" in await asyncio.wait_for(streams[0].readuntil(b"abc"), WAIT_S)
            assert await asyncio.wait_for(streams[0].read(), WAIT_S) == b""
            assert (runner.open, runner.closed[TIMEOUT]) == (0, 1)

    run(body)


def test_client_that_reads_no_response_is_closed() -> None:
    async def body() -> None:
        async with serving(HttpLimits(10, idle_s=0.1)) as (runner, port):
            await open_to(port, GET.replace(b"/ ", b"/large "))
            await until("no connection", lambda: runner.closed[TIMEOUT] == 1 and runner.open == 0)

    run(body)


def test_half_open_connections_do_not_keep_others_out() -> None:
    """Rule: with too many connections, the one that has waited longest for a request is closed, not a served one."""

    async def body() -> None:
        async with serving(HttpLimits(4)) as (runner, port):
            served = await open_to(port, GET.replace(b"/ ", b"/slow "))
            await until("a served connection", lambda: any(c.serving for c in runner._connections))
            half_open = [await open_to(port, b"GET /") for _ in range(40)]
            assert b"200" in await answer(await open_to(port, GET))
            assert runner.open <= 4
            assert runner.closed[LIMIT] >= 37
            assert await answer(half_open[0]) == b""
            assert not served[0].at_eof()

    run(body)


def test_connection_is_refused_while_all_are_served() -> None:
    async def body() -> None:
        async with serving(HttpLimits(2)) as (runner, port):
            for _ in range(2):
                await open_to(port, GET.replace(b"/ ", b"/slow "))
            await until("two served connections", lambda: sum(c.serving for c in runner._connections) == 2)
            assert await answer(await open_to(port, GET)) == b""
            assert (runner.open, runner.closed[LIMIT]) == (2, 1)

    run(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + bytes(5_000),
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["bytes", "no path", "version", "length", "chunk", "large body", "large header", "many headers", "TLS"],
)
def test_malformed_request_is_answered_with_4xx_or_closed(sent: bytes) -> None:
    async def body() -> None:
        async with serving(HttpLimits(10, header_s=0.1, idle_s=0.1)) as (runner, port):
            status = await answer(await open_to(port, sent))
            assert status == b"" or b" 4" in status[:13]
            assert b"200" in await answer(await open_to(port, GET))
            await until("one connection", lambda: runner.open <= 1)

    run(body)
