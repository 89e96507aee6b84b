"""The measured systems. Each reads the same events from the same topic and broker, in a separate process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.throughput import kafka, stock_faust
from benchmarks.throughput.child import Child, CpuTrace, Failed
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.settings import Settings

# Faust needs a third of a millisecond per event, so 20,000 events measure it as well as 200,000.
FAUST_EVENTS = 20_000
# More than any run needs on a busy machine.
_TIMEOUT_S = 300.0
WORKER = [sys.executable, "-c", "from streams.cli.main import main; main()", "worker"]
# Start of the worker's log message from which on it reads events.
_TOOK_OVER = "took over ["
# Part of its message about a model snapshot that it cannot use.
_REFUSED = "the snapshot of model"
# The first of several workers learns of a rebalance from its next heartbeat.
_SHARED: Mapping[str, Any] = {"kafka_heartbeat_interval_ms": 500}


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition of one contender, with the CPU time of its process and of the broker."""

    events: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


@dataclass
class Bench:
    """A running broker with the events, and the other inputs of the contenders.

    Attributes:
        topic: Topic of the events.
        ends: End offset of each partition.
        model: Model snapshot to score with.
        quix: An interpreter with Quix Streams.
    """

    broker: EmbeddedBroker
    directory: Path
    topic: str
    ends: Sequence[int]
    model: bytes
    quix: str | None = None

    @property
    def events(self) -> int:
        return sum(self.ends)

    def program(self, run: str, command: Sequence[str]) -> Sample:
        """Measure a program that prints its own start and end (see `bare`)."""
        with self._broker_cpu() as broker, self.child(run, command, {}) as child:
            printed = json.loads(child.finish(_TIMEOUT_S))
        start_s, end_s = printed["started_s"], printed["ended_s"]
        return Sample(
            printed["events"], end_s - start_s, printed["cpu_s"], broker.between(start_s, end_s), child.cpu.peak_bytes
        )

    def worker(self, run: str, command: Sequence[str]) -> Sample:
        """Measure a worker of our engine, from the end of its takeover to its last transaction."""
        return self.workers(run, command, 1)

    def workers(self, run: str, command: Sequence[str], count: int) -> Sample:
        """Measure workers of one group, from the time at which all have taken over to the last transaction.

        Events that some workers apply before the others have taken over are not counted. With a single worker, all of
        its transactions count, including one written before its log line about the takeover.
        """
        settings = self.settings(run)
        asyncio.run(kafka.publish_model(settings, self.model))
        names = [f"{run}-{number}" if number else run for number in range(count)]
        before = asyncio.run(kafka.changelog_ends(settings))
        with contextlib.ExitStack() as stack:
            broker = stack.enter_context(self._broker_cpu())
            children = []
            for name in names:
                own = dataclasses.replace(settings, data_dir=str(self.directory / name), **_SHARED if count > 1 else {})
                children.append(stack.enter_context(self.child(name, command, kafka.environment(own))))

            def check() -> None:
                for child in children:
                    child.check()

            asyncio.run(kafka.await_drained(settings, self.ends, check, _TIMEOUT_S))
            for child in children:
                child.stop()
        logs = [(self.directory / f"{name}.log").read_text(errors="replace") for name in names]
        if any(_REFUSED in log for log in logs):
            raise Failed("the worker refused the model and scored with the prior")
        start_s = max(took_over_s(log) for log in logs)
        found = asyncio.run(kafka.commits(settings, before))
        end_s, applied = max(commit.at_s for commit in found), kafka.applied(found)
        if applied != self.events:
            raise Failed(f"{applied:,} of {self.events:,} events are in its changelog")
        if count == 1:
            start_s = min(start_s, *(commit.at_s for commit in found))
        applied -= kafka.applied(commit for commit in found if commit.at_s < start_s)
        if not applied:
            raise Failed(f"all {self.events:,} events were applied before the last worker took over: use more events")
        cpu_s = sum(child.cpu.between(start_s, end_s) for child in children)
        peak_bytes = sum(child.cpu.peak_bytes for child in children)
        return Sample(applied, end_s - start_s, cpu_s, broker.between(start_s, end_s), peak_bytes)

    def settings(self, run: str) -> Settings:
        """Settings of a run that reads these events."""
        return kafka.settings_of(self.broker.address, run, self.topic, self.directory, len(self.ends))

    def child(self, run: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a process of a run, whose output goes to a file with the run's name."""
        return Child(command, environment, self.directory / f"{run}.log")

    def _broker_cpu(self) -> CpuTrace:
        assert self.broker.pid is not None
        return CpuTrace(self.broker.pid)


def took_over_s(log: str, message: str = _TOOK_OVER) -> float:
    """Find in its log when a worker (or trainer) finished its first takeover and began to read (wall time, s).

    Raises:
        Failed: The log has no such line.
    """
    for line in log.splitlines():
        if message in line and line.startswith("{"):
            entry = json.loads(line)
            if entry["message"].startswith(message):
                return datetime.fromisoformat(entry["time"]).timestamp()
    raise Failed(f"the log has no line with {message!r}: was the message after a takeover reworded?")


def _bare(bench: Bench, run: str) -> Sample:
    command = ["benchmarks.throughput.bare", bench.broker.address, bench.topic, str(kafka.PARTITIONS)]
    return bench.program(run, [sys.executable, "-m", *command, str(bench.events)])


def _faust(bench: Bench, run: str) -> Sample:
    command = ["benchmarks.throughput.stock_faust", bench.broker.address, bench.topic, str(kafka.PARTITIONS)]
    count = str(min(FAUST_EVENTS, bench.events))
    return bench.program(run, [sys.executable, "-m", *command, count, run, str(bench.directory / run)])


def _quix(guarantee: str) -> Callable[[Bench, str], Sample]:
    def measure(bench: Bench, run: str) -> Sample:
        assert bench.quix is not None
        script = str(Path(__file__).with_name("quix.py"))
        command = [bench.quix, script, bench.broker.address, bench.topic, str(bench.events)]
        return bench.program(run, [*command, run, str(bench.directory / run), guarantee])

    return measure


def _engine(bench: Bench, run: str) -> Sample:
    return bench.worker(run, [sys.executable, "-m", "benchmarks.throughput.counting"])


def _product(bench: Bench, run: str) -> Sample:
    return bench.worker(run, WORKER)


def _two_products(bench: Bench, run: str) -> Sample:
    return bench.workers(run, WORKER, 2)


def profile(bench: Bench, run: str) -> dict[str, Any]:
    """Run the product's worker again with timers; see `benchmarks.throughput.profiled`."""
    out = bench.directory / f"{run}.json"
    sample = bench.worker(run, [sys.executable, "-m", "benchmarks.throughput.profiled", str(out)])
    found: dict[str, Any] = json.loads(out.read_bytes())
    for name in ("bytes", "records"):
        found[name] = {topic.removeprefix(f"{run}-"): count for topic, count in found[name].items()}
    return {**found, "seconds": sample.seconds}


@dataclass(frozen=True, slots=True)
class Contender:
    """A row of the table. Other rows are compared with yardsticks."""

    letter: str
    label: str
    measure: Callable[[Bench, str], Sample]
    yardstick: bool = False


BARE = Contender("a", "aiokafka + orjson, one count per customer", _bare, yardstick=True)
FAUST = Contender(
    "b", f"stock Faust, faust.Record, a table on {stock_faust.STORE.partition(':')[0]}", _faust, yardstick=True
)
PRODUCT = Contender("c", "churn-signals worker, full job", _product)
TWO_PRODUCTS = Contender("d", "two churn-signals workers, full job", _two_products)
QUIX_AT_LEAST_ONCE = Contender("f", "Quix Streams, RocksDB state, at least once", _quix("at-least-once"))
QUIX_EXACTLY_ONCE = Contender("f", "Quix Streams, RocksDB state, exactly once", _quix("exactly-once"), yardstick=True)
ENGINE = Contender("g", "this engine, counting, exactly once", _engine)
CONTENDERS = (BARE, FAUST, QUIX_AT_LEAST_ONCE, QUIX_EXACTLY_ONCE, ENGINE, PRODUCT, TWO_PRODUCTS)
