"""One run: the product's processes on their own topics, the injected faults, and their times."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.engine import position
from streams.topics import CHANGELOG, Partitions, Topic, name_of
from tests.broker.oracle import read
from tests.crash.harness import Run
from tests.crash.matrix.feed import Feed
from tests.crash.matrix.readiness import Readiness
from tests.waiting import WAIT_S

PROGRAM = Path(__file__).with_name("process.py")
# A supervisor restarts after this exit code. Any other exit is a failure.
AGAIN = 75
# A process stays ready for 10 s after the broker's last response, and polls every few seconds.
_UNANSWERED_MS = 15_000
# A clean stop takes at most 9 s.
STOP_LIMIT_S = 10.0
_WAIT_S = WAIT_S
_POLL_S = 0.05
# A process needs longer than this to become ready.
_START_MS = 2_000
TRAINED = "trained"
_UNREACHED = re.compile("is reachable; check|KafkaConnectionError")


@dataclass
class Harm:
    """An injected fault, its time (ms), and whether work was in flight."""

    what: str
    at_ms: int
    in_flight: bool


@dataclass
class Scene:
    """The environment in which a row of the matrix runs.

    Attributes:
        quick: Inject only a few faults of each kind.
        sabotage: A fault in the workers that the verdict must detect.
        harms: All injected faults.
        problems: Violations that occurred.
        slow: Time limits that were exceeded.
        restarts: Restarts of processes that exited with 75.
        common: Environment variables of every process from now on.
        cleanups: Called when every process has exited.
        archive: Records of the events topic that retention has deleted.
        lost: By partition, the offsets [first, last) that were deleted before they were applied.
        starts_without_broker: Processes may start while no broker is reachable. They exit with 1 and are restarted.
        bereft_ms: When one of two workers was killed, if any.
        readiness: Readiness of the processes during the run.
    """

    run: Run
    feed: Feed
    broker: EmbeddedBroker
    rng: random.Random
    quick: bool = False
    sabotage: str = ""
    poison: bool = False
    harms: list[Harm] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    restarts: int = 0
    trainers: bool = False
    common: dict[str, str] = field(default_factory=dict)
    cleanups: list[Callable[[], None]] = field(default_factory=list)
    archive: list[Any] = field(default_factory=list)
    lost: dict[int, tuple[int, int]] = field(default_factory=dict)
    bereft_ms: int | None = None
    starts_without_broker: bool = False

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.run)
        self._read_from: dict[str, int] = {}
        self._how: dict[str, dict[str, str]] = {}
        self._may_end: dict[str, set[int]] = {}

    # Processes

    async def worker(
        self, name: str, *, static: bool = True, wait: bool = True, failpoint: str = "", **more: str
    ) -> None:
        """Start a worker, with static membership if `static`, and wait until it owns a partition."""
        self._start(name, "worker", static, failpoint, **more)
        if wait:
            await self.logged(name, "took over")

    async def trainer(self, name: str, *, static: bool = True, wait: bool = True, failpoint: str = "") -> None:
        """Start a trainer that publishes under a model name which no worker uses, so that the oracle stays exact."""
        self.trainers = True
        self._start(name, "trainer", static, failpoint, CHURN_MODEL_NAME=TRAINED)
        if wait:
            await self.logged(name, "leads from")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.harmed(f"kill -9 {name}")
        self._may_end[name] = {-signal.SIGKILL}
        self.run.kill(name)

    async def died(self, name: str) -> None:
        """Wait until the process dies at its failpoint."""
        self._may_end[name] = {-signal.SIGKILL}
        code = await asyncio.to_thread(self.run.workers[name].wait, _WAIT_S)
        self.harmed(f"failpoint of {name}")
        if code != -signal.SIGKILL:
            self.problems.append(f"{name} ended with {code} instead of at its failpoint: {self.last_line(name)}")

    async def refused(self, name: str, code: int, words: str, *, role: str = "worker", **more: str) -> None:
        """Start a process that must exit by itself with this code and one line that names the reason."""
        self.harmed(f"start of {name} refused")
        more = {"CHURN_MODEL_NAME": TRAINED, **more} if role == "trainer" else more
        self._start(name, role, True, "", **more)
        await self.ended(name, code, words)

    async def ended(self, name: str, code: int, words: str) -> None:
        """Wait until the process exits by itself with this code and one line that names the reason."""
        self._may_end[name] = {code}
        found = await asyncio.to_thread(self.run.workers[name].wait, _WAIT_S)
        wrong = found != code or self._without_reason(name) is not None
        if wrong or not re.search(words, self.last_line(name)):
            self.problems.append(f"{name} ended with {found} instead of {code}, {words!r}: {self.last_line(name)}")

    async def position(self, number: int) -> int:
        """Return the next input offset of a partition, according to the changelog."""
        records = await read(self.run, name_of(CHANGELOG, self.run.settings))
        mine = [r.value for r in records if r.partition == number and r.key == position.POSITION_KEY]
        return position.decode_position(mine[-1]).next_offset if mine else 0

    async def stop(self, name: str) -> None:
        """Stop a process cleanly, as in a rolling restart or a scale-down."""
        self.harmed(f"stop {name}")
        self._may_end[name] = {0}
        started = time.monotonic()
        code = await asyncio.to_thread(self.run.stop, name)
        took_s = time.monotonic() - started
        if code or took_s > STOP_LIMIT_S:
            wrong = self.problems if code else self.slow
            wrong.append(f"{name} stopped with {code} after {took_s:.1f} s: {self.last_line(name)}")

    async def suspend(self, name: str, seconds: float) -> None:
        """SIGSTOP, then SIGCONT after some time. Beyond the session, the process is a zombie and may exit with 75."""
        self.harmed(f"SIGSTOP {name}")
        since_ms = _now_ms()
        self.run.workers[name].send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.run.workers[name].send_signal(signal.SIGCONT)
        self.readiness.away([name], "SIGSTOP", since_ms, _now_ms())

    @contextlib.contextmanager
    def without_broker(self, what: str) -> Iterator[None]:
        """Record a broker outage. If it exceeds the processes' response timeout, all of them must become not ready."""
        self.harmed(what)
        since_ms, names = _now_ms(), self.readiness.running()
        yield
        if _now_ms() - since_ms > _UNANSWERED_MS:
            self.readiness.away(names, what, since_ms, _now_ms())

    def may_end(self, name: str, code: int) -> None:
        """Accept this exit code as part of the row."""
        self._may_end.setdefault(name, set()).add(code)

    def harmed(self, what: str) -> None:
        """Record a fault, and whether work was in flight."""
        self.harms.append(Harm(what, _now_ms(), not self.feed.done))

    async def watch(self) -> None:
        """Act as a supervisor until cancelled: restart processes that exit with 75. Any other exit is a problem, except
        one that a fault may cause."""
        while True:
            for name, process in list(self.run.workers.items()):
                code = process.poll()
                if code is None or code in self._may_end.get(name, ()):
                    continue
                unreached = self.starts_without_broker and _UNREACHED.search(self.last_line(name))
                if code == AGAIN or (code == 1 and unreached):
                    self.restarts += 1
                    if (line := self._without_reason(name)) is not None:
                        self.problems.append(f"{name} ended with {code} and gave no reason on its last line: {line}")
                    self.run.start(name, program=PROGRAM, **self._how[name])
                else:
                    self._may_end.setdefault(name, set()).add(code)
                    self.problems.append(f"{name} ended with {code}: {self.last_line(name)}")
            await asyncio.sleep(_POLL_S)

    # Observing processes

    async def logged(self, name: str, words: str, *, wait_s: float = _WAIT_S) -> None:
        """Wait for a pattern in the process's log since its last start."""
        deadline = time.monotonic() + wait_s
        while not re.search(words, self.log_of(name)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} has not logged {words!r} in {wait_s:.0f} s: {self.last_line(name)}")
            await asyncio.sleep(_POLL_S)

    def log_of(self, name: str) -> str:
        """Return the log since the last start of the process."""
        return self.run.log_of(name)[self._read_from.get(name, 0) :]

    def last_line(self, name: str) -> str:
        """Return the last line of the log."""
        return (self.run.log_of(name).strip().splitlines() or ["(nothing)"])[-1]

    def _without_reason(self, name: str) -> str | None:
        """Return the last line of an exited process unless it names a reason."""
        line = self.last_line(name)
        return None if " ERROR " in line and "Traceback" not in self.log_of(name) else line

    async def commit(self, topic: Topic = CHANGELOG) -> None:
        """Wait for the next transaction that writes to a topic."""
        consumer = AIOKafkaConsumer(
            **self.run.settings.connection(), isolation_level="read_committed", auto_offset_reset="latest"
        )
        await consumer.start()
        try:
            count = 1 if topic.partitions is Partitions.ONE else self.run.settings.partitions
            tps = [TopicPartition(name_of(topic, self.run.settings), number) for number in range(count)]
            consumer.assign(tps)
            await consumer.seek_to_end(*tps)
            deadline = time.monotonic() + _WAIT_S
            while not await consumer.getmany(timeout_ms=200):
                if time.monotonic() > deadline:
                    raise AssertionError(f"nothing was committed to {tps[0].topic} in {_WAIT_S:.0f} s")
        finally:
            await consumer.stop()

    async def a_while(self, least_s: float = 0.2, most_s: float = 1.2) -> None:
        """Wait for a seeded random time."""
        await asyncio.sleep(self.rng.uniform(least_s, most_s))

    def _start(self, name: str, role: str, static: bool, failpoint: str, **more: str) -> None:
        how = {"MATRIX_ROLE": role, **self.common, **more}
        if static:
            how["CHURN_KAFKA_GROUP_INSTANCE_ID"] = name
        if self.poison:
            how["MATRIX_POISON"] = "1"
        if self.sabotage:
            how["MATRIX_SABOTAGE"] = self.sabotage
        self._how[name] = how
        log = self.run.directory / f"{name}.log"
        self._read_from[name] = len(log.read_text()) if log.exists() else 0
        self._may_end.pop(name, None)
        if failpoint:
            self._may_end[name] = {-signal.SIGKILL}
            how = {**how, "CHURN_FAILPOINT": failpoint}
        self.run.start(name, program=PROGRAM, **how)
        self.readiness.away([name], f"its start as a {role}", _now_ms(), _now_ms() + _START_MS)


def _now_ms() -> int:
    return int(time.time() * 1000)
