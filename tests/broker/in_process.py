"""A worker in the test's own process, and the feed that it reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaProducer

from streams.engine.worker import Worker
from streams.runtime.process_end import StopRequested
from streams.topics import EVENTS, name_of
from tests.crash.harness import Run


async def with_worker(worker: Worker, body: Callable[[], Awaitable[object]]) -> None:
    """Run the worker while the body runs; what ended it early is raised."""
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    doing = asyncio.ensure_future(body())
    await asyncio.wait({running, doing}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    if not doing.done():
        doing.cancel()
        await running
    await running
    await doing


async def stopped(stop: asyncio.Event, training: asyncio.Task[None]) -> None:
    """Stop a trainer in this process. If the machine was so busy that it lost its session, it may be starting again."""
    stop.set()
    with contextlib.suppress(StopRequested):
        await training


async def send(run: Run, *events: tuple[bytes, bytes, int]) -> None:
    """(key, value, timestamp in ms) to partition 0."""
    async with AIOKafkaProducer(**run.settings.connection()) as producer:
        for key, value, timestamp_ms in events:
            topic = name_of(EVENTS, run.settings)
            await producer.send_and_wait(topic, value, key=key, partition=0, timestamp_ms=timestamp_ms)
