"""The trainer is killed, suspended and resumed: its state always equals the labels in order."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections.abc import Callable
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.model_reader import ModelReader, PublishedSnapshot
from streams.topics import LABELS, MODEL, name_of
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S, until

TRAINER = Path(__file__).with_name("ordering.py")


async def teach(run: Run, enough: asyncio.Event, *, per_second: float) -> int:
    """Publish labels 0, 1, 2, ... until stopped. Return their number."""
    async with AIOKafkaProducer(**run.settings.connection(), enable_idempotence=True) as producer:
        for number in itertools.count():
            await producer.send(name_of(LABELS, run.settings), b"%d" % number)
            await asyncio.sleep(10 / per_second if number % 10 == 0 else 0)
            if enough.is_set():
                break
    return number + 1


async def newest(run: Run) -> PublishedSnapshot | None:
    reader = ModelReader(run.settings, lambda snapshot: None)
    try:
        return await reader.read_to_end()
    finally:
        await reader.stop()


async def learned(run: Run, labels: int) -> PublishedSnapshot:
    async def found() -> PublishedSnapshot | None:
        snapshot = await newest(run)
        return snapshot if snapshot is not None and snapshot.labels_offset >= labels else None

    snapshot = await until(f"a snapshot of {labels} labels", found, every_s=0.2)
    assert snapshot is not None
    return snapshot


async def two_members(run: Run) -> bool:
    """Whether the trainers' group is stable with two members."""
    admin = AIOKafkaAdminClient(**run.settings.connection())
    await admin.start()
    try:
        [response] = await admin.describe_consumer_groups([run.settings.trainer_group])
        group = response.to_object()["groups"][0]
    finally:
        await admin.close()
    return group["state"] == "Stable" and len(group["members"]) == 2


def leads_of(run: Run, name: str) -> list[str]:
    """The lines in which a trainer reports that it has become the leader."""
    return [line for line in run.log_of(name).splitlines() if "leads from" in line]


async def every_snapshot_is_a_prefix(run: Run) -> int:
    """Check that each published snapshot equals the labels before its offset. Return the number of snapshots."""
    versions = [
        (int(key.rsplit(b"/", 1)[1]), orjson.loads(value or b"null"))
        for _, key, value in await run.read(name_of(MODEL, run.settings))
        if b"/" in key
    ]
    for offset, order in versions:
        assert order == list(range(offset))
    return len(versions)


def test_killed_trainer_continues_exactly(new_run: Callable[..., Run]) -> None:
    """Rule: after kill -9 at random times and during publishing, every snapshot is a prefix of the labels."""

    async def body(run: Run) -> None:
        rng, enough = random.Random(11), asyncio.Event()
        teaching = asyncio.create_task(teach(run, enough, per_second=170))
        for life in range(4):
            failpoint = {"CHURN_FAILPOINT": "mid-snapshot:5"} if life % 2 else {}
            # With static membership, the restarted trainer is the same member and needs no session timeout.
            trainer = run.start(f"t{life}", program=TRAINER, CHURN_KAFKA_GROUP_INSTANCE_ID="t", **failpoint)
            await learned(run, 200 * (life + 1))
            if failpoint:
                assert await asyncio.to_thread(trainer.wait, WAIT_S) == -9
            else:
                await asyncio.sleep(rng.uniform(0, 0.5))
                run.kill(f"t{life}")
        run.start("last", program=TRAINER, CHURN_KAFKA_GROUP_INSTANCE_ID="t")
        await learned(run, 1_000)
        enough.set()
        labels = await teaching
        snapshot = await learned(run, labels)
        assert orjson.loads(snapshot.value) == list(range(labels))
        assert await every_snapshot_is_a_prefix(run) > 4

    scenario(new_run(snapshot_interval_ms=200), body)


def test_suspended_trainer_does_not_overwrite_its_successor(new_run: Callable[..., Run]) -> None:
    """Rule: after SIGSTOP beyond the session, the standby takes over and fences, and the zombie's snapshot is lost."""

    async def body(run: Run) -> None:
        enough = asyncio.Event()
        teaching = asyncio.create_task(teach(run, enough, per_second=190))
        run.start("t0", program=TRAINER)
        await learned(run, 100)
        alone = len(leads_of(run, "t0"))
        run.start("t1", program=TRAINER)
        await until("a group of two trainers", lambda: two_members(run), every_s=0.2)
        # The group has assigned the leader again, which may be either of them.
        await until("the leader of two", lambda: sum(len(leads_of(run, name)) for name in run.workers) > alone)
        leads = {name: leads_of(run, name) for name in run.workers}
        leader = max(leads, key=lambda name: leads[name][-1:])  # by time
        [standby] = leads.keys() - {leader}
        before = len(leads_of(run, standby))
        run.workers[leader].send_signal(signal.SIGSTOP)
        await until("a successor", lambda: len(leads_of(run, standby)) > before)
        await asyncio.sleep(1)
        run.workers[leader].send_signal(signal.SIGCONT)
        await asyncio.sleep(1)
        enough.set()
        labels = await teaching
        snapshot = await learned(run, labels)
        assert orjson.loads(snapshot.value) == list(range(labels))
        await every_snapshot_is_a_prefix(run)
        assert [process.poll() for process in run.workers.values()] == [None, None]

    scenario(new_run(snapshot_interval_ms=200), body)
