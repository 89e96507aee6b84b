"""Latency on a real Apache Kafka: from an event to its score and to its alert.

    python -m benchmarks.latency [--seconds S] [--peak-events N] [--stages] [--json OUT]

One embedded broker, one worker with the full job, 4 partitions, events of 10,000 simulated customers as
`benchmarks.throughput` has them. First the peak rate: how fast the worker takes events that wait for it. Then it gets
10 %, 50 % and 90 % of that rate, each for so many seconds (default 20), evenly spaced on a schedule that waits for
nothing (an open loop: no coordinated omission). A consumer that reads committed, in a process of its own, notes when it
has a score or an alert; each names the event that caused it. Outputs that time causes are not counted.

--stages runs a worker that notes when each transaction reached which stage, and tells where the time goes.

Exit code 1 if at half of the peak rate the time from an event to its alert is above 100 ms at the median or above
250 ms at p99.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.latency import figures
from benchmarks.latency.observer import Seen
from benchmarks.latency.schedule import Schedule, evenly, send
from benchmarks.latency.stages import Trace, stages
from benchmarks.machine import machine, say, told
from benchmarks.throughput import kafka, world
from benchmarks.throughput.child import Child, CpuTrace
from benchmarks.throughput.contenders import WORKER, took_over_s
from streams.embedded_broker import EmbeddedBroker
from streams.partitioner import partition_of
from streams.settings import Settings
from streams.topics import ALERTS, SCORES, name_of

LOADS = (0.1, 0.5, 0.9)
PEAK_EVENTS = 100_000
SECONDS = 20.0
# Longer than a worker takes that is twice as slow as at its peak.
_DRAIN_TIMEOUT_S = 240.0
# The observer reads what was committed last; the sender's first event is due after this.
_SETTLE_S = 1.0
_RUN = "latency"


class Feed:
    """The simulated customers' events with their partitions, from where the last load ended."""

    def __init__(self) -> None:
        self._events = world.endless()
        self._homes: dict[bytes, int] = {}

    def take(self, count: int) -> list[tuple[int, bytes, bytes]]:
        """The next events, as (partition, key, value)."""
        return list(itertools.islice(self._placed(), count))

    def _placed(self) -> Iterator[tuple[int, bytes, bytes]]:
        for key, value in self._events:
            if key not in self._homes:
                self._homes[key] = partition_of(key, kafka.PARTITIONS)
            yield self._homes[key], key, value


def run(broker: EmbeddedBroker, directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak, then the loads; see the module."""
    settings = kafka.settings_of(broker.address, _RUN, f"{_RUN}-events", directory)
    feed = Feed()
    first = [(key, value) for _, key, value in feed.take(options.peak_events)]
    ends = asyncio.run(kafka.publish_events(settings, first, lambda sent: None))
    asyncio.run(kafka.publish_model(settings, world.learned_model()))
    log, trace = directory / "worker.log", directory / "trace"
    command = [sys.executable, "-m", "benchmarks.latency.traced", str(trace)] if options.stages else WORKER
    assert broker.pid is not None
    with CpuTrace(broker.pid) as broker_cpu, Child(command, kafka.environment(settings), log) as worker:
        say(f"peak: {sum(ends):,} waiting events")
        asyncio.run(kafka.await_drained(settings, ends, worker.check, _DRAIN_TIMEOUT_S))
        until_s, _applied = asyncio.run(kafka.last_commit(settings))
        peak = sum(ends) / (until_s - took_over_s(log.read_text(errors="replace")))
        loads: list[dict[str, Any]] = []
        with _observing(settings, directory) as seen_by, CpuTrace(seen_by.pid) as observer_cpu:
            cpu = {"worker": worker.cpu, "broker": broker_cpu, "observer": observer_cpu}
            schedule = Schedule.after(ends)
            for share in LOADS:
                say(f"{100 * share:.0f} % of {peak:,.0f} events/s for {options.seconds:.0f} s")
                since, from_s, own_s = schedule.ends, time.time() + _SETTLE_S, time.process_time()
                sent = asyncio.run(_load(settings, worker, schedule, feed, share * peak, options.seconds))
                until_s = from_s + options.seconds
                cores = {name: each.between(from_s, until_s) / options.seconds for name, each in cpu.items()}
                cores["sender"] = (time.process_time() - own_s) / options.seconds
                loads.append({"share": share, "rate": share * peak, "since": since, "cores": cores, **sent})
            time.sleep(_SETTLE_S)
            seen = seen_by.stop()
        worker.stop()
    traced = Trace(trace.read_text().splitlines()) if options.stages else None
    ends_of = [each["since"] for each in loads[1:]] + [schedule.ends]
    for load, until in zip(loads, ends_of, strict=True):
        since = load.pop("since")
        intended = [times[:end] for times, end in zip(schedule.intended_s, until, strict=True)]
        load["latency"] = figures.latencies(seen, intended, since)
        if traced is not None:
            load["stages"] = stages(traced, seen, intended, schedule.handed_s, since)
            load["transactions"] = traced.sizes(since, until)
    return {
        "customers": world.CUSTOMERS,
        "partitions": kafka.PARTITIONS,
        "peak": {"rate": peak, "events": sum(ends)},
        "loads": loads,
    }


async def _load(
    settings: Settings, worker: Child, schedule: Schedule, feed: Feed, rate: float, seconds: float
) -> dict[str, float]:
    since = schedule.ends
    dealt = evenly(feed.take(round(rate * seconds)), rate, kafka.PARTITIONS)
    producer = AIOKafkaProducer(**settings.connection(), enable_idempotence=True)
    await producer.start()
    try:
        await send(producer, settings.topic_events, dealt, schedule, time.time() + _SETTLE_S)
    finally:
        await producer.stop()
    sent_s = time.time()
    await kafka.await_drained(settings, schedule.ends, worker.check, _DRAIN_TIMEOUT_S)
    return {"seconds": seconds, "drained_s": time.time() - sent_s, "sender_late_s": schedule.latest_s(since)}


class _observing:
    """The observer's process while the `with` lasts."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._out = directory / "seen"
        topics = [name_of(topic, settings) for topic in (SCORES, ALERTS)]
        self._command = [sys.executable, "-m", "benchmarks.latency.observer", settings.kafka_bootstrap_servers]
        self._command += [*topics, str(kafka.PARTITIONS), str(self._out)]

    def __enter__(self) -> _observing:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"the observer ended with {self._process.wait()} before it read anything")
        return self

    @property
    def pid(self) -> int:
        """Of the observer."""
        return self._process.pid

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self) -> Sequence[Seen]:
        """What it has seen."""
        self._process.terminate()
        if code := self._process.wait(10):
            raise RuntimeError(f"the observer ended with {code}")
        return [Seen.of(line) for line in self._out.read_text().splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load (default 20)")
    parser.add_argument("--peak-events", type=int, default=PEAK_EVENTS, help="to find the peak with (default 100,000)")
    parser.add_argument("--stages", action="store_true", help="tell where the time from an event to its output goes")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if options.seconds <= 0 or options.peak_events < 1:
        parser.error("--seconds and --peak-events must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends broker and worker too
    uvloop.install()  # who sends shares the processors with what is measured
    found = machine()
    with (
        tempfile.TemporaryDirectory(prefix="churn-latency-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        result = {"machine": found, **run(broker, Path(name), options)}
    print(told(found) + "\n" + figures.render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if figures.kept(result["loads"]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
