"""Follow the output topics into the database, sample the lag, and report a missing broker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.experience.aggregates import GOALS, METRIC_PREFIX, Sums, add, read_metric
from models.experience.report import times_to_value
from streams.admin.lag import PartitionLag, measure
from streams.console.database import ConsoleDatabase
from streams.console.dead_letter_samples import DeadLetterSamples
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import consuming, partitions_of, spans_of
from streams.logs import get_logger
from streams.settings import Settings
from streams.topics import ALERTS, DEAD_LETTERS, METRICS, MODEL, SCORES, name_of
from streams.training.learner import QUALITY_KEY

log = get_logger(__name__)

# 250 scores take about 15 ms to decode, compress and write. Requests are served between slices.
_SLICE_RECORDS = 250
_BATCH_RECORDS = 2_000
_POLL_MS = 200
_RETRY_S = 1.0
_SAMPLE_EVERY_S = 3.0
_SAMPLE_TIMEOUT_S = 15.0
_RATE_WINDOW_S = 30.0
_GOALS_KEY_PART = f"/{GOALS}/".encode()
# Ten minutes.
SAMPLES_KEPT = 200
# Number of the newest dead letters and snapshots per partition to read at the start.
_LETTERS_READ, _SNAPSHOTS_READ = 5_000, 8


class TopicFollower:
    """Reads until cancelled. The attributes hold the newest figures.

    Attributes:
        problem: Why no new data arrives, in a sentence; empty while the broker answers.
        progress: Records of churn-scores read at the start, and their number.
        lag: The newest sample of all partitions.
        lag_samples: (monotonic seconds, applied events, waiting events) of the last ten minutes.
        quality: The trainer's newest quality record.
        snapshot: The newest model snapshot, and its publication time (epoch ms).
        letters: Dead letters by reason.
        goal_sums: Published sums of the times to goals, by record key.
    """

    def __init__(self, settings: Settings, database: ConsoleDatabase, notify: Callable[[str], None]) -> None:
        self.problem = ""
        self.progress = (0, 0)
        self.lag: list[PartitionLag] = []
        self.lag_samples: deque[tuple[float, int, int]] = deque(maxlen=SAMPLES_KEPT)
        self.quality: dict[str, Any] | None = None
        self.snapshot: tuple[bytes, int] | None = None
        self.letters = DeadLetterSamples()
        self.goal_sums: dict[bytes, bytes] = {}
        self._settings = settings
        self._database = database
        self._notify = notify
        self._next: dict[TopicPartition, int] = {}

    async def run(self) -> None:
        """Follow all topics and sample the lag. A failure is reported in `problem` and retried."""
        async with asyncio.TaskGroup() as group:
            for work in (self._follow_alerts, self._follow_scores, self._follow_rest, self._sample_lag):
                group.create_task(self._retry(work))

    @property
    def events_per_second(self) -> float:
        """Applied events per second over the last half minute."""
        samples = self.lag_samples
        recent = [sample for sample in samples if sample[0] >= samples[-1][0] - _RATE_WINDOW_S] if samples else []
        if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
            return 0.0
        return max(0, recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])

    def times_to_value(self) -> dict[str, tuple[int, float | None]]:
        """Return, by goal, how many customers reached it and their median number of days."""
        sums: Sums = {}
        for value in self.goal_sums.values():
            add(sums, *read_metric(value))
        return times_to_value(sums)

    async def _retry(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except TimeoutError:  # a subclass of OSError, without a message of its own
                self._report(f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer in time.")
            except (KafkaError, OSError) as failure:
                self._report(f"Kafka at {self._settings.kafka_bootstrap_servers} is not available: {failure!r}.")
            except ChurnSignalsError as failure:
                self._report(f"{str(failure).rstrip('.')}.")
            await asyncio.sleep(_RETRY_S)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            if problem:
                log.warning("no new data: %s", problem)
            self.problem = problem
            self._notify("status")

    async def _follow_alerts(self) -> None:
        def add(records: list[Any]) -> None:
            version = self._database.version
            self._database.add_alerts([record.value for record in records])
            if self._database.version != version:
                self._notify("alerts")

        await self._follow(await partitions_of(self._settings, name_of(ALERTS, self._settings)), add)

    async def _follow_scores(self) -> None:
        def add(records: list[Any]) -> None:
            self._database.add_scores([(record.key, record.value) for record in records])
            done, total = self.progress
            self.progress = (min(done + records[-1].offset + 1 - records[0].offset, total), total)
            self._notify("scores")

        tps = await partitions_of(self._settings, name_of(SCORES, self._settings))
        await self._follow(tps, add, counted=True)

    async def _follow_rest(self) -> None:
        settings, letters = self._settings, name_of(DEAD_LETTERS, self._settings)
        model, key = name_of(MODEL, settings), settings.model_name.encode()

        def add(records: list[Any]) -> None:
            visible = records[0].topic != name_of(METRICS, settings)
            for record in records:
                if record.topic == letters:
                    self.letters.add(record)
                elif record.topic == model:
                    if record.key == key and record.value is not None:
                        self.snapshot = (record.value, record.timestamp)
                elif record.key == QUALITY_KEY and record.value is not None:
                    self.quality, visible = orjson.loads(record.value), True
                elif (
                    record.key.startswith(METRIC_PREFIX) and _GOALS_KEY_PART in record.key and record.value is not None
                ):
                    self.goal_sums[record.key] = record.value
            if visible:  # most metrics records are shown on no page
                self._notify("model" if records[0].topic != letters else "pipeline")

        tps = await partitions_of(settings, letters)
        tps += await partitions_of(settings, name_of(METRICS, settings))
        tps.append(TopicPartition(model, 0))
        newest = {letters: _LETTERS_READ, model: _SNAPSHOTS_READ}
        await self._follow(tps, add, newest=newest)

    async def _follow(
        self,
        tps: list[TopicPartition],
        add: Callable[[list[Any]], None],
        *,
        newest: dict[str, int] | None = None,
        counted: bool = False,
    ) -> None:
        """Read until a failure: from the last position, or from the start, or only the `newest` records of a topic."""
        async with consuming(self._settings) as consumer:
            spans = await spans_of(consumer, tps)
            if counted and not self.progress[1]:
                self.progress = (0, sum(end - first for first, end in spans.values()))
            consumer.assign(tps)
            for tp, (first, end) in spans.items():
                begin = max(first, end - (newest or {}).get(tp.topic, end))
                position = self._next.get(tp, begin)
                consumer.seek(tp, position if first <= position <= end else begin)  # outside: the topic was recreated
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)).items():
                    for start in range(0, len(records), _SLICE_RECORDS):
                        add(records[start : start + _SLICE_RECORDS])
                        await asyncio.sleep(0)
                    self._next[tp] = records[-1].offset + 1
                if counted and self.progress[0] < self.progress[1]:
                    at_end = [await consumer.position(tp) >= spans[tp][1] for tp in tps]
                    if all(at_end):
                        self.progress = (self.progress[1], self.progress[1])

    async def _sample_lag(self) -> None:
        while True:
            async with asyncio.timeout(_SAMPLE_TIMEOUT_S):
                self.lag = await measure(self._settings)
            events = [row for row in self.lag if row.group == self._settings.kafka_group_id]
            self.lag_samples.append((time.monotonic(), sum(row.next for row in events), sum(row.lag for row in events)))
            self._report("")
            self._notify("pipeline")
            await asyncio.sleep(_SAMPLE_EVERY_S)
