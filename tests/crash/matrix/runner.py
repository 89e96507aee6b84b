"""Run one row with its own topics and group: feed, faults, and verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from models.definition.churn_definition import ChurnDefinition
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.topics import EVENTS, MODEL, create_topics, name_of
from tests.broker.earlier import lay_out
from tests.broker.oracle import drained
from tests.crash.harness import Run
from tests.crash.matrix import log
from tests.crash.matrix.evidence import Evidence, gather
from tests.crash.matrix.feed import Feed
from tests.crash.matrix.learning import learned
from tests.crash.matrix.rights import secured_broker, settings_of
from tests.crash.matrix.rows import OUTAGE_LIMIT_S, Row
from tests.crash.matrix.scene import TRAINED, Scene
from tests.crash.matrix.verdict import (
    Tally,
    Verdict,
    longest_outage_s,
    near_a_commit,
    slow_to_catch_up,
    takeover_s,
)


def play(
    row: Row,
    *,
    seed: int,
    broker: EmbeddedBroker,
    directory: Path,
    quick: bool = False,
    events: int = log.EVENTS,
    sabotage: str = "",
) -> Verdict:
    """Run a row and return its verdict. An error of the row itself is one of the verdict's problems."""
    directory.mkdir(parents=True)
    (directory / "churn.toml").write_text(row.churn)
    if row.secured:
        with secured_broker(directory / "secured") as own:
            return _play(row, seed, own, directory, quick, events, sabotage, settings_of(directory / "secured"))
    return _play(row, seed, broker, directory, quick, events, sabotage, {})


def _play(
    row: Row,
    seed: int,
    broker: EmbeddedBroker,
    directory: Path,
    quick: bool,
    events: int,
    sabotage: str,
    connection: dict[str, object],
) -> Verdict:
    run = Run(
        f"row{row.name}-seed{seed}",
        broker.address,
        directory,
        partitions=row.partitions,
        config=str(directory / "churn.toml"),
        clock=row.clock,
        snapshot_interval_ms=500,
        **connection,
    )
    verdict, started = Verdict(row.name, row.fault, seed), time.monotonic()
    rng = random.Random(f"{row.name} {seed}")
    feed = Feed(run.settings, row.publish(log.events_of(seed, events), rng), shares=row.shares)
    scene = Scene(run, feed, broker, rng, quick, sabotage, row.poison)
    try:
        asyncio.run(_whole(row, scene, verdict))
    except (Exception, asyncio.CancelledError) as error:
        verdict.problems.append(f"{type(error).__name__}: {error}")
    finally:
        run.end()
        for cleanup in scene.cleanups:
            cleanup()
    verdict.problems[:0] = scene.problems
    verdict.slow = scene.slow
    verdict.restarts = scene.restarts
    verdict.seconds = time.monotonic() - started
    return verdict


async def _whole(row: Row, scene: Scene, verdict: Verdict) -> None:
    await _prepare(row, scene)
    publishing = asyncio.create_task(scene.feed.publish())
    watching = [asyncio.create_task(scene.watch()), asyncio.create_task(scene.readiness.watch())]
    try:
        await row.play(scene)
        scene.feed.rest()
        await publishing
        try:
            await drained(scene.run)
        except AssertionError as stuck:
            scene.problems.append(str(stuck).splitlines()[0])
        taught = row.earlier.model if row.earlier is not None else None
        trained = await learned(scene.run, taught) if scene.trainers else None
        scene.problems += await scene.readiness.settled()
    finally:
        for task in (*watching, publishing):
            task.cancel()
        for task in watching:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    for name, process in scene.run.workers.items():
        if process.poll() is None and (code := await asyncio.to_thread(scene.run.stop, name)):
            scene.problems.append(f"{name} stopped with {code} at the end: {scene.last_line(name)}")
    definition = ChurnDefinition.parse(row.churn)
    evidence = await gather(scene, definition, once=row.once, live=row.clock != "event", earlier=row.earlier)
    verdict.tallies = {kind: Tally.of(must, evidence.found[kind]) for kind, must in evidence.expected.items()}
    if trained is not None:
        verdict.tallies["snapshots"] = Tally.of(*trained)
    _judge(row, scene, evidence, verdict)


async def _prepare(row: Row, scene: Scene) -> None:
    settings = scene.run.settings
    if row.topic_limit_bytes is not None:
        admin = AIOKafkaAdminClient(**settings.connection())
        await admin.start()
        configs = {"max.message.bytes": str(row.topic_limit_bytes)}
        await admin.create_topics([NewTopic(name_of(EVENTS, settings), row.partitions, 1, topic_configs=configs)])
        await admin.close()
    await create_topics(settings)
    if row.earlier is not None:
        await lay_out(scene.run, row.earlier)
    async with AIOKafkaProducer(**settings.connection(), max_request_size=8 * 1024 * 1024) as producer:
        headers = [(LABELS_OFFSET_HEADER, b"0")]
        if row.earlier is not None:  # the trainer's model name also has a snapshot of the earlier release
            await producer.send_and_wait(
                name_of(MODEL, settings), row.earlier.model, key=TRAINED.encode(), headers=headers
            )
        key = settings.model_name.encode()
        await producer.send_and_wait(name_of(MODEL, settings), log.snapshot(), key=key, headers=headers)


def _judge(row: Row, scene: Scene, evidence: Evidence, verdict: Verdict) -> None:
    """Check that faults hit work in flight, and that time limits are met."""
    feed, problems, slow = scene.feed, scene.problems, scene.slow
    harmed = sum(sending.harmed for sending in feed.sendings)
    commits = evidence.commits
    inputs = {
        number: [(offset, feed.arrived.get((number, offset), timestamp)) for offset, timestamp in mine]
        for number, mine in evidence.inputs.items()
    }
    verdict.events = len(feed.sendings)
    verdict.times = len(scene.harms) + harmed
    verdict.in_flight = sum(harm.in_flight for harm in scene.harms) + harmed
    verdict.at_commit = sum(near_a_commit(harm.at_ms, commits) for harm in scene.harms)
    verdict.outage_s = longest_outage_s(commits, inputs)
    if not verdict.times or verdict.in_flight < verdict.times:
        problems.append(f"{verdict.in_flight} of {verdict.times} met work in flight: the test proved nothing")
    if row.name == "1" and not scene.quick and verdict.at_commit * 3 < len(scene.harms):
        problems.append(f"only {verdict.at_commit} of {len(scene.harms)} kills within 100 ms of a commit")
    for kind in ("profiles", "scores", "alerts", "examples"):
        if not verdict.tallies[kind].expected:
            problems.append(f"no {kind} were expected: the test proved nothing")
    broken = sum(sending.broken for sending in feed.sendings)
    if broken and broken != evidence.broken:
        problems.append(f"{broken} records were broken, {evidence.broken} are refused")
    sent = len(feed.sendings) + (len(row.earlier.events) if row.earlier is not None else 0)
    if evidence.unmarked != sent:
        problems.append(f"{sent} events were sent, the topic holds {evidence.unmarked}")
    if verdict.outage_s > row.outage_limit_s:
        slow.append(f"nothing was committed for {verdict.outage_s:.1f} s, {row.outage_limit_s:.0f} s are allowed")
    if scene.bereft_ms is not None:
        verdict.takeover_s = takeover_s(scene.bereft_ms, commits, inputs)
        if not verdict.takeover_s:
            problems.append("no input waited for the worker that was killed: the test proved nothing")
        if verdict.takeover_s > OUTAGE_LIMIT_S:
            took = f"{verdict.takeover_s:.1f} s from kill -9 of one of two workers to the first new output"
            slow.append(f"{took}, {OUTAGE_LIMIT_S:.0f} s are allowed")
    verdict.unready_s = scene.readiness.longest_s()
    problems += scene.readiness.unseen()
    slow += slow_to_catch_up(commits, inputs)
    problems += evidence.disordered + sorted(set(feed.failed))[:3]
