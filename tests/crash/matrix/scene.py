"""One run: processes of the product on topics of their own, what was done to them, and when."""

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

PROGRAM = Path(__file__).with_name("process.py")
# A supervisor would start these again; any other end is a fault.
AGAIN = 75
# A process is ready for 10 s after its broker's last answer, and asks every few seconds.
_UNANSWERED_MS = 15_000
# A clean stop closes within 9 s by itself.
STOP_LIMIT_S = 10.0
_WAIT_S = 60.0
_POLL_S = 0.05
# A process needs longer than that to say that it is ready.
_START_MS = 2_000
TRAINED = "trained"


@dataclass
class Harm:
    """What was done, when (ms), and whether there was work left."""

    what: str
    at_ms: int
    in_flight: bool


@dataclass
class Scene:
    """What a row of the matrix plays on.

    Attributes:
        quick: a few harms of each kind only.
        sabotage: a fault built into the workers, which the verdict has to see.
        harms: everything that was done.
        problems: what must not happen and did.
        restarts: processes that ended with 75 and were started again.
        common: variables of every process from now on.
        cleanups: to be called when every process has ended.
        archive: records of the events topic that retention has deleted since.
        lost: of a partition, the offsets [first, last) that were deleted before they were applied.
        bereft_ms: when one of two workers was killed, if it was.
        readiness: what the processes answer meanwhile.
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
    restarts: int = 0
    trainers: bool = False
    common: dict[str, str] = field(default_factory=dict)
    cleanups: list[Callable[[], None]] = field(default_factory=list)
    archive: list[Any] = field(default_factory=list)
    lost: dict[int, tuple[int, int]] = field(default_factory=dict)
    bereft_ms: int | None = None

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.run)
        self._read_from: dict[str, int] = {}
        self._how: dict[str, dict[str, str]] = {}
        self._may_end: dict[str, set[int]] = {}

    # Processes

    async def worker(
        self, name: str, *, static: bool = True, wait: bool = True, failpoint: str = "", **more: str
    ) -> None:
        """Start a worker, under its own name in the group if `static`; wait until it owns something."""
        self._start(name, "worker", static, failpoint, **more)
        if wait:
            await self.said(name, "took over")

    async def trainer(self, name: str, *, static: bool = True, wait: bool = True, failpoint: str = "") -> None:
        """Start a trainer, which publishes under a model name that no worker scores with: the oracle stays exact."""
        self.trainers = True
        self._start(name, "trainer", static, failpoint, CHURN_MODEL_NAME=TRAINED)
        if wait:
            await self.said(name, "leads from")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.harmed(f"kill -9 {name}")
        self._may_end[name] = {-signal.SIGKILL}
        self.run.kill(name)

    async def died(self, name: str) -> None:
        """Wait until its failpoint has ended it."""
        self._may_end[name] = {-signal.SIGKILL}
        code = await asyncio.to_thread(self.run.workers[name].wait, _WAIT_S)
        self.harmed(f"failpoint of {name}")
        if code != -signal.SIGKILL:
            self.problems.append(f"{name} ended with {code} instead of at its failpoint: {self.last_line(name)}")

    async def refused(self, name: str, code: int, words: str, *, role: str = "worker", **more: str) -> None:
        """Start a process that has to end by itself, with this exit code and one line that says why."""
        self.harmed(f"start of {name} refused")
        more = {"CHURN_MODEL_NAME": TRAINED, **more} if role == "trainer" else more
        self._start(name, role, True, "", **more)
        await self.ended(name, code, words)

    async def ended(self, name: str, code: int, words: str) -> None:
        """Wait until it has ended by itself, with this exit code and one line that says why."""
        self._may_end[name] = {code}
        found = await asyncio.to_thread(self.run.workers[name].wait, _WAIT_S)
        wrong = found != code or self._without_reason(name) is not None
        if wrong or not re.search(words, self.last_line(name)):
            self.problems.append(f"{name} ended with {found} instead of {code}, {words!r}: {self.last_line(name)}")

    async def position(self, number: int) -> int:
        """The next offset of a partition's input, as the changelog has it."""
        records = await read(self.run, name_of(CHANGELOG, self.run.settings))
        mine = [r.value for r in records if r.partition == number and r.key == position.POSITION_KEY]
        return position.decode_position(mine[-1]).next_offset if mine else 0

    async def stop(self, name: str) -> None:
        """A clean stop, as a rolling restart or a scale-down does it."""
        self.harmed(f"stop {name}")
        self._may_end[name] = {0}
        started = time.monotonic()
        code = await asyncio.to_thread(self.run.stop, name)
        took_s = time.monotonic() - started
        if code or took_s > STOP_LIMIT_S:
            self.problems.append(f"{name} stopped with {code} after {took_s:.1f} s: {self.last_line(name)}")

    async def suspend(self, name: str, seconds: float) -> None:
        """SIGSTOP for so long, then SIGCONT: a zombie if that is longer than the session. It may end with 75."""
        self.harmed(f"SIGSTOP {name}")
        since_ms = _now_ms()
        self.run.workers[name].send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.run.workers[name].send_signal(signal.SIGCONT)
        self.readiness.away([name], "SIGSTOP", since_ms, _now_ms())

    @contextlib.contextmanager
    def without_broker(self, what: str) -> Iterator[None]:
        """Note the harm, and that every process has to say so if that takes longer than they wait for an answer."""
        self.harmed(what)
        since_ms, names = _now_ms(), self.readiness.running()
        yield
        if _now_ms() - since_ms > _UNANSWERED_MS:
            self.readiness.away(names, what, since_ms, _now_ms())

    def may_end(self, name: str, code: int) -> None:
        """This end is a part of the row."""
        self._may_end.setdefault(name, set()).add(code)

    def harmed(self, what: str) -> None:
        """Note it, and whether there was work left."""
        self.harms.append(Harm(what, _now_ms(), not self.feed.done))

    async def watch(self) -> None:
        """Until cancelled, be the supervisor: start again what ended with 75; any other end is a fault."""
        while True:
            for name, process in list(self.run.workers.items()):
                code = process.poll()
                if code is None or code in self._may_end.get(name, ()):
                    continue
                if code == AGAIN:
                    self.restarts += 1
                    if (said := self._without_reason(name)) is not None:
                        self.problems.append(f"{name} ended with {code} and gave no reason on its last line: {said}")
                    self.run.start(name, program=PROGRAM, **self._how[name])
                else:
                    self._may_end.setdefault(name, set()).add(code)
                    self.problems.append(f"{name} ended with {code}: {self.last_line(name)}")
            await asyncio.sleep(_POLL_S)

    # What can be seen of them

    async def said(self, name: str, words: str, *, wait_s: float = _WAIT_S) -> None:
        """Wait for words in its log since its last start."""
        deadline = time.monotonic() + wait_s
        while not re.search(words, self.log_of(name)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} has not said {words!r} in {wait_s:.0f} s: {self.last_line(name)}")
            await asyncio.sleep(_POLL_S)

    def log_of(self, name: str) -> str:
        """Since its last start."""
        return self.run.log_of(name)[self._read_from.get(name, 0) :]

    def last_line(self, name: str) -> str:
        """The last thing that it said."""
        return (self.run.log_of(name).strip().splitlines() or ["(nothing)"])[-1]

    def _without_reason(self, name: str) -> str | None:
        """The last line of a process that has ended by itself, unless it says why."""
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
        """A seeded time."""
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
