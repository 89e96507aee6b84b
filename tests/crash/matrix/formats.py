"""State and snapshots of an earlier commit: the current format is continued, another format is rejected."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
from collections.abc import Sequence

from models.simulation import SimulatedEvent
from streams.kafka.partitioner import partition_of
from streams.topics import CHANGELOG, create_topics, name_of
from tests.broker.earlier import lay_out
from tests.broker.oracle import read
from tests.crash.harness import Run
from tests.crash.matrix.harm import Sending
from tests.crash.matrix.scene import PROGRAM, Scene
from tests.streams import format_fixture
from tests.streams.format_fixture import PARTITIONS

__all__ = ["PARTITIONS", "TODAY", "earlier_formats", "goes_on"]

TODAY, BEFORE = format_fixture.read("format2.json.gz"), format_fixture.read("format1.json.gz")


def goes_on(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """Create events of the fixture's customers after its end, at most as many as in the other rows."""
    rest = itertools.islice(format_fixture.simulation(), format_fixture.EVENTS, format_fixture.EVENTS + len(events))
    keys = [(e.value, e.customer.encode()) for e in rest]
    return [Sending(value, key, partition_of(key, PARTITIONS)) for value, key in keys]


async def earlier_formats(scene: Scene) -> None:
    """The previous format is rejected. With the current one, worker and trainer continue, also after kills."""
    await _refused(scene)
    for number in range(3):
        await scene.worker("w0")
        if number in (0, 2):
            await scene.trainer("t0")
        await scene.commit()
        await scene.a_while()
        scene.kill("w0")
        if number == 1:
            shutil.rmtree(scene.run.settings.store_dir)
            scene.kill("t0")
        scene.feed.next_share()
    await scene.worker("w0")


async def _refused(scene: Scene) -> None:
    """In separate topics, the worker exits with 2 and one line that names the options, and writes nothing."""
    settings = scene.run.settings
    folder = scene.run.directory / "before"
    folder.mkdir()
    (folder / "churn.toml").write_text(BEFORE.churn)
    run = Run(
        f"{settings.kafka_group_id}-before",
        settings.kafka_bootstrap_servers,
        folder,
        partitions=PARTITIONS,
        config=str(folder / "churn.toml"),
        clock="event",
    )
    try:
        await create_topics(run.settings)
        await lay_out(run, BEFORE)
        before = await read(run, name_of(CHANGELOG, run.settings))
        scene.harmed("state of the format before")
        process = run.start("w0", program=PROGRAM, MATRIX_ROLE="worker")
        code = await asyncio.to_thread(process.wait, 30)
        line = run.log_of("w0").strip().splitlines()[-1]
        if code != 2 or "was written in format 1" not in line or "Traceback" in run.log_of("w0"):
            scene.problems.append(f"state of format 1 ended the worker with {code}: {line}")
        if len(await read(run, name_of(CHANGELOG, run.settings))) != len(before):
            scene.problems.append("a worker that refuses state of format 1 has written to it")
    finally:
        run.end()
