"""Follows the output topics into the store, looks at the lag, and knows whether the broker is there."""

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

# 250 scores are unpacked, compressed and written in some 15 ms: pages get their turn in between.
_SLICE = 250
_BATCH = 2_000
_POLL_MS = 200
_RETRY_S = 1.0
_LOOK_EVERY_S = 3.0
_LOOK_TIMEOUT_S = 15.0
GOALS_PART = f"/{GOALS}/".encode()
# Ten minutes of looks.
LOOKS_KEPT = 200
# So many of the newest dead letters and snapshots are read at the start.
_LETTERS_BACK, _SNAPSHOTS_BACK = 5_000, 8


class TopicFollower:
    """Reads until it is cancelled; its attributes are the newest figures.

    Attributes:
        problem: why nothing new comes, in a sentence; empty while the broker answers.
        progress: records of churn-scores read at the start, and how many there were.
        lag: one look at the groups, by partition.
        looks: (monotonic seconds, events applied, events that wait) of the last ten minutes.
        quality: the trainer's newest record about the model.
        snapshot: the newest model snapshot, and when it was published (epoch ms).
        reached: sums of when customers reached goals, as published, by their keys.
    """

    def __init__(self, settings: Settings, store: ConsoleDatabase, changed: Callable[[str], None]) -> None:
        self.problem = ""
        self.progress = (0, 0)
        self.lag: list[PartitionLag] = []
        self.looks: deque[tuple[float, int, int]] = deque(maxlen=LOOKS_KEPT)
        self.quality: dict[str, Any] | None = None
        self.snapshot: tuple[bytes, int] | None = None
        self.letters = DeadLetterSamples()
        self.reached: dict[bytes, bytes] = {}
        self._settings = settings
        self._store = store
        self._changed = changed
        self._next: dict[TopicPartition, int] = {}

    async def run(self) -> None:
        """Everything at once; what fails is said in `problem` and tried again."""
        async with asyncio.TaskGroup() as group:
            for work in (self._follow_alerts, self._follow_scores, self._follow_rest, self._look):
                group.create_task(self._again(work))

    @property
    def events_a_second(self) -> float:
        """Events applied, over the last half a minute."""
        recent = [look for look in self.looks if look[0] >= self.looks[-1][0] - 30.0] if self.looks else []
        if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
            return 0.0
        return max(0, recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])

    def times_to_value(self) -> dict[str, tuple[int, float | None]]:
        """By goal: customers who reached it, and the median of their days."""
        sums: Sums = {}
        for value in self.reached.values():
            add(sums, *read_metric(value))
        return times_to_value(sums)

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except TimeoutError:  # before OSError, of which it is a kind; it has no words of its own
                self._says(f"the broker at {self._settings.kafka_bootstrap_servers} does not answer in time")
            except (KafkaError, ChurnSignalsError, OSError) as failure:
                self._says(str(failure) or repr(failure))
            await asyncio.sleep(_RETRY_S)

    def _says(self, problem: str) -> None:
        if problem != self.problem:
            if problem:
                log.warning("nothing new comes: %s", problem)
            self.problem = problem
            self._changed("status")

    async def _follow_alerts(self) -> None:
        def take(records: list[Any]) -> None:
            before = self._store.version
            self._store.add_alerts([record.value for record in records])
            if self._store.version != before:
                self._changed("alerts")

        await self._follow(await partitions_of(self._settings, name_of(ALERTS, self._settings)), take)

    async def _follow_scores(self) -> None:
        def take(records: list[Any]) -> None:
            self._store.add_scores([(record.key, record.value) for record in records])
            done, total = self.progress
            self.progress = (min(done + records[-1].offset + 1 - records[0].offset, total), total)
            self._changed("scores")

        tps = await partitions_of(self._settings, name_of(SCORES, self._settings))
        await self._follow(tps, take, counted=True)

    async def _follow_rest(self) -> None:
        settings, letters = self._settings, name_of(DEAD_LETTERS, self._settings)
        model, key = name_of(MODEL, settings), settings.model_name.encode()

        def take(records: list[Any]) -> None:
            news = records[0].topic != name_of(METRICS, settings)
            for record in records:
                if record.topic == letters:
                    self.letters.add(record)
                elif record.topic == model:
                    if record.key == key and record.value is not None:
                        self.snapshot = (record.value, record.timestamp)
                elif record.key == QUALITY_KEY and record.value is not None:
                    self.quality, news = orjson.loads(record.value), True
                elif record.key.startswith(METRIC_PREFIX) and GOALS_PART in record.key and record.value is not None:
                    self.reached[record.key] = record.value
            if news:  # of the sums that workers tell, none is the subject of a page
                self._changed("model" if records[0].topic != letters else "pipeline")

        tps = await partitions_of(settings, letters)
        tps += await partitions_of(settings, name_of(METRICS, settings))
        tps.append(TopicPartition(model, 0))
        back = {letters: _LETTERS_BACK, model: _SNAPSHOTS_BACK}
        await self._follow(tps, take, back=back)

    async def _follow(
        self,
        tps: list[TopicPartition],
        take: Callable[[list[Any]], None],
        *,
        back: dict[str, int] | None = None,
        counted: bool = False,
    ) -> None:
        """Until it fails: from where it was, or from the beginning, or from so many records before the end."""
        async with consuming(self._settings) as consumer:
            spans = await spans_of(consumer, tps)
            if counted and not self.progress[1]:
                self.progress = (0, sum(end - first for first, end in spans.values()))
            consumer.assign(tps)
            for tp, (first, end) in spans.items():
                begin = max(first, end - (back or {}).get(tp.topic, end))
                at = self._next.get(tp, begin)
                consumer.seek(tp, at if first <= at <= end else begin)  # a topic made anew begins again
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)).items():
                    for start in range(0, len(records), _SLICE):
                        take(records[start : start + _SLICE])
                        await asyncio.sleep(0)
                    self._next[tp] = records[-1].offset + 1
                if counted and self.progress[0] < self.progress[1]:
                    at_end = [await consumer.position(tp) >= spans[tp][1] for tp in tps]
                    if all(at_end):
                        self.progress = (self.progress[1], self.progress[1])

    async def _look(self) -> None:
        while True:
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                self.lag = await measure(self._settings)
            events = [row for row in self.lag if row.group == self._settings.kafka_group_id]
            self.looks.append((time.monotonic(), sum(row.next for row in events), sum(row.lag for row in events)))
            self._says("")
            self._changed("pipeline")
            await asyncio.sleep(_LOOK_EVERY_S)
