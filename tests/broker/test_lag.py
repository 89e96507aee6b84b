"""`lag` on a real broker: records and seconds that a group is behind, without a worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from commands import call
from harness import Run

from streams.processing import Output
from streams.topics import EVENTS, name_of
from streams.transactions import FencedProducer


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
        result = call(run, "lag", "--json")
        rows = [json.loads(line) for line in result.output.splitlines()]
        assert [row["seconds"] for row in rows[::2]] == [0, 0]
        assert (rows[1]["committed"], rows[1]["lag"]) == (committed, lag)
        assert seconds <= rows[1]["seconds"] < seconds + (30 if seconds else 1e-9)
        assert rows[1]["status"] == ("STOP" if lag else "OK")
        assert result.exit_code == (11 if lag else 0)
    table = call(run, "lag").output.splitlines()
    assert table[0].split() == [
        "group", "topic", "partition", "position", "end", "lag", "seconds", "members", "status"
    ]  # fmt: skip
    asyncio.run(commit(run, 9))
    assert call(run, "lag").exit_code == 11
