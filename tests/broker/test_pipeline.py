"""From events to scores and labels through a real broker: equal to the fold offline, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from harness import Run, scenario

from models.backtest import Backtest, MemoryStore
from models.definition import ChurnDefinition
from models.duration import rfc3339
from models.event import Event, decode
from models.label import label_value, read_label
from models.model import Model
from models.partition import Entry, Partition
from models.primitives import DAY_MS
from models.scorebook import ScoreBook
from models.simulation import Settings as Population
from models.simulation import Simulation
from streams.cli.publish import send
from streams.dead_letters import DeadLetter
from streams.learner import ModelLearner
from streams.model_reader import LABELS_OFFSET_HEADER, ModelReader
from streams.partitioner import partition_of
from streams.processor import FORWARDED, SPACE
from streams.topics import CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, MODEL, SCORES, name_of
from streams.trainer_loop import TrainerLoop

PRODUCT = Path(__file__).with_name("product.py")
PARTITIONS = 2
EVENTS_MAX = 8_000
DRAIN_TIMEOUT_S = 60.0

# Weeks instead of months, so that many labels mature within the events of the test.
CHURN = """
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.inactivity]
not_performed = ["*"]
for = "8d"
if_active_in = "8d"
[label]
primary = ["left", "inactivity"]
horizon = "8d"
grace = "1d"
[snapshot]
every = "3d"
"""
DEFINITION = ChurnDefinition.parse(CHURN)

BROKEN = (
    b"not json",
    b"[1]",
    b'"text"',
    b'{"type":"track","userId":"u"}',
    b'{"type":"page"}',
    b'{"type":"page","userId":""}',
    b'{"type":"dance","userId":"u","timestamp":"2024-01-02T00:00:00Z"}',
    b'{"type":"page","userId":"u","timestamp":"yesterday"}',
    b'{"type":"page","userId":"u","properties":[]}',
    b'{"specversion":"1.0","type":"page"}',
    b"[" * 100,
    b'{"type":"page","userId":"\xff"}',
)


@lru_cache(maxsize=1)
def lines() -> tuple[bytes, ...]:
    simulation = Simulation(Population(customers=80, days=60, seed=7))
    found = tuple(event.value for event in simulation.events())[:EVENTS_MAX]
    assert len(found) == EVENTS_MAX
    return found


@lru_cache(maxsize=1)
def snapshot() -> bytes:
    """A model that has learned from other customers."""
    model = Model(SPACE)
    simulation = Simulation(Population(customers=60, days=40, seed=8))
    run = Backtest(DEFINITION, model, 1, partition_of)
    for _ in run.run(event for e in simulation.events() if isinstance(event := decode(e.value, (), None), Event)):
        pass
    assert model.labels > 200
    return model.snapshot()


class Fold(NamedTuple):
    """What the offline fold of one partition gives."""

    records: dict[bytes, bytes]
    scores: list[tuple[bytes, bytes]]
    labels: list[bytes]


def offline(run: Run, number: int, entries: Sequence[Entry]) -> Fold:
    """The same fold by the backtest's store, a day at a time, as a backtest cuts it."""
    store = MemoryStore()
    scorer = Model.restore_scorer(snapshot(), SPACE)
    partition = Partition(DEFINITION, store, scorer)
    book = ScoreBook(DEFINITION, name_of(EVENTS, run.settings), number)
    days: dict[int, list[Entry]] = defaultdict(list)
    newest = 0
    for entry in entries:  # by the partition's clock: events may be late
        newest = max(newest, entry.event.time_ms // DAY_MS)
        days[newest].append(entry)
    scores, labels = [], []
    for day in days.values():
        effects = partition.process(day)
        told, histories = book.tell(effects, store, scorer.trust)
        scores += [(one.customer, one.value) for one in told]
        labels += [label_value(example) for example in effects.examples]
        store.apply({**effects.changes, **histories})
    return Fold(store.records, scores, labels)


async def read(run: Run, topic: str) -> list[Any]:
    """Everything committed in a topic, as records."""
    consumer = AIOKafkaConsumer(
        **run.settings.connection(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(tps)
        end = await consumer.end_offsets(tps)
        found: list[Any] = []
        while not all([await consumer.position(tp) >= end[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=100, max_records=20_000)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def entries_of(run: Run) -> dict[int, list[Entry]]:
    """What each partition has to apply, in its order; that is what stands at home in the events topic."""
    found: dict[int, list[Entry]] = {number: [] for number in range(PARTITIONS)}
    for record in await read(run, name_of(EVENTS, run.settings)):
        event = decode(record.value, record.headers, None)
        if isinstance(event, Event) and partition_of(event.customer.encode(), PARTITIONS) == record.partition:
            found[record.partition].append(Entry(record.offset, event))
    return found


async def drained(run: Run, events: int) -> dict[int, list[Entry]]:
    """Wait until the outputs are those of all events; returns the events of each partition."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while time.monotonic() < deadline:
        entries = await entries_of(run)
        if sum(map(len, entries.values())) == events:
            last = {number: entries[number][-1].event for number in entries}
            changelog = await read(run, name_of(CHANGELOG, run.settings))
            keys = {(r.partition, r.key) for r in changelog[-20_000:] if r.value is not None}
            wanted = sum(len(offline(run, n, e).scores) for n, e in entries.items())
            scores = await read(run, name_of(SCORES, run.settings))
            home = all((n, b"c" + event.customer.encode()) in keys for n, event in last.items())
            if home and len(scores) >= wanted:
                return entries
        await asyncio.sleep(0.5)
    raise AssertionError(f"not all done after {DRAIN_TIMEOUT_S:.0f} s: " + run.log_of("w0")[-2000:])


async def verdict(run: Run, events: int) -> None:
    """Every profile, pending snapshot, score and training example is that of the offline fold, byte for byte."""
    entries = await drained(run, events)
    folds = {number: offline(run, number, entries[number]) for number in entries}
    changelog: dict[int, dict[bytes, bytes]] = {number: {} for number in folds}
    for record in await read(run, name_of(CHANGELOG, run.settings)):
        if record.key[:1] == b"\0":
            continue
        if record.value is None:
            changelog[record.partition].pop(record.key, None)
        else:
            changelog[record.partition][record.key] = record.value
    scores: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in folds}
    for record in await read(run, name_of(SCORES, run.settings)):
        scores[record.partition].append((record.key, record.value))
    for number, fold in folds.items():
        assert scores[number] == fold.scores
        assert changelog[number].keys() == fold.records.keys()
        assert changelog[number] == fold.records
    labels = [record.value for record in await read(run, name_of(LABELS, run.settings))]
    assert Counter(labels) == Counter(label for fold in folds.values() for label in fold.labels)
    assert len(labels) > 200
    assert sum(read_label(label).label for label in labels) > 20


async def give_model(run: Run) -> None:
    async with AIOKafkaProducer(**run.settings.connection()) as producer:
        key = run.settings.model_name.encode()
        headers = [(LABELS_OFFSET_HEADER, b"0")]
        await producer.send_and_wait(name_of(MODEL, run.settings), snapshot(), key=key, headers=headers)


def pipeline(new_run: Callable[..., Run], tmp_path: Path, **changes: object) -> Run:
    (tmp_path / "churn.toml").write_text(CHURN)
    return new_run(partitions=PARTITIONS, config=str(tmp_path / "churn.toml"), **changes)


def test_every_profile_score_and_label_equals_the_fold_offline(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: 1 % broken input becomes dead letters byte for byte, 1 % in the wrong partition is forwarded once; all else
    is the fold that a backtest does."""

    async def body(run: Run) -> None:
        dice, topic, broken, astray = random.Random(3), name_of(EVENTS, run.settings), [], 0
        await give_model(run)
        run.start("w0", program=PRODUCT)
        async with AIOKafkaProducer(**run.settings.connection(), linger_ms=5) as producer:
            for number, line in enumerate(lines()):
                event = decode(line, (), None)
                assert isinstance(event, Event)
                home = partition_of(event.customer.encode(), PARTITIONS)
                if number % 100 == 17:
                    home, astray = 1 - home, astray + 1
                await producer.send(topic, line, key=event.customer.encode(), partition=home)
                if number % 100 == 3:
                    value, key = BROKEN[len(broken) % len(BROKEN)], dice.choice((None, b"\xfe key", b"u"))
                    headers = [("trace", b"\x00\xff"), ("n", b"%d" % number)]
                    broken.append((key, value, tuple(headers)))
                    await producer.send(topic, value, key=key, partition=number % 2, headers=headers)
            # marked, and wrong all the same: somebody counts partitions differently
            lost = [line for line in lines()[:50] if _home(line) == 0]
            for line in lost:
                broken.append((b"k", line, ((FORWARDED, b"1@0"),)))
                await producer.send(topic, line, key=b"k", partition=1, headers=[(FORWARDED, b"1@0")])
        await verdict(run, len(lines()))
        letters = [DeadLetter.of(record) for record in await read(run, name_of(DEAD_LETTERS, run.settings))]
        assert Counter((d.key, d.value, d.headers) for d in letters) == Counter(broken)
        reasons = Counter(letter.reason for letter in letters)
        assert reasons["misrouted"] == len(lost) > 5
        assert reasons["not_json"] > 10
        marked = [r for r in await read(run, topic) if FORWARDED in dict(r.headers)]
        assert len(marked) == astray + len(lost)
        assert run.stop("w0") == 0

    scenario(pipeline(new_run, tmp_path), body)


def test_kill_9_in_mid_run_changes_nothing(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: three kill -9 of the worker while events arrive; profiles, scores and labels as if nothing had happened."""

    async def body(run: Run) -> None:
        await give_model(run)
        publishing = asyncio.create_task(send(run.settings, lines(), rate=700))
        run.start("w0", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        for life in range(1, 4):
            before = len(await read(run, name_of(SCORES, run.settings)))
            while len(await read(run, name_of(SCORES, run.settings))) <= before:
                await asyncio.sleep(0.1)
            assert not publishing.done(), "killed after the work: the test proved nothing"
            run.kill(f"w{life - 1}")
            run.start(f"w{life}", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        assert await publishing == (len(lines()), Counter())
        await verdict(run, len(lines()))
        assert run.stop("w3") == 0

    scenario(pipeline(new_run, tmp_path), body)


def test_a_worker_that_joins_and_leaves_changes_nothing(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: a second worker comes and leaves twice, the second time without a word; all is as if it had not."""

    async def body(run: Run) -> None:
        await give_model(run)
        publishing = asyncio.create_task(send(run.settings, lines(), rate=700))
        run.start("w0", program=PRODUCT)
        for name in ("w1", "w2"):
            run.start(name, program=PRODUCT)
            while "took over" not in run.log_of(name):
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            assert not publishing.done(), "joined after the work: the test proved nothing"
            if name == "w1":
                assert run.stop(name) == 0
            else:
                run.kill(name)
        await publishing
        await verdict(run, len(lines()))
        assert run.stop("w0") == 0

    scenario(pipeline(new_run, tmp_path), body)


def test_a_silent_customer_is_scored_once_at_the_deadline(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: with no further event, not before the deadline, not twice, also over a restart: one event of two days ago
    less 4.5 s, and a worker on the wall's clock."""

    async def body(run: Run) -> None:
        due_ms = int(time.time() * 1000) + 4_500
        event = orjson.dumps({"type": "page", "userId": "quiet", "timestamp": (due_ms - 2 * DAY_MS) / 1000})
        await send(run.settings, [event])
        run.start("w0", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")

        async def scores() -> dict[str, list[Any]]:
            by_trigger = defaultdict(list)
            for record in await read(run, name_of(SCORES, run.settings)):
                by_trigger[orjson.loads(record.value)["trigger"]].append(record)
            return by_trigger

        while "silence" not in (found := await scores()):
            assert time.time() * 1000 < due_ms + 10_000, run.log_of("w0")
            await asyncio.sleep(0.1)
        [first], [silence] = found["event"], found["silence"]
        assert first.timestamp < due_ms <= silence.timestamp < due_ms + 2_000
        value = orjson.loads(silence.value)
        assert value["lineage"]["offset"] is None
        assert value["scored_at"] == rfc3339(due_ms)
        run.kill("w0")
        run.start("w1", program=PRODUCT, CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        while "took over" not in run.log_of("w1"):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        assert len((await scores())["silence"]) == 1
        assert run.stop("w1") == 0

    scenario(pipeline(new_run, tmp_path, clock="wall"), body)


def test_the_trainer_is_what_the_labels_in_their_order_make_of_it(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: the published model is the labels topic learned in its order, through a restart, and a worker takes it."""

    async def body(run: Run) -> None:
        run.start("w0", program=PRODUCT)
        await send(run.settings, lines()[: EVENTS_MAX // 2])
        stop = asyncio.Event()
        training = asyncio.create_task(TrainerLoop(run.settings, ModelLearner(run.settings)).run(stop))
        await _learned(run, 50)
        stop.set()
        await training
        stop = asyncio.Event()
        training = asyncio.create_task(TrainerLoop(run.settings, ModelLearner(run.settings)).run(stop))
        while not re.search(r"scoring with model [1-9]", run.log_of("w0")):
            await asyncio.sleep(0.1)
        await send(run.settings, lines()[EVENTS_MAX // 2 :])
        await _labels_of_another_model(run)
        assert run.stop("w0") == 0
        labels = await read(run, name_of(LABELS, run.settings))
        await _learned(run, len(labels))
        stop.set()
        await training
        model = Model(SPACE)
        for record in labels:
            example = read_label(record.value)
            x, m = np.frombuffer(example.features), np.frombuffer(example.population)
            day = example.release_ms // DAY_MS
            model.learn(x, m, bool(example.label), day, example.probability, example.members)
        newest = await _newest(run)
        assert newest is not None
        assert newest.value == model.snapshot()

    scenario(pipeline(new_run, tmp_path, snapshot_interval_ms=500), body)


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


async def _labels_of_another_model(run: Run) -> None:
    """Wait until examples mature that were frozen with a model that had learned."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while time.monotonic() < deadline:
        if len({read_label(record.value).model for record in await read(run, name_of(LABELS, run.settings))}) > 1:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"the worker swapped no model within {DRAIN_TIMEOUT_S:.0f} s")


async def _learned(run: Run, labels: int) -> None:
    """Wait until a snapshot stands for so many labels."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while time.monotonic() < deadline:
        newest = await _newest(run)
        if newest is not None and Model.restore(newest.value, SPACE).labels >= labels:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"no snapshot of {labels} labels after {DRAIN_TIMEOUT_S:.0f} s")
