"""Latency runs: a new worker processes the same backlog, then events at a given rate while a consumer reads."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.latency import figures
from benchmarks.latency.feed import Feed
from benchmarks.latency.observer import Seen
from benchmarks.latency.schedule import Due, Schedule, evenly, send
from benchmarks.latency.stages import Trace, stages
from benchmarks.machine import progress
from benchmarks.throughput import kafka, world
from benchmarks.throughput.child import Child, CpuTrace
from benchmarks.throughput.contenders import WORKER, took_over_s
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.settings import Settings
from streams.topics import ALERTS, SCORES, name_of

# More than a worker needs at half of its best speed.
_DRAIN_TIMEOUT_S = 240.0
# Before the first event is due, and for the observer to read the last commits.
_SETTLE_S = 1.0
# Precise enough for the CPU use of a load, without being a load itself.
_SAMPLE_EVERY_S = 0.5


class Runs:
    """Sequential runs, each with its own topics and state.

    Args:
        broker: The broker of all runs.
        directory: For state and logs.
        backlog: Number of events that a worker processes before a measurement.
        seconds: Duration of a load.
        traced: Whether workers record when each transaction reaches each stage.
    """

    def __init__(self, broker: EmbeddedBroker, directory: Path, backlog: int, seconds: float, traced: bool) -> None:
        self._broker, self._directory, self._seconds, self._traced = broker, directory, seconds, traced
        self._feed, self._backlog, self._model = Feed(), backlog, world.learned_model()
        self._number = 0

    def alone(self) -> float:
        """Rate at which a worker processes the backlog with no other load, events/s."""
        with self._worker_after_backlog() as (settings, worker, ends):
            until_s, _applied = asyncio.run(kafka.last_commit(settings))
            log = self._log.read_text(errors="replace")
            worker.stop()
        return sum(ends) / (until_s - took_over_s(log))

    def load(self, rate: float) -> dict[str, Any]:
        """Measure events at a constant rate while a consumer reads scores and alerts.

        `behind_s` is the time from the last scheduled event until everything was committed.
        """
        scheduled = evenly(self._feed.events(self._backlog, round(rate * self._seconds)), rate, kafka.PARTITIONS)
        assert self._broker.pid is not None
        with (
            self._worker_after_backlog() as (settings, worker, ends),
            _Observing(settings, self._directory) as observer,
            CpuTrace(self._broker.pid, _SAMPLE_EVERY_S) as broker_cpu,
            CpuTrace(observer.pid, _SAMPLE_EVERY_S) as observer_cpu,
        ):
            schedule, before = Schedule.after(ends), asyncio.run(kafka.changelog_ends(settings))
            from_s, own_s = time.time() + _SETTLE_S, time.process_time()
            until_s = from_s + self._seconds
            asyncio.run(_send(settings, worker, scheduled, schedule, from_s))
            cpu = {"worker": worker.cpu, "broker": broker_cpu, "observer": observer_cpu}
            cores = {name: trace.between(from_s, until_s) / self._seconds for name, trace in cpu.items()}
            cores["sender"] = (time.process_time() - own_s) / self._seconds
            time.sleep(_SETTLE_S)
            seen = observer.stop()
            worker.stop()
            commits = asyncio.run(kafka.commits(settings, before))
        behind_s = figures.all_committed_s(commits, schedule.ends) - until_s
        found = {"rate": rate, "seconds": self._seconds, "cores": cores, "behind_s": behind_s}
        found["sender_late_s"] = schedule.latest_s(ends)
        found["latency"] = figures.latencies(seen, schedule.intended_s, ends)
        if self._traced:
            trace = Trace(self._trace.read_text().splitlines())
            found["stages"] = stages(trace, seen, schedule.intended_s, schedule.handed_s, ends)
            found["transactions"] = trace.sizes(ends, schedule.ends)
        return found

    @property
    def _log(self) -> Path:
        return self._directory / f"run-{self._number}.log"

    @property
    def _trace(self) -> Path:
        return self._directory / f"run-{self._number}.trace"

    @contextlib.contextmanager
    def _worker_after_backlog(self) -> Iterator[tuple[Settings, Child, list[int]]]:
        """Start a worker and wait until it has processed the backlog."""
        self._number += 1
        run = f"latency-{self._number}"
        settings = kafka.settings_of(self._broker.address, run, f"{run}-events", self._directory)
        first = [(key, value) for _, key, value in self._feed.events(0, self._backlog)]
        ends = asyncio.run(kafka.publish_events(settings, first, lambda sent: None))
        asyncio.run(kafka.publish_model(settings, self._model))
        traced = [sys.executable, "-m", "benchmarks.latency.traced", str(self._trace)]
        command = traced if self._traced else WORKER
        with Child(command, kafka.environment(settings), self._log, _SAMPLE_EVERY_S) as worker:
            asyncio.run(kafka.await_drained(settings, ends, worker.check, _DRAIN_TIMEOUT_S))
            yield settings, worker, ends
        shutil.rmtree(settings.data_dir, ignore_errors=True)


async def _send(
    settings: Settings, worker: Child, scheduled: Sequence[Sequence[Due]], schedule: Schedule, from_s: float
) -> None:
    """Send the events and wait until everything is committed."""
    producer = AIOKafkaProducer(**settings.connection(), enable_idempotence=True)
    await producer.start()
    try:
        await send(producer, settings.topic_events, scheduled, schedule, from_s)
    finally:
        await producer.stop()
    await kafka.await_drained(settings, schedule.ends, worker.check, _DRAIN_TIMEOUT_S)


class _Observing:
    """The observer's process, as a context manager."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._out = directory / "seen"
        topics = [name_of(topic, settings) for topic in (SCORES, ALERTS)]
        self._command = [sys.executable, "-m", "benchmarks.latency.observer", settings.kafka_bootstrap_servers]
        self._command += [*topics, str(kafka.PARTITIONS), str(self._out)]

    def __enter__(self) -> _Observing:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"the observer exited with {self._process.wait()} before it was ready")
        return self

    @property
    def pid(self) -> int:
        """Process id of the observer."""
        return self._process.pid

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self) -> Sequence[Seen]:
        """Stop the observer and return what it has seen."""
        self._process.terminate()
        if code := self._process.wait(10):
            raise RuntimeError(f"the observer exited with {code}")
        return [Seen.of(line) for line in self._out.read_text().splitlines()]


def measured(runs: Runs, shares: Sequence[float], rate: float | None) -> dict[str, Any]:
    """Measure the rate alone, the peak rate, and latency at shares of the peak and at a given rate.

    Raises:
        ValueError: The worker sustains no rate.
    """
    alone = runs.alone()
    progress(f"alone: {alone:,.0f} events/s")

    def sustains(tried: float) -> bool:
        behind_s = runs.load(tried)["behind_s"]
        sustained: bool = behind_s <= figures.BEHIND_MAX_S
        word = "sustained" if sustained else "not sustained"
        progress(f"{tried:,.0f} events/s: {word}, {behind_s:.1f} s behind at the end")
        return sustained

    peak = figures.highest_sustained(sustains, alone)
    rates: list[tuple[float | None, float]] = [(share, share * peak) for share in shares]
    if rate is not None:
        rates.append((None, rate))
    loads = []
    for share, events_a_second in rates:
        progress(f"{events_a_second:,.0f} events/s")
        loads.append({"share": share, **runs.load(events_a_second)})
    return {"customers": world.CUSTOMERS, "partitions": kafka.PARTITIONS, "alone": alone, "peak": peak, "loads": loads}
