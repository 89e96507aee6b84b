"""The trainer: its state always equals learning each label once and in order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streams.engine.contract import Output
from streams.errors import InputReplaced, SnapshotRefused
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader, PublishedSnapshot
from streams.topics import LABELS, METRICS, MODEL, name_of
from streams.training.trainer import SkipLabel, TrainerLoop, ignore
from tests.broker.in_process import stopped
from tests.broker.recreated import recreate
from tests.crash.harness import Run, scenario
from tests.waiting import until


class Order:
    """Learns only the order of its labels."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.learned: list[int] = []
        self.restored: list[int] = []

    def restore(self, snapshot: bytes | None) -> None:
        if snapshot == b"bad":
            raise SnapshotRefused("it is bad")
        self.learned = orjson.loads(snapshot) if snapshot is not None else []
        self.restored.append(len(self.learned))

    def learn(self, labels: list[bytes], skip: SkipLabel = ignore) -> list[Output]:
        self.learned += [int(label) for label in labels]
        return [Output(name_of(METRICS, self.run.settings), 0, b"learned", b"%d" % len(self.learned))]

    def snapshot(self) -> bytes:
        return orjson.dumps(self.learned)


async def teach(run: Run, first: int, count: int) -> None:
    async with AIOKafkaProducer(**run.settings.connection()) as producer:
        for number in range(first, first + count):
            await producer.send(name_of(LABELS, run.settings), b"%d" % number, key=b"customer")


async def newest(run: Run) -> PublishedSnapshot | None:
    reader = ModelReader(run.settings, lambda snapshot: None)
    try:
        return await reader.read_to_end()
    finally:
        await reader.stop()


async def published(run: Run, labels: int) -> PublishedSnapshot:
    async def found() -> PublishedSnapshot | None:
        snapshot = await newest(run)
        return snapshot if snapshot is not None and len(orjson.loads(snapshot.value)) >= labels else None

    snapshot = await until(f"a snapshot of {labels} labels", found)
    assert snapshot is not None
    return snapshot


def test_restarted_trainer_continues_at_its_snapshot(new_run: Callable[..., Run]) -> None:
    """Rule: snapshot and labels offset are one record, so unpublished labels are learned again."""

    async def body(run: Run) -> None:
        await teach(run, 0, 500)
        first = Order(run)
        loop = asyncio.create_task(TrainerLoop(run.settings, first).run(asyncio.Event()))
        await published(run, 500)
        await teach(run, 500, 100)
        await until("600 labels", lambda: len(first.learned) >= 600, context=lambda: len(first.learned))
        loop.cancel()  # equals a dead trainer: nothing more is published
        with pytest.raises(asyncio.CancelledError):
            await loop
        stop = asyncio.Event()
        second = Order(run)
        loop = asyncio.create_task(TrainerLoop(run.settings, second).run(stop))
        await teach(run, 600, 50)
        snapshot = await published(run, 650)
        await stopped(stop, loop)
        assert orjson.loads(snapshot.value) == list(range(650))
        assert snapshot.labels_offset == 650
        assert second.restored[0] in (500, 600)

    scenario(new_run(snapshot_interval_ms=2_000), body)


def test_a_trainer_starts_from_the_newest_snapshot_that_it_can_use(new_run: Callable[..., Run]) -> None:
    """Rule: snapshots of another program are skipped, and the trainer replaces them at once. Without any that
    it can use, it learns from the first label."""

    async def body(run: Run) -> None:
        await teach(run, 0, 50)
        first, second, stop = Order(run), Order(run), asyncio.Event()
        loop = asyncio.create_task(TrainerLoop(run.settings, first).run(stop))
        await published(run, 50)
        await stopped(stop, loop)
        topic, key = name_of(MODEL, run.settings), run.settings.model_name.encode()
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            for value, offset in ((b"bad", b"50"), (b"[]", b"9" * 15), (b"[]", b"x")):
                headers = [(LABELS_OFFSET_HEADER, offset)]
                await producer.send_and_wait(topic, value, key=key, partition=0, headers=headers)
            await producer.send_and_wait(topic, b"bad", key=b"another", partition=0, headers=headers)
        trainer, stop = TrainerLoop(run.settings, second), asyncio.Event()
        loop = asyncio.create_task(trainer.run(stop))
        snapshot = await published(run, 50)
        await stopped(stop, loop)
        assert (snapshot.labels_offset, orjson.loads(snapshot.value)) == (50, list(range(50)))
        assert (second.restored[-1], trainer.snapshots_skipped) == (50, 3)
        third, stop = Order(run), asyncio.Event()
        another = dataclasses.replace(run.settings, model_name="another")
        loop = asyncio.create_task(TrainerLoop(another, third).run(stop))
        await until("50 labels", lambda: len(third.learned) == 50)
        await stopped(stop, loop)
        assert third.restored == [0]

    scenario(new_run(snapshot_interval_ms=60_000), body)


def test_one_trainer_leads_and_a_standby_takes_over(new_run: Callable[..., Run]) -> None:
    """Rule: one of two trainers learns; when it leaves, the other starts from its last snapshot."""

    async def body(run: Run) -> None:
        await teach(run, 0, 100)
        learners, stops, loops, tasks = [], [], [], []
        for _ in range(2):
            learners.append(Order(run))
            stops.append(asyncio.Event())
            loops.append(TrainerLoop(run.settings, learners[-1]))
            tasks.append(asyncio.create_task(loops[-1].run(stops[-1])))
        await published(run, 100)
        await until("one leader", lambda: sum(loop.leading for loop in loops) == 1)
        leader = 0 if loops[0].leading else 1
        await teach(run, 100, 100)
        await published(run, 200)
        stops[leader].set()
        await tasks[leader]
        await teach(run, 200, 100)
        snapshot = await published(run, 300)
        stops[1 - leader].set()
        await tasks[1 - leader]
        assert orjson.loads(snapshot.value) == list(range(300))
        assert loops[1 - leader].learned_offset == 300
        metrics = [value for _, _, value in await run.read(name_of(METRICS, run.settings))]
        assert metrics[-1] == b"300"

    scenario(new_run(snapshot_interval_ms=200), body)


def test_labels_topic_that_was_created_again_is_refused(new_run: Callable[..., Run]) -> None:
    """Rule: the snapshot's offset exists in the new topic too, and belongs to the former one."""

    async def body(run: Run) -> None:
        await teach(run, 0, 50)
        stop = asyncio.Event()
        loop = asyncio.create_task(TrainerLoop(run.settings, Order(run)).run(stop))
        snapshot = await published(run, 50)
        assert len(bytes.fromhex(snapshot.labels_topic.decode())) == 16
        await stopped(stop, loop)
        await recreate(run.settings, name_of(LABELS, run.settings), 1)
        await teach(run, 0, 100)
        with pytest.raises(InputReplaced, match="delete the model topic to start from the labels of the new one"):
            await TrainerLoop(run.settings, Order(run)).run(asyncio.Event())

    scenario(new_run(snapshot_interval_ms=200), body)
