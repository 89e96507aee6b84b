"""State of a release in the topics of a group: today's goes on, another one is left as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from streams.topics import CHANGELOG, EVENTS, name_of
from tests.broker.earlier import lay_out
from tests.crash.harness import Run, scenario
from tests.streams.format_fixture import PARTITIONS, Fixture, read
from tests.waiting import WAIT_S, until

PRODUCT = Path(__file__).with_name("product.py")


def run_of(new_run: Callable[..., Run], fixture: Fixture) -> Run:
    run = new_run(partitions=PARTITIONS, clock="event")
    (run.directory / "churn.toml").write_text(fixture.churn)
    return run


def start(run: Run) -> None:
    run.start("w0", program=PRODUCT, CHURN_CONFIG=str(run.directory / "churn.toml"))


def test_state_of_an_earlier_release_ends_the_worker_with_one_line(new_run: Callable[..., Run]) -> None:
    """Rule: code 2, both ways out, and not a record more in the changelog than before."""
    fixture = read("format1.json.gz")

    async def body(run: Run) -> None:
        await lay_out(run, fixture)
        before = sorted(await run.read(name_of(CHANGELOG, run.settings)))  # partitions come in any order
        start(run)
        assert await asyncio.to_thread(run.workers["w0"].wait, WAIT_S) == 2
        line = run.log_of("w0").strip().splitlines()[-1]
        assert "was written in format 1, this program reads 2; nothing was changed" in line
        assert "CHURN_KAFKA_GROUP_ID=NAME" in line
        assert "Traceback" not in run.log_of("w0")
        assert sorted(await run.read(name_of(CHANGELOG, run.settings))) == before

    scenario(run_of(new_run, fixture), body)


def test_state_of_today_s_release_goes_on(new_run: Callable[..., Run]) -> None:
    """Rule: the worker takes the group over where the fixture ends, and applies what comes."""
    fixture = read("format2.json.gz")

    async def body(run: Run) -> None:
        await lay_out(run, fixture)
        before = await run.read(name_of(CHANGELOG, run.settings))
        start(run)
        await run.took_over("w0")
        last = fixture.events[-1]
        key = orjson.loads(last.value)["userId"].encode()
        value = last.value.replace(b'"messageId":"', b'"messageId":"again-')
        assert value != last.value
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            await producer.send_and_wait(name_of(EVENTS, run.settings), value, key, last.partition, last.timestamp + 1)
        after = before

        async def grew() -> bool:
            nonlocal after
            after = await run.read(name_of(CHANGELOG, run.settings))
            return len(after) > len(before)

        await until("a change in the changelog", grew, context=lambda: run.log_of("w0"))
        assert len([mine for _, mine, _ in after if mine == b"c" + key]) == 2  # the fixture's, and another
        assert run.stop("w0") == 0

    scenario(run_of(new_run, fixture), body)
