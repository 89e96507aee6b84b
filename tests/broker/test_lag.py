"""`lag` on a real broker: records and seconds that a group is behind, without a worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.admin.lag import ConsumerGroups, PartitionLag
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
    written_s = time.time()
    asyncio.run(write(run, [300, 200, 100]))
    for committed, lag, seconds in ((None, 6, 300), (1, 5, 200), (2, 4, 200), (4, 2, 100), (5, 1, 0), (6, 0, 0)):
        if committed is not None:
            asyncio.run(commit(run, committed))
        result = call(run, "lag", "--json", "--window", "0.3")
        rows = [json.loads(line) for line in result.output.splitlines()]
        assert [row["seconds"] for row in rows[::2]] == [0, 0]
        assert (rows[1]["committed"], rows[1]["lag"], rows[1]["owner"]) == (committed, lag, None)
        older_s = time.time() - written_s + 0.001 if seconds else 0.0
        assert seconds <= rows[1]["seconds"] <= seconds + older_s
        assert rows[1]["status"] == ("STOP" if lag else "OK")
        assert result.exit_code == (11 if lag else 0)
    table = call(run, "lag", "--window", "0.3").output.splitlines()
    assert table[0].split() == ["topic", "partition", "position", "end", "lag", "seconds", "status", "owner"]
    asyncio.run(commit(run, 9))
    assert call(run, "lag", "--window", "0.3").exit_code == 11


def test_single_reading_gives_lag_and_owner_without_a_verdict(new_run: Callable[..., Run]) -> None:
    """Rule: without a window the verdict is UNKNOWN, whatever the lag, and the exit code 0."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300]))
    result = call(run, "lag", "--json", "--window", "0")
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert (result.exit_code, {row["status"] for row in rows}) == (0, {"UNKNOWN"})
    assert [row["lag"] for row in rows] == [0, 2, 0]


class Looks:
    """Commits offsets in the loop of a member, each just before a certain look of `lag`, whatever the time is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        self._consumer, self._tp, self._loop = consumer, tp, asyncio.get_running_loop()
        self._commits: dict[int, int] = {}
        look = ConsumerGroups.read

        async def looked(groups: ConsumerGroups) -> list[PartitionLag]:
            self._number += 1
            if (offset := self._commits.pop(self._number, None)) is not None:
                committing = asyncio.run_coroutine_threadsafe(self._consumer.commit({self._tp: offset}), self._loop)
                await asyncio.wrap_future(committing)
            return await look(groups)

        monkeypatch.setattr(ConsumerGroups, "read", looked)

    def commit_before(self, commits: dict[int, int]) -> None:
        """Offset by the number of the look, of which the next one is the first."""
        self._number, self._commits = 0, commits

    def done(self) -> bool:
        return not self._commits


async def held(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verdicts of `lag` on a member that has the partitions and commits nothing, then goes back and forth."""
    topic = name_of(EVENTS, run.settings)
    tp = TopicPartition(topic, 1)
    consumer = AIOKafkaConsumer(
        topic,
        **run.settings.connection(),
        client_id="holder",
        group_id=run.settings.kafka_group_id,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
        looks = Looks(monkeypatch, consumer, tp)

        async def verdict_after(commits: dict[int, int]) -> str:
            looks.commit_before(commits)
            result = await asyncio.to_thread(call, run, "lag", "--json", "--window", "0.5")
            assert looks.done()
            row = json.loads(result.output.splitlines()[1])
            assert (row["owner"]["client"], row["owner"]["host"]) == ("holder", "127.0.0.1")
            assert result.exit_code == {"OK": 0, "WARN": 10}.get(row["status"], 11), result.output
            return str(row["status"])

        await consumer.commit({tp: 4})
        # The first of a window's ten samples is one look, the others are two each.
        return [await verdict_after(commits) for commits in ({}, {8: 2}, {6: 3, 10: 4, 14: 5})]
    finally:
        await consumer.stop()


def test_verdicts_follow_what_a_member_commits(new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: one member, three records. It stands still (STALL), goes back (REWIND), and catches up (OK)."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300, 200, 100]))
    assert asyncio.run(held(run, monkeypatch)) == ["STALL", "REWIND", "OK"]


def test_watching_continues_until_interrupted(new_run: Callable[..., Run]) -> None:
    """Rule: --watch is UNKNOWN until its window is full; Ctrl-C ends it with the code of the last look."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300]))
    code, printed = interrupt(run, "lag", "--watch", "--json", "--window", "0.5", when=lambda text: '"STOP"' in text)
    statuses = [json.loads(line)["status"] for line in printed.splitlines()][1::3]
    assert (code, statuses[:9], statuses[-1]) == (11, ["UNKNOWN"] * 9, "STOP")
