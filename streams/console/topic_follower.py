"""Follow the output topics into the database, sample the lag, and report why no new data arrives.

Each topic has a task of its own. A record that cannot be used is skipped and reported (`UnusableRecords`). Whatever
else stops a task is retried, and shown on every page and in the health checks (`BackgroundTasks`).
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from models.events.unreadable import UnreadableCounts
from models.experience.aggregates import ExperienceBlock, Pair, Sums, add
from models.experience.report import times_to_value
from streams.admin.lag import PartitionLag, measure
from streams.console.database import ConsoleDatabase, ConsoleDatabaseFailed
from streams.console.dead_letter_samples import DeadLetterSamples
from streams.console.model_insights import ModelFigures, model_figures
from streams.console.published_records import alert_change, published_metric, score_change
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import consuming, partitions_of, spans_of
from streams.kafka.unusable_records import UnusableRecords
from streams.runtime.background_tasks import BackgroundTask, BackgroundTasks
from streams.settings import Settings
from streams.topics import ALERTS, DEAD_LETTERS, METRICS, MODEL, SCORES, name_of

# 150 scores take about 15 ms to decode, compress and write. Requests are served between slices.
_SLICE_RECORDS = 150
_BATCH_RECORDS = 2_000
_POLL_MS = 200
_SAMPLE_EVERY_S = 3.0
_SAMPLE_TIMEOUT_S = 15.0
_RATE_WINDOW_S = 30.0
# Ten minutes.
SAMPLES_KEPT = 200
# Number of the newest dead letters and snapshots per partition to read at the start.
_LETTERS_READ, _SNAPSHOTS_READ = 5_000, 8
# 1,000 partitions with 33 plans each have fewer. Another client that writes blocks must not fill the memory.
_GOAL_BLOCKS_MAX: Final = 40_000
# One per partition, 25 KB at most.
_UNREADABLE_RECORDS_MAX: Final = 1_024
# Errors of this machine, not of the connection to a broker: they do not pass when the broker returns.
_LOCAL_ERRORS: Final = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOENT,
)  # fmt: skip


class TopicFollower:
    """Reads from `start` to `stop`. The attributes hold the newest figures.

    Attributes:
        unusable: Skipped records.
        tasks: The readers and the lag sampler.
        progress: Records of churn-scores read at the start, and their number.
        lag: The newest sample of all partitions.
        lag_samples: (monotonic seconds, applied events, waiting events) of the last ten minutes.
        quality: The trainer's newest quality record.
        model: Figures of the newest model snapshot.
        letters: Dead letters by reason.
        goal_sums: Published sums of the times to goals, by record key.
        unreadable: Published counts of unreadable properties, by record key.
    """

    def __init__(self, settings: Settings, database: ConsoleDatabase, notify: Callable[[str], None]) -> None:
        self.progress = (0, 0)
        self.lag: list[PartitionLag] = []
        self.lag_samples: deque[tuple[float, int, int]] = deque(maxlen=SAMPLES_KEPT)
        self.quality: dict[str, Any] | None = None
        self.model: ModelFigures | None = None
        self.letters = DeadLetterSamples()
        self.unreadable: dict[bytes, UnreadableCounts] = {}
        self.goal_sums: dict[bytes, tuple[ExperienceBlock, dict[str, Pair]]] = {}
        self.unusable = UnusableRecords(named=(name_of(METRICS, settings), name_of(MODEL, settings)))
        self._settings = settings
        self._database = database
        self._notify = notify
        self._next: dict[TopicPartition, int] = {}
        self.tasks = BackgroundTasks(
            *(
                BackgroundTask(name, work, self._explain, lambda: notify("status"))
                for name, work in (
                    (f"reader of {name_of(ALERTS, settings)}", self._follow_alerts),
                    (f"reader of {name_of(SCORES, settings)}", self._follow_scores),
                    ("reader of metrics, models and dead letters", self._follow_rest),
                    ("lag sampler", self._sample_lag),
                )
            )
        )

    def start(self) -> None:
        """Follow all topics and sample the lag."""
        self.tasks.start()

    async def stop(self) -> None:
        """Stop within seconds, also if no broker responds."""
        await self.tasks.stop()

    @property
    def problem(self) -> str:
        """Why no new data arrives, in sentences; empty if all tasks make progress."""
        failed = [task.problem for task in self.tasks.tasks if task.failed]
        expected = [task.problem for task in self.tasks.tasks if task.problem and not task.failed]
        return " ".join(dict.fromkeys([*failed, *expected[-1:]]))

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
        for block, series in self.goal_sums.values():
            add(sums, block, series)
        return times_to_value(sums)

    def unreadable_properties(self) -> list[tuple[str, str, int, str]]:
        """Return event, property, count over all partitions, and the newest position in one of them."""
        rows: dict[tuple[str, str], tuple[int, str]] = {}
        for key, counts in sorted(self.unreadable.items()):
            for pair, found in counts.items():
                count, _ = rows.get(pair, (0, ""))
                rows[pair] = count + found.events, f"{key.partition(b'/')[2].decode()}@{found.newest}"
        return [(*pair, *row) for pair, row in sorted(rows.items(), key=lambda item: (-item[1][0], item[0]))]

    def _explain(self, failure: Exception) -> str | None:
        servers = self._settings.kafka_bootstrap_servers
        if isinstance(failure, TimeoutError):  # a subclass of OSError, without a message of its own
            return f"Kafka at {servers} does not answer in time."
        if isinstance(failure, KafkaError) or (isinstance(failure, OSError) and failure.errno not in _LOCAL_ERRORS):
            return f"Kafka at {servers} is not available: {failure!r}."
        if isinstance(failure, ChurnSignalsError) and not isinstance(failure, ConsoleDatabaseFailed):
            return f"{str(failure).rstrip('.')}."
        return None

    async def _follow_alerts(self, task: BackgroundTask) -> None:
        async def add_records(records: list[Any]) -> None:
            version = self._database.version
            changes = (self.unusable.use(record, alert_change) for record in records)
            self._database.add_alerts([change for change in changes if change is not None])
            if self._database.version != version:
                self._notify("alerts")

        await self._follow(task, await partitions_of(self._settings, name_of(ALERTS, self._settings)), add_records)

    async def _follow_scores(self, task: BackgroundTask) -> None:
        async def add_records(records: list[Any]) -> None:
            changes = (self.unusable.use(record, score_change) for record in records)
            self._database.add_scores([change for change in changes if change is not None])
            done, total = self.progress
            self.progress = (min(done + records[-1].offset + 1 - records[0].offset, total), total)
            self._notify("scores")

        tps = await partitions_of(self._settings, name_of(SCORES, self._settings))
        await self._follow(task, tps, add_records, counted=True)

    async def _follow_rest(self, task: BackgroundTask) -> None:
        settings = self._settings
        letters, metrics, model = (name_of(topic, settings) for topic in (DEAD_LETTERS, METRICS, MODEL))

        async def add_records(records: list[Any]) -> None:
            topic = records[0].topic
            if topic == letters:
                for record in records:
                    self.unusable.use(record, self.letters.add)
                self._notify("pipeline")
            elif topic == model:
                await self._add_snapshots(records)
            else:
                self._add_metrics(records)

        tps = [*await partitions_of(settings, letters), *await partitions_of(settings, metrics)]
        tps.append(TopicPartition(model, 0))
        await self._follow(task, tps, add_records, newest={letters: _LETTERS_READ, model: _SNAPSHOTS_READ})

    async def _add_snapshots(self, records: list[Any]) -> None:
        """Derive the figures of the newest usable snapshot, on another thread: that takes some milliseconds."""
        key = self._settings.model_name.encode()
        for record in reversed(records):
            if record.key != key or record.value is None:
                continue
            try:
                self.model = await asyncio.to_thread(model_figures, record)
            except Exception:  # the figures depend on the record only
                self.unusable.skip(record, "it is no model snapshot that this release can read")
                continue
            self._notify("model")
            return

    def _add_metrics(self, records: list[Any]) -> None:
        for record in records:
            metric = self.unusable.use(record, published_metric)
            if metric is None:
                continue
            if metric.quality is not None:
                self.quality = metric.quality
                self._notify("model")
            elif metric.goals is not None and _has_room(self.goal_sums, record.key, _GOAL_BLOCKS_MAX):
                self.goal_sums[record.key] = metric.goals
            elif metric.unreadable is not None and _has_room(self.unreadable, record.key, _UNREADABLE_RECORDS_MAX):
                self.unreadable[record.key] = metric.unreadable
                self._notify("pipeline")

    async def _follow(
        self,
        task: BackgroundTask,
        tps: list[TopicPartition],
        add_records: Callable[[list[Any]], Awaitable[None]],
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
                        part = records[start : start + _SLICE_RECORDS]
                        await add_records(part)
                        self._next[tp] = part[-1].offset + 1
                        await asyncio.sleep(0)
                task.succeeded()
                if counted and self.progress[0] < self.progress[1]:
                    at_end = [await consumer.position(tp) >= spans[tp][1] for tp in tps]
                    if all(at_end):
                        self.progress = (self.progress[1], self.progress[1])

    async def _sample_lag(self, task: BackgroundTask) -> None:
        while True:
            async with asyncio.timeout(_SAMPLE_TIMEOUT_S):
                self.lag = await measure(self._settings)
            events = [row for row in self.lag if row.group == self._settings.kafka_group_id]
            self.lag_samples.append((time.monotonic(), sum(row.next for row in events), sum(row.lag for row in events)))
            task.succeeded()
            self._notify("pipeline")
            await asyncio.sleep(_SAMPLE_EVERY_S)


def _has_room(records: dict[bytes, Any], key: bytes, limit: int) -> bool:
    """Check whether a record may be kept: another client that writes many keys must not fill the memory."""
    return key in records or len(records) < limit
