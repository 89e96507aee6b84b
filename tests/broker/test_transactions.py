"""The fenced producer: all or nothing, and only one that can write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.errors import ConfigurationError, Fenced
from streams.topics import ALERTS, CHANGELOG, MODEL, name_of
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S


def test_a_new_owner_locks_the_old_one_out(new_run: Callable[..., Run]) -> None:
    """Rule: opening the same id fences its previous owner, whose later writes are never seen."""

    async def body(run: Run) -> None:
        alerts = name_of(ALERTS, run.settings)
        old = await FencedProducer.open(run.settings, "id")
        await old.commit([Output(alerts, 0, b"k", b"old")])
        new = await FencedProducer.open(run.settings, "id")
        with pytest.raises(Fenced, match="fenced"):
            await old.commit([Output(alerts, 0, b"k", b"zombie")])
        await old.discard()
        await new.commit([Output(alerts, 0, b"k", b"new")])
        await new.close()
        assert [value for _, _, value in await run.read(alerts)] == [b"old", b"new"]

    scenario(new_run(), body)


def test_what_a_dead_owner_left_open_is_aborted_by_its_successor(new_run: Callable[..., Run]) -> None:
    """Rule: readers get past a dead owner's transaction as soon as its successor has opened, not at a timeout."""

    async def body(run: Run) -> None:
        alerts = name_of(ALERTS, run.settings)
        dead = await FencedProducer.open(run.settings, "id")
        await dead._producer.begin_transaction()
        await dead._producer.send_and_wait(alerts, b"half", partition=0)
        await dead.discard()
        new = await FencedProducer.open(run.settings, "id")
        await new.commit([Output(alerts, 0, b"k", b"whole")])
        await new.close()
        assert [value for _, _, value in await asyncio.wait_for(run.read(alerts), WAIT_S)] == [b"whole"]

    scenario(new_run(kafka_transaction_timeout_ms=600_000), body)


def test_the_changelog_offset_is_that_after_the_position(new_run: Callable[..., Run]) -> None:
    """Rule: the offset that the local store remembers follows the last record of the transaction's last batch."""

    async def body(run: Run) -> None:
        changelog = name_of(CHANGELOG, run.settings)
        producer = await FencedProducer.open(run.settings, "id")
        big = {b"c%d" % number: b"x" * 100_000 for number in range(25)}  # three batches of records
        assert await producer.commit([], (changelog, 0), {**big, b"last": b"1"}) == 26
        assert await producer.commit([], (changelog, 0), {b"last": b"2"}) == 28  # a marker lies between
        await producer.close()
        assert (await run.read(changelog))[-1] == (0, b"last", b"2")

    scenario(new_run(), body)


def test_a_record_that_a_topic_does_not_take_names_the_topic(new_run: Callable[..., Run]) -> None:
    """Rule: a limit is for a person to change: the message names topic and setting, and nothing is tried again."""

    async def body(run: Run) -> None:
        producer = await FencedProducer.open(run.settings, "id")
        large = b"x" * 2_000_000
        await producer.commit([Output(name_of(MODEL, run.settings), 0, b"k", large)])
        with pytest.raises(ConfigurationError, match=f"{name_of(ALERTS, run.settings)}.*max.message.bytes"):
            await producer.commit([Output(name_of(ALERTS, run.settings), 0, b"k", large)])
        await producer.discard()

    scenario(new_run(), body)
