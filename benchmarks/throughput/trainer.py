"""Measure the trainer alone: labels per second, from its takeover to the snapshot that has learned all labels."""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.throughput import kafka
from benchmarks.throughput.child import Failed
from benchmarks.throughput.contenders import Bench, took_over_s
from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.kafka.topic_reader import read_topic
from streams.settings import Settings
from streams.topics import LABELS, MODEL, create_topics, name_of

# Learning the labels of one run of (c) takes half a second, so each label is repeated.
COPIES = 5
_COMMAND = [sys.executable, "-c", "from streams.cli.main import main; main()", "trainer"]
_LEADS = "the trainer leads from label"
_TIMEOUT_S = 300.0
# The only snapshot is the last one, which is published when all labels are learned.
_NO_SNAPSHOT_BEFORE_MS = 3_600_000


class Sample(NamedTuple):
    """One repetition."""

    labels: int
    seconds: float
    cpu_s: float
    peak_bytes: int


async def labels_of(settings: Settings) -> list[bytes]:
    """Return the labels of a run, in order."""
    return [record.value async for record in read_topic(settings, name_of(LABELS, settings))]


def measure(bench: Bench, labels: Sequence[bytes], repetitions: int) -> dict[str, Any]:
    """Run the trainer `repetitions` times and summarise the runs."""
    samples = [_run(bench, labels, f"{bench.topic}-trainer-{number}") for number in range(repetitions)]
    rates = [sample.labels / sample.seconds for sample in samples]
    return {
        "labels": samples[0].labels,
        "rate": {"min": min(rates), "median": statistics.median(rates), "max": max(rates)},
        "cpu_us_per_label": statistics.median(1e6 * sample.cpu_s / sample.labels for sample in samples),
        "peak_mib": max(sample.peak_bytes for sample in samples) / 2**20,
    }


def _run(bench: Bench, labels: Sequence[bytes], run: str) -> Sample:
    settings = dataclasses.replace(bench.settings(run), snapshot_interval_ms=_NO_SNAPSHOT_BEFORE_MS)
    count = asyncio.run(_publish(settings, labels))
    with bench.child(run, _COMMAND, kafka.environment(settings)) as child:
        drained = kafka.await_committed(
            settings, settings.trainer_group, name_of(LABELS, settings), [count], child.check, _TIMEOUT_S
        )
        asyncio.run(drained)
        child.stop()
    start_s = took_over_s((bench.directory / f"{run}.log").read_text(errors="replace"), _LEADS)
    end_s = asyncio.run(_learned_s(settings, count))
    return Sample(count, end_s - start_s, child.cpu.between(start_s, end_s), child.cpu.peak_bytes)


async def _publish(settings: Settings, labels: Sequence[bytes]) -> int:
    await create_topics(settings)
    async with AIOKafkaProducer(**settings.connection(), linger_ms=5) as producer:
        for label in labels:
            for _ in range(COPIES):
                await producer.send(name_of(LABELS, settings), label, partition=0)
        await producer.flush()
    return COPIES * len(labels)


async def _learned_s(settings: Settings, labels: int) -> float:
    """When the first snapshot with all labels learned was written (wall time, s)."""
    async for record in read_topic(settings, name_of(MODEL, settings)):
        if dict(record.headers).get(LABELS_OFFSET_HEADER) == str(labels).encode():
            return float(record.timestamp) / 1000
    raise Failed(f"there is no snapshot of {labels:,} labels")
