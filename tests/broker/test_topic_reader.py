"""Reading a topic past transaction markers: newest records, first records, and all records in order of time."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.kafka import topic_reader
from streams.kafka.topic_reader import (
    consuming,
    first_records,
    follow,
    merged,
    newest_records,
    newest_with_key,
    read_record,
    spans_of,
)
from streams.kafka.unusable_records import UnusableRecords
from streams.topics import ALERTS, name_of
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S, until

START_MS = 1_700_000_000_000


async def write(run: Run, count: int, *, per_transaction: int = 3) -> None:
    """Publish records 0, 1, 2, ... a second apart to two partitions, in many transactions."""
    producer = await FencedProducer.open(run.settings, "writer")
    topic = name_of(ALERTS, run.settings)
    outputs = [
        Output(topic, n % 2, b"k%d" % (n % 7), b"%d" % n, timestamp_ms=START_MS + n * 1000) for n in range(count)
    ]
    for begin in range(0, count, per_transaction):
        await producer.commit(outputs[begin : begin + per_transaction])
    await producer.close()


def value_of(record: Any) -> bytes:
    value: bytes = record.value
    return value


def only(numbers: list[int]) -> Callable[[Any], bytes]:
    """Decode these numbers only; all others are unusable."""

    def decode(record: Any) -> bytes:
        return b"%d" % numbers[numbers.index(int(record.value))]

    return decode


def test_records_can_be_read_from_either_end(new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: reading backwards in small chunks of any size gives the same as reading everything."""
    monkeypatch.setattr(topic_reader, "_SPAN_FIRST", 4)
    monkeypatch.setattr(topic_reader, "_SPAN_MAX", 10)

    async def body(run: Run) -> None:
        await write(run, 60)
        topic = name_of(ALERTS, run.settings)
        skipped = UnusableRecords(lambda *_: None)
        for key in (0, 3, 6):
            numbers = [n for n in range(60) if n % 7 == key and n % 2 == 1]
            newest = await newest_with_key(run.settings, topic, 1, b"k%d" % key, value_of, skipped)
            assert newest == b"%d" % numbers[-1]
            older = await newest_with_key(run.settings, topic, 1, b"k%d" % key, only(numbers[:-3]), skipped)
            assert older == b"%d" % numbers[-4]
        assert await newest_with_key(run.settings, topic, 0, b"unknown", value_of, skipped) is None
        assert skipped.total == 9
        first = await read_record(run.settings, topic, 0, 0)
        assert first is not None
        assert first.value == b"0"
        tps = [TopicPartition(topic, number) for number in range(2)]
        async with consuming(run.settings) as consumer:
            spans = await spans_of(consumer, tps)
            all_of_it = [int(record.value) async for record in merged(consumer, spans)]
            assert all_of_it == list(range(60))
            for count in (0, 1, 20, 200):
                found = await newest_records(consumer, spans, count, lambda record: int(record.value) % 3 == 0)
                assert [int(record.value) for record in found] == (list(range(0, 60, 3))[-count:] if count else [])
            # offset 2 of either partition is a marker, after records 0 and 1, 2
            begin = {tp: (start + 2, end) for tp, (start, end) in spans.items()}
            assert {tp.partition for tp in await first_records(consumer, begin)} == {0, 1}
            markers = {tp: (end - 1, end) for tp, (_, end) in spans.items()}
            assert await asyncio.wait_for(first_records(consumer, markers), WAIT_S) == {}

    scenario(new_run(partitions=2), body)


def test_new_records_are_read_within_a_second_in_partition_order(new_run: Callable[..., Run]) -> None:
    """Rule: the median of five counts. One of three series is enough, because a machine may be temporarily busy."""

    async def body(run: Run) -> None:
        await write(run, 6)
        topic, stop = name_of(ALERTS, run.settings), asyncio.Event()
        tps = [TopicPartition(topic, number) for number in range(2)]
        seen: list[int] = []
        late_s: list[float] = []
        async with AIOKafkaProducer(**run.settings.connection()) as producer, consuming(run.settings) as consumer:
            ends = {tp: end for tp, (_, end) in (await spans_of(consumer, tps)).items()}

            async def watch() -> None:
                async for record in follow(consumer, ends, stop):
                    seen.append(int(record.value))  # noqa: PERF401

            watching = asyncio.create_task(watch())
            for n in range(15):
                await producer.send_and_wait(topic, b"%d" % n, partition=n % 2)
                sent_s = time.monotonic()
                await until(f"record {n}", partial(seen.__contains__, n), every_s=0.005, context=lambda: seen)
                late_s.append(time.monotonic() - sent_s)
                if n % 5 == 4 and statistics.median(late_s[-5:]) < 1:
                    break
            stop.set()
            await asyncio.wait_for(watching, WAIT_S)
        assert seen == list(range(n + 1))
        assert statistics.median(late_s[-5:]) < 1, late_s

    scenario(new_run(partitions=2), body)


def test_empty_partitions_do_not_delay_the_end(new_run: Callable[..., Run]) -> None:
    """Setup: a long poll of partition 0 is in flight when the empty partitions end the reading."""

    async def body(run: Run) -> None:
        producer = await FencedProducer.open(run.settings, "writer")
        topic = name_of(ALERTS, run.settings)
        await producer.commit([Output(topic, 0, b"k", b"v")])
        await producer.close()
        for _ in range(3):
            read = []
            async for record in topic_reader.read_topic(run.settings, topic):
                read.append(record.value)
                await asyncio.sleep(0.03)  # the next fetch is in flight
            assert read == [b"v"]

    scenario(new_run(partitions=3), lambda run: asyncio.wait_for(body(run), WAIT_S))
