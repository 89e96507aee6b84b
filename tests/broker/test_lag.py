"""`lag` on a real broker: records and seconds that a group is behind, without a worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.topics import EVENTS, name_of
from tests.broker.commands import call, interrupt
from tests.crash.harness import Run


async def write(run: Run, ages_s: list[int]) -> None:
    """Records of these ages in partition 1, each in a transaction of its own: offsets 0, 2, 4 ..."""
    topic, now_ms = name_of(EVENTS, run.settings), int(time.time() * 1000)
    producer = await FencedProducer.open(run.settings, "writer")
    for age_s in ages_s:
        await producer.commit([Output(topic, 1, b"k", b"{}", timestamp_ms=now_ms - age_s * 1000)])
    await producer.close()


async def commit(run: Run, offset: int) -> None:
    consumer = AIOKafkaConsumer(
        **run.settings.connection(), group_id=run.settings.kafka_group_id, enable_auto_commit=False
    )
    await consumer.start()
    tp = TopicPartition(name_of(EVENTS, run.settings), 1)
    consumer.assign([tp])
    await consumer.commit({tp: offset})
    await consumer.stop()


def test_seconds_are_the_age_of_the_oldest_record_that_was_not_applied(new_run: Callable[..., Run]) -> None:
    """Setup: records that are 300, 200 and 100 s old, at offsets 0, 2 and 4, markers between and after them."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300, 200, 100]))
    for committed, lag, seconds in ((None, 6, 300), (1, 5, 200), (2, 4, 200), (4, 2, 100), (5, 1, 0), (6, 0, 0)):
        if committed is not None:
            asyncio.run(commit(run, committed))
        result = call(run, "lag", "--json", "--window", "0.3")
        rows = [json.loads(line) for line in result.output.splitlines()]
        assert [row["seconds"] for row in rows[::2]] == [0, 0]
        assert (rows[1]["committed"], rows[1]["lag"], rows[1]["owner"]) == (committed, lag, None)
        assert seconds <= rows[1]["seconds"] < seconds + (30 if seconds else 1e-9)
        assert rows[1]["status"] == ("STOP" if lag else "OK")
        assert result.exit_code == (11 if lag else 0)
    table = call(run, "lag", "--window", "0.3").output.splitlines()
    assert table[0].split() == ["topic", "partition", "position", "end", "lag", "seconds", "status", "owner"]
    asyncio.run(commit(run, 9))
    assert call(run, "lag", "--window", "0.3").exit_code == 11


def test_one_look_tells_lag_and_owner_and_judges_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: without a window the verdict is UNKNOWN, whatever the lag, and the exit code 0."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300]))
    result = call(run, "lag", "--json", "--window", "0")
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert (result.exit_code, {row["status"] for row in rows}) == (0, {"UNKNOWN"})
    assert [row["lag"] for row in rows] == [0, 2, 0]


async def held(run: Run) -> list[str]:
    """A member that has the partitions and commits nothing, then goes back and forth; what `lag` says meanwhile."""
    topic, found = name_of(EVENTS, run.settings), []
    tp = TopicPartition(topic, 1)
    consumer = AIOKafkaConsumer(
        topic,
        **run.settings.connection(),
        client_id="holder",
        group_id=run.settings.kafka_group_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)

        async def told(window_s: str) -> str:
            result = await asyncio.to_thread(call, run, "lag", "--json", "--window", window_s)
            row = json.loads(result.output.splitlines()[1])
            assert (row["owner"]["client"], row["owner"]["host"]) == ("holder", "127.0.0.1")
            assert result.exit_code == {"OK": 0, "WARN": 10}.get(row["status"], 11), result.output
            return str(row["status"])

        await consumer.commit({tp: 4})
        found.append(await told("0.3"))
        asking = asyncio.create_task(told("3"))
        await asyncio.sleep(1.5)
        await consumer.commit({tp: 2})
        found.append(await asking)
        asking = asyncio.create_task(told("3"))
        for offset in (3, 4, 5):
            await asyncio.sleep(0.7)
            await consumer.commit({tp: offset})
        found.append(await asking)
        return found
    finally:
        await consumer.stop()


def test_verdicts_follow_what_a_member_commits(new_run: Callable[..., Run]) -> None:
    """Setup: one member, three records. It stands still (STALL), goes back (REWIND), and catches up (OK)."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300, 200, 100]))
    assert asyncio.run(held(run)) == ["STALL", "REWIND", "OK"]


def test_watching_goes_on_until_told_to_stop(new_run: Callable[..., Run]) -> None:
    """Rule: --watch is UNKNOWN until its window is full; Ctrl-C ends it with the code of the last look."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300]))
    code, printed = interrupt(run, "lag", "--watch", "--json", "--window", "0.5", when=lambda text: '"STOP"' in text)
    statuses = [json.loads(line)["status"] for line in printed.splitlines()][1::3]
    assert (code, statuses[:9], statuses[-1]) == (11, ["UNKNOWN"] * 9, "STOP")
