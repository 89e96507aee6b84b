"""The trainer dies, stands still and comes back: its state is always that of the labels in their order."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from streams.kafka.model_reader import ModelReader, PublishedSnapshot
from streams.topics import LABELS, MODEL, name_of
from tests.crash.harness import Run, scenario

TRAINER = Path(__file__).with_name("ordering.py")


async def teach(run: Run, labels: int, *, per_second: float) -> None:
    async with AIOKafkaProducer(**run.settings.connection(), enable_idempotence=True) as producer:
        for number in range(labels):
            await producer.send(name_of(LABELS, run.settings), b"%d" % number)
            await asyncio.sleep(10 / per_second if number % 10 == 0 else 0)


async def newest(run: Run) -> PublishedSnapshot | None:
    reader = ModelReader(run.settings, lambda snapshot: None)
    try:
        return await reader.read_to_end()
    finally:
        await reader.stop()


async def learned(run: Run, labels: int) -> PublishedSnapshot:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        snapshot = await newest(run)
        if snapshot is not None and snapshot.labels_offset >= labels:
            return snapshot
        await asyncio.sleep(0.2)
    raise AssertionError(f"{labels} labels were not learned within 40 s")


async def every_snapshot_is_a_prefix(run: Run) -> int:
    """Each snapshot ever published is exactly the labels before its offset; how many there are."""
    versions = [
        (int(key.rsplit(b"/", 1)[1]), orjson.loads(value or b"null"))
        for _, key, value in await run.read(name_of(MODEL, run.settings))
        if b"/" in key
    ]
    for offset, order in versions:
        assert order == list(range(offset))
    return len(versions)


def test_a_trainer_that_is_killed_continues_exactly(new_run: Callable[..., Run]) -> None:
    """Rule: kill -9 at random times, and in the middle of publishing; every snapshot is a prefix of the labels."""

    async def body(run: Run) -> None:
        rng = random.Random(11)
        teaching = asyncio.create_task(teach(run, 2_500, per_second=170))
        for life in range(4):
            failpoint = {"CHURN_FAILPOINT": "mid-snapshot:5"} if life % 2 else {}
            # Static membership: the restart is the same member and waits for no session timeout.
            trainer = run.start(f"t{life}", program=TRAINER, CHURN_KAFKA_GROUP_INSTANCE_ID="t", **failpoint)
            await learned(run, 200 * (life + 1))
            if failpoint:
                assert await asyncio.to_thread(trainer.wait, 20) == -9
            else:
                await asyncio.sleep(rng.uniform(0, 0.5))
                run.kill(f"t{life}")
        assert not teaching.done(), "killed after the work: the test proved nothing"
        run.start("last", program=TRAINER, CHURN_KAFKA_GROUP_INSTANCE_ID="t")
        await teaching
        snapshot = await learned(run, 2_500)
        assert orjson.loads(snapshot.value) == list(range(2_500))
        assert await every_snapshot_is_a_prefix(run) > 4

    scenario(new_run(snapshot_interval_ms=200), body)


def test_a_trainer_that_was_stopped_publishes_nothing_over_its_successor(new_run: Callable[..., Run]) -> None:
    """Rule: SIGSTOP for longer than the session: the standby takes over and fences; the zombie's snapshot is lost."""

    async def body(run: Run) -> None:
        teaching = asyncio.create_task(teach(run, 2_500, per_second=190))
        run.start("t0", program=TRAINER)
        await learned(run, 100)
        run.start("t1", program=TRAINER)
        await asyncio.sleep(1.5)
        leader = max(run.workers, key=lambda name: run.log_of(name)[:23] if "leads" in run.log_of(name) else "")
        run.workers[leader].send_signal(signal.SIGSTOP)
        await asyncio.sleep(8)
        run.workers[leader].send_signal(signal.SIGCONT)
        await asyncio.sleep(1)
        assert not teaching.done(), "stopped after the work: the test proved nothing"
        await teaching
        snapshot = await learned(run, 2_500)
        assert orjson.loads(snapshot.value) == list(range(2_500))
        await every_snapshot_is_a_prefix(run)
        assert [process.poll() for process in run.workers.values()] == [None, None]

    scenario(new_run(snapshot_interval_ms=200), body)
