"""Dead letters on a real broker: they equal the input byte for byte and can be read back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.engine.transactions import FencedProducer
from streams.kafka.topic_reader import read_topic
from streams.scoring.dead_letters import DeadLetter, dead_letter
from streams.topics import DEAD_LETTERS, EVENTS, name_of
from tests.crash.harness import Run, scenario

MINUTE_MS = 60_000


async def refuse_all(run: Run) -> None:
    """Publishes rejected records as a worker does."""
    producer = await FencedProducer.open(run.settings, "refuser")
    topic = name_of(DEAD_LETTERS, run.settings)
    records = [record async for record in read_topic(run.settings, name_of(EVENTS, run.settings))]
    await producer.commit([dead_letter(topic, record, "not_json", "because", "Rejected") for record in records])
    await producer.close()


async def publish(run: Run, *events: tuple[bytes | None, bytes | None, list[tuple[str, Any]], int]) -> None:
    """Publish (key, value, headers, timestamp in ms) to partition 1."""
    producer = AIOKafkaProducer(**run.settings.connection())
    await producer.start()
    for key, value, headers, timestamp_ms in events:
        await producer.send_and_wait(
            name_of(EVENTS, run.settings), value, key, partition=1, timestamp_ms=timestamp_ms, headers=headers
        )
    await producer.stop()


def test_dead_letter_equals_the_event_byte_for_byte(new_run: Callable[..., Run]) -> None:
    """Rule: key, value, headers and timestamp are kept, but a timestamp that Kafka rejects becomes the current time."""
    now_ms = int(time.time() * 1000)
    sent: list[tuple[bytes | None, bytes | None, list[tuple[str, Any]], int]] = [
        (b"\xff\x00", b"not json \xfe", [("trace", b"\x00\xff"), ("trace", b"again"), ("empty", b"")], now_ms - 5),
        (None, b"a year old", [], now_ms - 365 * 24 * 60 * MINUTE_MS),
        (b"k", None, [("null", None)], 0),
        (b"soon", b"half an hour ahead", [], now_ms + 30 * MINUTE_MS),
    ]

    async def body(run: Run) -> None:
        await publish(run, *sent)
        await refuse_all(run)
        records = [record async for record in read_topic(run.settings, name_of(DEAD_LETTERS, run.settings))]
        assert {record.partition for record in records} == {1}
        kept = [(r.key, r.value, list(r.headers[: -len(ours)]), r.timestamp) for r in records]
        assert kept == sent
        assert [name for name, _ in records[0].headers[-len(ours) :]] == ours
        letters = [DeadLetter.of(record) for record in records]
        assert [letter.source for letter in letters] == [f"{name_of(EVENTS, run.settings)}/1@{n}" for n in range(4)]
        assert [(letter.reason, letter.message) for letter in letters] == [("not_json", "because")] * 4
        assert [list(letter.headers) for letter in letters] == [headers for _, _, headers, _ in sent]

    ours = [f"__streams.errors.{name}" for name in ("exception", "message", "topic", "partition", "offset")]
    ours.append("churn.reason")
    scenario(new_run(partitions=2), body)


def test_timestamp_rejected_by_the_broker_becomes_the_write_time(new_run: Callable[..., Run]) -> None:
    """Rule: a record from next year in the input cannot stop the worker when it writes the dead letter."""

    async def body(run: Run) -> None:
        await publish(run, (b"k", b"v", [], int(time.time() * 1000)))
        [record] = [record async for record in read_topic(run.settings, name_of(EVENTS, run.settings))]
        topic, before_ms = name_of(DEAD_LETTERS, run.settings), int(time.time() * 1000)
        output = dead_letter(topic, record, "not_json", "because", "Rejected")
        producer = await FencedProducer.open(run.settings, "refuser")
        for impossible_ms in (before_ms + 366 * 24 * 60 * MINUTE_MS, -1):
            await producer.commit([output._replace(timestamp_ms=impossible_ms)])
        await producer.close()
        stamps = [record.timestamp async for record in read_topic(run.settings, topic)]
        assert all(before_ms <= stamp <= int(time.time() * 1000) for stamp in stamps)
        assert len(stamps) == 2

    scenario(new_run(partitions=2), body)
