"""From events to alerts through a real broker: outputs equal the offline fold, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import random
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.duration import rfc3339
from models.events.event import Event, decode
from models.experience import aggregates as experience_sums
from models.experience import report as experience_report
from models.labels.codec import read_label
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.mergeable import DAY_MS
from models.retention.aggregates import Sums, add, is_sums, read_block
from models.retention.report import as_data, build
from models.simulation import Simulation, SimulationSettings
from streams.kafka.control_signature import ControlSignatures
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader
from streams.kafka.partitioner import partition_of
from streams.scoring.dead_letters import DeadLetter
from streams.scoring.event_router import FORWARDED
from streams.topics import ALERTS, DEAD_LETTERS, EVENTS, LABELS, MODEL, SCORES, name_of
from streams.training.learner import ModelLearner
from streams.training.trainer import TrainerLoop
from tests.broker.commands import call
from tests.broker.in_process import stopped
from tests.broker.oracle import CHURN, Fold, drained, equal, equal_by_named_model, read
from tests.crash.harness import Run, scenario
from tests.paths import SHARED_DATA
from tests.processes import children_of
from tests.waiting import until

PRODUCT = Path(__file__).with_name("product.py")
REAL_LOG = SHARED_DATA / "oulad-2013j.jsonl.gz"
PARTITIONS = 2
DELETION = "User Deletion Requested"

# The real log starts with months of registrations without activity, so most snapshots would fall into them.
REAL_CHURN = CHURN.replace('every = "3d"', 'every = "28d"').replace('"8d"', '"14d"')
# The workers that are killed, of five that join. A kill is noticed after the session timeout of six seconds.
KILLED = {"simulated": (2,), "oulad": (2, 4, 5)}
CHURN_OF = {"simulated": CHURN, "oulad": REAL_CHURN}

BROKEN = (
    b"not json",
    b"[1]",
    b'"text"',
    b'{"type":"track","userId":"u"}',
    b'{"type":"page"}',
    b'{"type":"page","userId":""}',
    b'{"type":"page","userId":0,"timestamp":"2024-01-02T00:00:00Z"}',
    b'{"type":"dance","userId":"u","timestamp":"2024-01-02T00:00:00Z"}',
    b'{"type":"page","userId":"u","timestamp":"yesterday"}',
    b'{"type":"page","userId":"u","properties":[]}',
    b'{"specversion":"1.0","type":"page"}',
    b"[" * 100,
    b'{"type":"page","userId":"\xff"}',
    b"",
    None,
)

logs = pytest.mark.parametrize(
    "log",
    [
        "simulated",
        pytest.param("oulad", marks=pytest.mark.skipif(not REAL_LOG.exists(), reason="the shared log is not here")),
    ],
)


@lru_cache(maxsize=2)
def lines_of(log: str) -> tuple[bytes, ...]:
    """Return the first events of a log. Every fifth customer is anonymous, and some request deletion."""
    if log == "oulad":
        with gzip.open(REAL_LOG, "rb") as file:
            lines = [line.rstrip(b"\n") for line in itertools.islice(file, 50_000)]
    else:
        simulation = Simulation(SimulationSettings(customers=80, days=60, seed=7))
        lines = [event.value for event in itertools.islice(simulation.events(), 8_000)]
    found: list[bytes] = []
    for number, line in enumerate(lines):
        event = orjson.loads(line)
        if crc32(str(event["userId"]).encode()) % 5 == 0:
            event["anonymousId"] = event.pop("userId")
        found.append(orjson.dumps(event))
        if number % 1_000 == 500:
            who = {name: event[name] for name in ("userId", "anonymousId", "timestamp") if name in event}
            found.append(orjson.dumps({**who, "type": "track", "event": DELETION, "messageId": f"delete-{number}"}))
    return tuple(found)


@lru_cache(maxsize=1)
def snapshot() -> bytes:
    """Train a model on other customers."""
    model = Model(SPACE)
    simulation = Simulation(SimulationSettings(customers=60, days=40, seed=8))
    run = Backtest(ChurnDefinition.parse(CHURN), model, 1, partition_of)
    for _ in run.run(event for e in simulation.events() if isinstance(event := decode(e.value, (), None), Event)):
        pass
    assert model.labels > 200
    return model.snapshot()


async def give_model(run: Run) -> None:
    async with AIOKafkaProducer(**run.settings.connection()) as producer:
        key = run.settings.model_name.encode()
        headers = [(LABELS_OFFSET_HEADER, b"0")]
        await producer.send_and_wait(name_of(MODEL, run.settings), snapshot(), key=key, headers=headers)


def pipeline(new_run: Callable[..., Run], tmp_path: Path, text: str = CHURN, **changes: object) -> Run:
    (tmp_path / "churn.toml").write_text(text)
    return new_run(partitions=PARTITIONS, config=str(tmp_path / "churn.toml"), **changes)


class Feed:
    """Sends a log in shares, with every hundredth event in a wrong partition, and one broken record per hundred events.

    Each share is sent ever more slowly and never runs out, so that faults always hit work in flight.
    """

    def __init__(self, run: Run, log: str, *, shares: int) -> None:
        self.run, self.lines, self.shares = run, lines_of(log), shares
        self.given = 1
        self.sent = 0
        self.broken: list[tuple[Any, ...]] = []
        self.astray = self.misrouted = 0

    def next_share(self) -> None:
        """Send the rest, because all faults were injected."""
        assert self.sent < len(self.lines), "harmed after the work: the test proved nothing"
        self.given += 1

    async def publish(self) -> None:
        self._rng, topic = random.Random(3), name_of(EVENTS, self.run.settings)
        connection = self.run.settings.connection()
        async with AIOKafkaProducer(**connection, linger_ms=5, enable_idempotence=True) as producer:
            while self.sent < len(self.lines):
                left = len(self.lines) * self.given // self.shares - self.sent
                for _ in range(left if self.given >= self.shares else min(left - 1, 1 + left // 12)):
                    await self._send(producer, topic, self.sent, self.lines[self.sent])
                    self.sent += 1
                await asyncio.sleep(0.1)
            # marked as forwarded but in a wrong partition, as from a client with another partition count
            for line in [line for line in self.lines[:50] if _home(line) == 0]:
                self.misrouted += 1
                self.broken.append((b"k", line, ((FORWARDED, b"1@0"),)))
                await producer.send(topic, line, key=b"k", partition=1, headers=[(FORWARDED, b"1@0")])

    async def _send(self, producer: AIOKafkaProducer, topic: str, number: int, line: bytes) -> None:
        event = decode(line, (), None)
        assert isinstance(event, Event)
        home = partition_of(event.customer.encode(), PARTITIONS)
        if number % 100 == 17:
            home, self.astray = 1 - home, self.astray + 1
        signature = ControlSignatures(self.run.settings).sign(line) if event.is_control else []
        await producer.send(topic, line, key=event.customer.encode(), partition=home, headers=signature)
        if number % 100 == 3:
            value, key = BROKEN[len(self.broken) % len(BROKEN)], self._rng.choice((None, b"\xfe key", b"u"))
            key = key or (b"u" if value is None else key)  # aiokafka requires a key or a value
            headers = [("trace", b"\x00\xff"), ("n", b"%d" % number)]
            self.broken.append((key, value, tuple(headers)))
            await producer.send(topic, value, key=key, partition=number % 2, headers=headers)

    async def verdict(self) -> None:
        """Check that dead letters equal the broken records byte for byte, and misrouted events are forwarded once."""
        settings = self.run.settings
        letters = [DeadLetter.of(record) for record in await read(self.run, name_of(DEAD_LETTERS, settings))]
        twice = {place: n for place, n in Counter(letter.source for letter in letters).items() if n > 1}
        assert not twice, "a dead letter was written twice"
        assert Counter((d.key, d.value, d.headers) for d in letters) == Counter(self.broken)
        reasons = Counter(letter.reason for letter in letters)
        assert reasons["misrouted"] == self.misrouted > 0
        assert reasons["not_json"] > 10
        marked = [r for r in await read(self.run, name_of(EVENTS, settings)) if FORWARDED in dict(r.headers)]
        assert len(marked) == self.astray + self.misrouted


@logs
def test_outputs_equal_the_offline_fold_while_workers_join_leave_and_die(
    log: str, new_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Setup: a second worker joins and leaves five times, sometimes by kill -9. The process that renders scores for the
    first worker is killed.

    Rule: profiles, scores, alerts and examples equal those of a backtest byte for byte, and dead letters equal the
    broken records.
    """

    async def body(run: Run) -> None:
        await give_model(run)
        run.start("w0", program=PRODUCT)
        feed = Feed(run, log, shares=6)
        publishing, killed = asyncio.create_task(feed.publish()), 0
        await _logged(run, "w0", "scores are rendered in process")  # an earlier kill would precede its first request
        for number in range(1, 6):
            name, dies = f"w{number}", number in KILLED[log]
            run.start(name, program=PRODUCT, CHURN_EXPLAIN_PROCESS="off")  # it leaves before that process is ready
            await _logged(run, name, "took over")
            await asyncio.sleep(0.3)
            if dies:
                run.kill(name)
            else:
                assert run.stop(name) == 0
            killed += _kill_children(run, "w0")
            feed.next_share()
        await publishing
        folds = await equal(run, ChurnDefinition.parse(CHURN_OF[log]), snapshot())
        assert killed, "it was never there"
        assert "the worker computes it itself" in run.log_of("w0")
        await feed.verdict()
        life_tables = Counter(customer for fold in folds.values() for customer, value in fold.scores if value is None)
        assert life_tables.total() > sum(DELETION.encode() in line for line in feed.lines) > 5, (
            "others had just been silent"
        )
        await _retention(run, folds)
        await _experience(run, folds)
        labels = [read_label(label) for fold in folds.values() for label in fold.labels]
        assert len(labels) > 200
        assert sum(label.label for label in labels) > 20
        types = Counter(dict(headers)["ce_type"] for fold in folds.values() for _, _, headers in fold.alerts)
        assert {b"churn.alert.opened.v1", b"churn.alert.reminded.v1", b"churn.alert.resolved.v1"} <= types.keys()
        assert run.stop("w0") == 0

    scenario(pipeline(new_run, tmp_path, CHURN_OF[log], explain_process="on"), body)


def _kill_children(run: Run, name: str) -> int:
    """Kill -9 all children of a worker and return their number."""
    pids = children_of(run.workers[name].pid)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


@logs
def test_every_score_equals_that_of_the_model_version_it_names(
    log: str, new_run: Callable[..., Run], tmp_path: Path
) -> None:
    """Setup: two workers, and a trainer that is restarted during the run.

    Rule: profiles and frozen features equal those of the offline fold, every score and example equals that of the named
    snapshot, and the newest snapshot equals learning the labels in order.
    """

    async def body(run: Run) -> None:
        for name in ("w0", "w1"):
            run.start(name, program=PRODUCT)
        stop = asyncio.Event()
        training = asyncio.create_task(TrainerLoop(run.settings, ModelLearner(run.settings)).run(stop))
        feed = Feed(run, log, shares=2)
        publishing = asyncio.create_task(feed.publish())
        await _learned(run, 50)
        await stopped(stop, training)
        feed.next_share()
        stop = asyncio.Event()
        training = asyncio.create_task(TrainerLoop(run.settings, ModelLearner(run.settings)).run(stop))
        await publishing
        await drained(run)
        labels = await read(run, name_of(LABELS, run.settings))
        await _learned(run, len(labels))
        await stopped(stop, training)  # the comparison blocks the event loop, so a trainer would lose its session
        untaught = Model(SPACE).snapshot()
        published = [r.value for r in await read(run, name_of(MODEL, run.settings)) if b"/" in r.key]
        named = await equal_by_named_model(
            run,
            ChurnDefinition.parse(CHURN_OF[log]),
            untaught,
            {Model.restore_scorer(s, SPACE).version: s for s in [untaught, *published]},
        )
        assert len(named) > 1, "the workers swapped no model: the test proved nothing"
        model = Model(SPACE)
        for record in labels:
            example = read_label(record.value)
            x, m = np.frombuffer(example.features), np.frombuffer(example.population)
            day = example.release_ms // DAY_MS
            model.learn(x, m, bool(example.label), day, example.probability, example.members, example.involuntary)
        newest = await _newest(run)
        assert newest is not None
        assert newest.value == model.snapshot()
        assert [run.stop(name) for name in ("w0", "w1")] == [0, 0]

    scenario(pipeline(new_run, tmp_path, CHURN_OF[log], explain_process="on", snapshot_interval_ms=300), body)


def test_inactive_customer_gets_one_alert_at_the_deadline(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Setup: one event from two days ago less 5 s, and a worker on the wall clock. The threshold is between the scores
    before and after the inactivity.

    Rule: without another event, the alert opens exactly once, not before the deadline, and also after a restart.
    """

    async def body(run: Run) -> None:
        run.start("w0", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        await _logged(run, "w0", "took over")
        due_ms = int(time.time() * 1000) + 5_000
        event = orjson.dumps({"type": "page", "userId": "quiet", "timestamp": (due_ms - 2 * DAY_MS) / 1000})
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            home = partition_of(b"quiet", PARTITIONS)
            await producer.send_and_wait(name_of(EVENTS, run.settings), event, key=b"quiet", partition=home)

        async def scores() -> dict[str, list[Any]]:
            by_trigger = defaultdict(list)
            for record in await read(run, name_of(SCORES, run.settings)):
                by_trigger[orjson.loads(record.value)["trigger"]].append(record)
            return by_trigger

        async def silent() -> bool:
            return "silence" in await scores()

        await until("the score at the deadline", silent, context=lambda: run.log_of("w0"))
        found = await scores()
        [first], [silence] = found["event"], found["silence"]
        assert first.timestamp < due_ms <= silence.timestamp < due_ms + LATE_MS
        value = orjson.loads(silence.value)
        assert value["lineage"]["offset"] is None
        assert value["scored_at"] == rfc3339(due_ms)
        assert orjson.loads(first.value)["probability"] < SILENT < value["probability"]
        run.kill("w0")
        run.start("w1", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        await _logged(run, "w1", "took over")
        await asyncio.sleep(1.0)
        assert len((await scores())["silence"]) == 1
        [alert] = await read(run, name_of(ALERTS, run.settings))
        change = orjson.loads(alert.value)
        assert (alert.key, change["type"], change["time"]) == (b"quiet", "opened", rfc3339(due_ms))
        assert change["timing"]["trigger"] == "silence"
        assert due_ms <= alert.timestamp < due_ms + LATE_MS
        assert run.stop("w1") == 0

    text = CHURN.replace('enter = "top 10%"', f"enter = {SILENT}\nexit = {SILENT}").replace('"6h"', '"0d"')
    text = text.replace('every = "3d"', 'every = "365d"')  # no snapshot before the deadline
    scenario(pipeline(new_run, tmp_path, text, clock="wall"), body)


# Between the untrained model's scores of a customer with one page view: at once, and two days later.
SILENT = 0.06
# A deadline is acted on within a second on a quiet machine.
LATE_MS = 20_000


async def _retention(run: Run, folds: dict[int, Fold]) -> None:
    """Check that the command's figures are those of the sums of all partitions."""
    sums = Sums(int)
    for fold in folds.values():
        for key, record in fold.records.items():
            if is_sums(key):
                add(sums, read_block(key, record))
    report = build(sums, "plan")
    assert report is not None
    answer = await asyncio.to_thread(call, run, "retention", "--by", "plan", "--json")
    assert answer.exit_code == 0, answer.output
    assert orjson.loads(answer.output) == as_data(report)
    assert report.whole.use["month"][-1].active > 20


async def _experience(run: Run, folds: dict[int, Fold]) -> None:
    """Check the command's figures against the sums of all partitions, and `customer`'s goals against all customers."""
    sums: experience_sums.Sums = {}
    for number, fold in folds.items():
        for key, record in fold.records.items():
            if experience_sums.is_block(key):
                block = experience_sums.read_metric(experience_sums.metric_value(number, key, record))
                experience_sums.add(sums, *block)
    report = experience_report.build(sums, "stage")
    assert report is not None
    answer = await asyncio.to_thread(call, run, "experience", "--by", "stage", "--json")
    assert answer.exit_code == 0, answer.output
    assert orjson.loads(answer.output) == experience_report.as_data(report)
    assert report.whole.all.labels > 20
    [result] = [row for row in report.whole.goals if row.goal.startswith("result@")]
    assert result.customers > 5
    customer = next(
        customer.decode()
        for fold in folds.values()
        for customer, value in reversed(fold.scores)
        if value is not None and orjson.loads(value)["goals"][1]["reached"]
    )
    page = await asyncio.to_thread(call, run, "customer", customer)
    assert f"median of {result.customers} customers {result.median_days:.1f} days" in page.output


async def _logged(run: Run, name: str, words: str) -> None:
    await until(
        f"{words!r} in the log of {name}",
        lambda: re.search(words, run.log_of(name)),
        context=lambda: run.log_of(name),
    )


def _home(line: bytes) -> int:
    event = decode(line, (), None)
    assert isinstance(event, Event)
    return partition_of(event.customer.encode(), PARTITIONS)


async def _newest(run: Run) -> Any:
    reader = ModelReader(run.settings, lambda snapshot: None)
    try:
        return await reader.read_to_end()
    finally:
        await reader.stop()


async def _learned(run: Run, labels: int) -> None:
    """Wait until a snapshot has learned this many labels."""

    async def enough() -> bool:
        newest = await _newest(run)
        return newest is not None and Model.restore(newest.value, SPACE).labels >= labels

    await until(f"a snapshot of {labels} labels", enough, every_s=0.2)
