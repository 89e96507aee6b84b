"""The procedures of docs/operating.md: after each, every customer is served and outputs equal the offline fold."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from models.definition.churn_definition import ChurnDefinition
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.simulation import Simulation, SimulationSettings
from streams.kafka.publisher import publish_events
from streams.settings import Settings, variable
from streams.topics import CHANGELOG, EVENTS, METRICS, SCORES, find_topics, name_of
from tests.broker.commands import call
from tests.broker.oracle import CHURN, drained, equal
from tests.crash.harness import Run, scenario
from tests.paths import DOCS
from tests.waiting import until

PRODUCT = Path(__file__).with_name("product.py")
PAGE = (DOCS / "operating.md").read_text(encoding="utf-8")
ANOTHER = CHURN.replace('event = "Subscription Cancelled"', 'event = "Subscription Paused"')
PARTITIONS, MORE = 2, 3
# A process starts within two seconds on an idle machine.
START_S = 120


def values() -> list[bytes]:
    return [
        e.value for e in itertools.islice(Simulation(SimulationSettings(customers=40, days=40, seed=5)).events(), 1_200)
    ]


async def ended(run: Run, name: str) -> tuple[int, str]:
    """Return the exit code and the last line of a process that must refuse to start."""
    return await asyncio.to_thread(run.workers[name].wait, START_S), run.log_of(name)[-600:]


async def exact(run: Run) -> None:
    """Wait until there is no lag, and check all outputs byte for byte."""
    await equal(run, ChurnDefinition.parse(CHURN), Model(SPACE).snapshot())


async def scores(run: Run, number: int) -> list[tuple[bytes, bytes | None]]:
    """Return the outputs of one partition, in order."""
    return [(key, value) for n, key, value in await run.read(name_of(SCORES, run.settings)) if n == number]


async def everything(run: Run) -> dict[str, list[Any]]:
    """Return a group's outputs by topic and partition, in order."""
    names = [str(getattr(run.settings, f"topic_{role}")) for role in ("alerts", "scores", "labels", "dead_letters")]
    names += [name_of(CHANGELOG, run.settings)]
    return {name: sorted(await run.read(name), key=lambda record: record[0]) for name in names}


def test_upgrade_rescale_lost_disk_definition_change_and_replay(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Setup: a worker processes a log. Another one joins and replaces it, as in an upgrade. A disk is lost. A changed
    definition is rejected and changes nothing. A parallel replay with the documented variables writes equal scores."""
    (tmp_path / "churn.toml").write_text(CHURN)
    run = new_run(partitions=PARTITIONS, config=str(tmp_path / "churn.toml"), clock="event")

    async def body(run: Run) -> None:
        log = values()
        quarter = len(log) // 4
        run.start("old", program=PRODUCT)
        await publish_events(run.settings, log[:quarter])
        await run.took_over("old")
        run.start("new", program=PRODUCT)  # rescaling and upgrade: one worker joins, the other leaves
        await run.took_over("new")
        await publish_events(run.settings, log[quarter : 2 * quarter])
        assert run.stop("old") == 0
        await exact(run)

        assert run.stop("new") == 0
        assert list(run.settings.store_dir.iterdir())
        shutil.rmtree(run.settings.data_dir)  # a lost disk
        run.start("back", program=PRODUCT)
        await publish_events(run.settings, log[2 * quarter : 3 * quarter])
        await exact(run)

        assert run.stop("back") == 0
        before = await everything(run)
        (tmp_path / "another.toml").write_text(ANOTHER)
        assert call(run, "config", "--config", str(tmp_path / "another.toml")).exit_code == 0
        run.start("refused", program=PRODUCT, CHURN_CONFIG=str(tmp_path / "another.toml"))
        code, words = await ended(run, "refused")
        assert (code, "CHURN_KAFKA_GROUP_ID=NAME" in words) == (2, True), words
        assert await everything(run) == before, "nothing was changed"

        run.start("again", program=PRODUCT)
        await publish_events(run.settings, log[3 * quarter :])

        given = dict(pair.split("=") for pair in re.findall(r"CHURN_\w+=\S+", _section("Replaying from the beginning")))
        fields: dict[str, Any] = {name: given[variable(name)] for name in vars(Settings()) if variable(name) in given}
        replay = new_run()
        replay.settings = dataclasses.replace(run.settings, **_own(run, fields))
        created = await asyncio.to_thread(call, replay, "topics", "create")
        assert created.exit_code == 0, created.output
        run.workers["replay"] = replay.start("replay", program=PRODUCT)
        await exact(run)
        await exact(replay)
        for number in range(PARTITIONS):
            assert await scores(replay, number) == await scores(run, number)
        assert [run.stop(name) for name in ("again", "replay")] == [0, 0]

    scenario(run, body)


def test_added_partitions_are_rejected_and_the_procedure_works(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Setup: a group with state, whose events topic gets another partition.

    Rule: the worker's error names the procedure, after which every customer has a profile in the new partition.
    """
    (tmp_path / "churn.toml").write_text(CHURN)
    run = new_run(partitions=PARTITIONS, config=str(tmp_path / "churn.toml"), clock="event")

    async def body(run: Run) -> None:
        log = values()[:600]
        run.start("before", program=PRODUCT)
        await publish_events(run.settings, log)
        await exact(run)
        assert run.stop("before") == 0
        customers = {key for _, key, _ in await run.read(name_of(SCORES, run.settings))}
        before = await everything(run)

        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()
        await admin.create_partitions({name_of(EVENTS, run.settings): NewPartitions(MORE)})
        run.start("refused", program=PRODUCT)
        code, words = await ended(run, "refused")
        assert code == 2
        assert re.search(
            rf"has {PARTITIONS} partitions and must have {MORE}: kafka-topics.sh .*--partitions {MORE}", words
        )
        assert await everything(run) == before, "nothing was changed"

        compacted = [name_of(topic, run.settings) for topic in (SCORES, METRICS)]
        follow = [name for name, found in (await find_topics(run.settings)).items() if found.partitions == PARTITIONS]
        follow = [name for name in follow if name not in (*compacted, name_of(CHANGELOG, run.settings))]
        await admin.create_partitions({name: NewPartitions(MORE) for name in follow})
        await admin.delete_topics(compacted)
        await admin.close()

        async def gone() -> bool:
            return not set(compacted) & (await find_topics(run.settings)).keys()

        await until("the deletion of two topics", gone)
        for arguments in (("reset", "--yes"), ("topics", "create")):
            done = await asyncio.to_thread(call, run, *arguments)
            assert done.exit_code == 0, done.output
        run.start("after", program=PRODUCT)
        await drained(run)
        found = await run.read(name_of(SCORES, run.settings))
        assert {key for _, key, _ in found} == customers
        assert {number for number, _, _ in found} == set(range(MORE))
        homes = {(key, number) for number, key, _ in found}
        assert len(homes) == len(customers), "each in one partition"
        assert run.stop("after") == 0

    scenario(run, body)


def _section(title: str) -> str:
    return PAGE.split(f"\n### {title}\n")[1].split("\n### ")[0]


def _own(run: Run, fields: dict[str, str]) -> dict[str, Any]:
    """Return the documented variables with names that are unique on this broker."""
    return {name: f"{run.settings.kafka_group_id}-{value}" for name, value in fields.items()}
