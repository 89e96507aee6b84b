"""One run: start everything, sample until the time is over or a signal arrives, and stop everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiokafka.errors import KafkaError

from benchmarks.soak.figures import Sample
from benchmarks.soak.processes import Processes
from benchmarks.soak.traffic import Traffic, percentile
from benchmarks.throughput import kafka
from streams.admin.lag import consumer_groups
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.topics import EVENTS, LABELS, create_topics, name_of

TRAFFIC = "traffic"
# The disk of the broker stays bounded: applied events are not needed. Values as in the demo.
BROKER_PROPERTIES = {
    "log.retention.bytes": str(64 * 1024 * 1024),
    "log.segment.bytes": str(16 * 1024 * 1024),
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
}
_ROUTES = '[routes.sink]\nurl = "http://127.0.0.1:{port}/"\nallow_http = true\nallow_private = true\nunsigned = true\n'
_CHECK_EVERY_S = 1.0
_CONSOLE_WITHIN_S = 20.0


@dataclass
class Soak:
    """What a run found.

    Attributes:
        samples: Figures of all processes, one entry per interval.
        problems: Sentences, each of which fails the run.
        webhooks: Requests that the webhook sink received.
        published, scores: Events, and scores that they caused.
    """

    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    webhooks: int = 0
    published: int = 0
    scores: int = 0


@dataclass(frozen=True)
class Plan:
    """Length and load of a run."""

    hours: float
    rate: float
    customers: int
    every_s: float


async def soak(
    plan: Plan, broker: EmbeddedBroker, directory: Path, stop: asyncio.Event, keep: Callable[[Sample], None]
) -> Soak:
    """Run all processes until the plan ends, `stop` is set or a process ends. `keep` receives each sample at once."""
    found = Soak()
    settings = replace(
        kafka.settings_of(broker.address, "soak", "soak-events", directory),
        clock="event",
        notify_routes=str(directory / "notify.toml"),
    )
    await create_topics(settings)
    lags = {name_of(EVENTS, settings): "lag events", name_of(LABELS, settings): "lag labels"}
    processes, traffic = Processes(broker, settings, directory), Traffic(settings, plan.rate, plan.customers)
    async with _sink(found) as port, aiohttp.ClientSession() as session:
        (directory / "notify.toml").write_text(_ROUTES.format(port=port))
        tasks: list[asyncio.Task[None]] = []
        try:
            await processes.start()
            tasks = [asyncio.create_task(traffic.watch_scores()), asyncio.create_task(traffic.publish())]
            async with consumer_groups(settings) as groups:
                of = _Observed(plan, processes, traffic, groups, lags, session, keep)
                await _observe(of, found, tasks, stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await processes.stop()
            found.problems += processes.problems
            found.published, found.scores = traffic.published, traffic.scores
    return found


@dataclass(frozen=True)
class _Observed:
    plan: Plan
    processes: Processes
    traffic: Traffic
    groups: Any
    lags: dict[str, str]  # figure by topic name
    session: aiohttp.ClientSession
    keep: Callable[[Sample], None]


async def _observe(of: _Observed, found: Soak, tasks: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    started, sampled = time.monotonic(), 0
    while not stop.is_set() and time.monotonic() - started < 3600 * of.plan.hours:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _CHECK_EVERY_S)
        failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        found.problems += [f"the load failed: {failure!r}" for failure in (*failures, of.traffic.failure) if failure]
        if not of.processes.check() or found.problems:
            return
        if time.monotonic() - started >= of.plan.every_s * (sampled + 1):
            sampled += 1
            found.samples.append(await _sample(of, found, (time.monotonic() - started) / 3600))
            of.keep(found.samples[-1])
            print(_line(found.samples[-1], found, of.traffic), flush=True)


async def _sample(of: _Observed, found: Soak, hours: float) -> Sample:
    figures: dict[str, dict[str, float]] = {
        name: {
            "rss": used.rss,
            "descriptors": used.descriptors,
            "threads": used.threads,
            "disk": disk,
            "cpu_s": used.cpu_s,
        }
        for name, (used, disk) in (await asyncio.to_thread(of.processes.usage)).items()
    }
    taken = of.traffic.latencies.drain()
    load: dict[str, float | None] = {"latency p50": percentile(taken, 0.5), "latency p99": percentile(taken, 0.99)}
    figures[TRAFFIC] = {name: value for name, value in load.items() if value is not None} | await _lags(
        of.groups, of.lags
    )
    if (problem := await _console_problem(of)) is not None:
        found.problems.append(problem)
    return {"hours": hours, "load": os.getloadavg()[0], "figures": figures}


async def _lags(groups: Any, figures: Mapping[str, str]) -> dict[str, float]:
    """Return the records that wait; nothing if the broker did not answer, which the processes show anyway."""
    found: dict[str, float] = {}
    try:
        rows = await groups.read()
    except (KafkaError, TimeoutError):
        return found
    for row in rows:
        found[figures[row.topic]] = found.get(figures[row.topic], 0) + row.lag
    return found


async def _console_problem(of: _Observed) -> str | None:
    """Open the console's first page, so that it works too; return what is wrong."""
    try:
        timeout = aiohttp.ClientTimeout(total=_CONSOLE_WITHIN_S)
        async with of.session.get(of.processes.console_url, timeout=timeout) as answer:
            await answer.read()
            return None if answer.status == 200 else f"the console answered with {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as failure:
        return f"the console did not answer: {failure!r}"


@contextlib.asynccontextmanager
async def _sink(found: Soak) -> AsyncIterator[int]:
    """Accept webhooks on loopback and count them."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        found.webhooks += 1
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", accept)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _line(sample: Sample, found: Soak, traffic: Traffic) -> str:
    sizes = ", ".join(
        f"{name} {figures['rss'] / 2**20:.0f} MiB {figures['descriptors']} fds"
        for name, figures in sample["figures"].items()
        if "rss" in figures
    )
    latency = sample["figures"][TRAFFIC].get("latency p50", float("nan"))
    return (
        f"{60 * sample['hours']:6.1f} min: {traffic.published:,} events, {traffic.scores:,} scores, {found.webhooks}"
        f" webhooks, p50 {latency:.0f} ms, lag {sample['figures'][TRAFFIC].get('lag events')}; {sizes}"
    )
