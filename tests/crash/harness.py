"""Run real workers on a real broker: publish numbered events, inject faults, and compare the results with an oracle."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.settings import Settings, variable
from streams.topics import ALERTS, CHANGELOG, EVENTS, create_topics, name_of
from tests.waiting import WAIT_S, until

WORKER = Path(__file__).with_name("counting.py")
CUSTOMERS = 500
CONTROL_SECRET = "of-this-test-only-0123456789abcdef"


@dataclasses.dataclass
class Oracle:
    """The result of an exact fold of the published events."""

    counts: Counter[bytes] = dataclasses.field(default_factory=Counter)
    sums: Counter[bytes] = dataclasses.field(default_factory=Counter)
    outputs: Counter[tuple[bytes, int, int]] = dataclasses.field(default_factory=Counter)
    published: int = 0

    def add(self, key: bytes, n: int) -> None:
        self.published += 1
        self.counts[key] += 1
        self.sums[key] += n
        if self.counts[key] % 10 == 0:
            self.outputs[key, self.counts[key], self.sums[key]] += 1


class Run:
    """Topics and group of one test on the shared broker, with its workers and its oracle."""

    def __init__(self, name: str, address: str, directory: Path, *, partitions: int = 4, **changes: Any) -> None:
        topics: dict[str, Any] = {
            f"topic_{role}": f"{name}-{role}"
            for role in ("events", "dead_letters", "alerts", "undelivered", "scores", "labels", "model", "metrics")
        }
        self.settings = Settings(
            kafka_bootstrap_servers=address,
            kafka_group_id=name,
            partitions=partitions,
            data_dir=str(directory / "data"),
            log_format="text",
            control_secret=CONTROL_SECRET,
            **topics,
            # Six seconds is the minimum that the broker accepts. Tests wait for the timeout of crashed members.
            **{"kafka_session_timeout_ms": 6_000, "kafka_heartbeat_interval_ms": 1_500, **changes},
        )
        self.directory = directory
        self.oracle = Oracle()
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._enough = False

    # Workers

    def start(self, name: str, *, program: Path = WORKER, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker process; its log is `<name>.log`."""
        variables = {
            variable(field.name): _text(getattr(self.settings, field.name)) for field in dataclasses.fields(Settings)
        }
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(program)], env={**os.environ, **variables, **environment}, stdout=log, stderr=log
            )
        self.workers[name] = process
        return process

    def kill(self, name: str) -> None:
        """kill -9."""
        self.workers[name].kill()
        self.workers[name].wait()

    def stop(self, name: str) -> int:
        """Stop a worker with SIGTERM and return its exit code."""
        self.workers[name].terminate()
        return self.workers[name].wait(timeout=WAIT_S)

    def end(self) -> None:
        """Kill all remaining processes."""
        for process in self.workers.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def log_of(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    # Events

    def enough(self) -> None:
        """Stop publishing, because all faults were injected."""
        self._enough = True

    async def took_over(self, name: str) -> None:
        """Wait until a worker owns a partition. From then on it has signal handlers and processes events."""
        await until(
            f"a takeover by {name}", lambda: "took over" in self.log_of(name), context=lambda: self.log_of(name)
        )

    def takeovers(self, name: str) -> int:
        """How often a worker has taken over partitions so far."""
        return self.log_of(name).count("took over")

    async def takes_over_again(self, name: str, earlier: int) -> None:
        """Wait until a worker with so many earlier takeovers takes over more partitions, or ends."""
        await until(
            f"another takeover by {name}",
            lambda: self.takeovers(name) > earlier or self.workers[name].poll() is not None,
            context=lambda: self.log_of(name),
        )

    async def publish(self, events: int, *, per_second: float, seed: int = 1) -> None:
        """Publish numbered events of random customers, in order and at a rate, until `enough` is called."""
        rng = random.Random(seed)
        producer = AIOKafkaProducer(
            **self.settings.connection(), enable_idempotence=True, linger_ms=5, request_timeout_ms=60_000
        )
        await producer.start()
        started = time.monotonic()
        for number in range(events):
            if self._enough:
                break
            key, n = b"customer-%d" % rng.randrange(CUSTOMERS), rng.randrange(1000)
            await producer.send(name_of(EVENTS, self.settings), orjson.dumps({"n": n}), key=key)
            self.oracle.add(key, n)
            ahead_s = number / per_second - (time.monotonic() - started)
            if ahead_s > 0.01:
                await asyncio.sleep(ahead_s)
        await producer.flush()
        await producer.stop()

    # Results

    async def read(self, topic: str) -> list[tuple[int, bytes, bytes | None]]:
        """Read all committed records of a topic as (partition, key, value)."""
        consumer = AIOKafkaConsumer(
            **self.settings.connection(), isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            await consumer._client.force_metadata_update()
            numbers = consumer.partitions_for_topic(topic) or range(self.settings.partitions)
            tps = [TopicPartition(topic, number) for number in numbers]
            consumer.assign(tps)
            end = await consumer.end_offsets(tps)
            found: list[tuple[int, bytes, bytes | None]] = []
            while not all([await consumer.position(tp) >= end[tp] for tp in tps]):
                for tp, records in (await consumer.getmany(timeout_ms=100, max_records=20_000)).items():
                    found += [(tp.partition, record.key, record.value) for record in records]
            return found
        finally:
            await consumer.stop()

    async def profiles(self) -> dict[bytes, dict[str, int]]:
        """Read the newest profile of every customer from the changelog."""
        found: dict[bytes, dict[str, int]] = {}
        for _partition, key, value in await self.read(name_of(CHANGELOG, self.settings)):
            if key[:1] == b"c" and value is not None:
                found[key[1:]] = orjson.loads(value[8:])
        return found

    async def drained(self) -> None:
        """Wait until at least as many events are applied as were published."""
        await self.progress(self.oracle.published, every_s=0.2)

    async def verdict(self) -> None:
        """Compare every profile and every output with the oracle."""
        await self.drained()
        profiles = await self.profiles()
        assert {key: profile["count"] for key, profile in profiles.items()} == dict(self.oracle.counts)
        assert {key: profile["sum"] for key, profile in profiles.items()} == dict(self.oracle.sums)
        outputs: Counter[tuple[bytes, int, int]] = Counter()
        for _partition, key, value in await self.read(name_of(ALERTS, self.settings)):
            body = orjson.loads(value or b"{}")
            outputs[key, body["count"], body["sum"]] += 1
        assert outputs == self.oracle.outputs

    async def progress(self, events: int, every_s: float = 0.05) -> None:
        """Wait until this many events are applied, so that work is in flight."""
        applied = 0

        async def enough() -> bool:
            nonlocal applied
            applied = sum(profile["count"] for profile in (await self.profiles()).values())
            return applied >= events

        await until(f"{events} applied events", enough, every_s=every_s, context=lambda: applied)


def scenario(run: Run, body: Callable[[Run], Awaitable[None]]) -> None:
    """Create the topics, run the body, and kill all processes."""

    async def whole() -> None:
        await create_topics(run.settings)
        await body(run)

    try:
        asyncio.run(whole())
    finally:
        run.end()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
