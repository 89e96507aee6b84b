"""Reading the topics: foreign records are skipped, and what else stops a reader is visible and retried."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streams.admin.lag import PartitionLag
from streams.console import topic_follower
from streams.console.database import AlertQuery
from streams.console.server import Console
from streams.runtime import background_tasks
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tests.foreign_records import foreign_records
from tests.streams.alert_values import life
from tests.streams.console.consoles import opened
from tests.streams.console.published import record, score_of
from tests.streams.console.test_published_records import GOOD
from tests.streams.training.test_learner import labels
from tests.waiting import until

TOPICS = ("churn-alerts", "churn-scores", "churn-metrics", "churn-model", "customer-events.dlq")


class Broker:
    """Topics with one partition each. `failure` is raised by every fetch."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Any]] = {topic: [] for topic in TOPICS}
        self.failure: BaseException | None = None

    def add(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.topics[topic].append(record(topic, key, value, len(self.topics[topic])))

    @asynccontextmanager
    async def consuming(self, _settings: Settings) -> AsyncIterator[Consumer]:
        yield Consumer(self)

    async def partitions_of(self, _settings: Settings, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, 0)]

    async def spans_of(self, _consumer: Any, tps: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        return {tp: (0, len(self.topics[tp.topic])) for tp in tps}

    async def measure(self, _settings: Settings) -> list[PartitionLag]:
        await asyncio.sleep(0)
        return [PartitionLag("churn-signals", "customer-events", 0, 5, 0, 9, 0, 1_000, 3_500)]


class Consumer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._next: dict[TopicPartition, int] = {}

    def assign(self, tps: list[TopicPartition]) -> None:
        self._next = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._next[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self._next[tp]

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.005)
        if self._broker.failure is not None:
            raise self._broker.failure
        found = {tp: self._broker.topics[tp.topic][at : at + max_records] for tp, at in self._next.items()}
        for tp, records in found.items():
            self._next[tp] += len(records)
        return {tp: records for tp, records in found.items() if records}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    fake = Broker()
    for name in ("consuming", "partitions_of", "spans_of", "measure"):
        monkeypatch.setattr(topic_follower, name, getattr(fake, name))
    monkeypatch.setattr(background_tasks, "RETRY_S", 0.02)
    monkeypatch.setattr(background_tasks, "LONGEST_RETRY_S", 0.02)
    monkeypatch.setattr(topic_follower, "_SAMPLE_EVERY_S", 0.01)
    return fake


def read(console: Console, broker: Broker) -> bool:
    """Whether the console has read all topics to their ends."""
    at = console.follower._next
    return all(at.get(TopicPartition(topic, 0), 0) == len(records) for topic, records in broker.topics.items())


def test_foreign_records_are_skipped_and_everything_else_is_read(
    tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: 50 kinds of records on each topic, between good ones. Each is reported once; no page shows or fails."""
    learner = ModelLearner(Settings())
    learner.learn(labels(60))
    good = {**GOOD, "model": (b"churn", learner.snapshot(), None)}
    topics = {"score": "churn-scores", "alert": "churn-alerts", "model": "churn-model"}
    for name, (key, value, _) in good.items():
        topic = topics.get(name, "churn-metrics")
        for foreign in foreign_records(key, value) if name in ("score", "alert", "quality", "goals") else ():
            broker.add(topic, foreign.key, foreign.value)
        broker.add(topic, key, value)
    for name in ("score", "alert"):
        for foreign in foreign_records(*good[name][:2]):
            broker.add("customer-events.dlq", foreign.key, foreign.value)
    broker.add("churn-model", b"churn", b"not json")
    used = Counter(topics.get(name, "churn-metrics") for name in good)
    expected = {topic: len(broker.topics[topic]) - used[topic] for topic in TOPICS[:-1]}

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            follower = console.follower
            await until("the ends of all topics", lambda: read(console, broker))
            for path in ("/", "/customers", "/customer?id=c1", "/model", "/pipeline", "/?state=ended"):
                async with client.get(path) as answer:
                    assert answer.status == 200, path
                    text = await answer.text()
                    assert "No new data.</strong> <span></span>" in text
                    assert "-other" not in text
            assert (console.database.count(), console.database.alerts(AlertQuery())[1]) == (1, 1)
            assert follower.quality is not None
            assert follower.quality["labels"] == 60
            assert follower.model is not None
            assert follower.model.influences
            assert len(follower.goal_sums) == 1
            assert follower.unusable.counts == expected
            assert (await client.get("/healthz")).status == 200
            assert (await client.get("/readyz")).status == 200

    with caplog.at_level(logging.WARNING):
        asyncio.run(visit())
    lines = [entry for entry in caplog.records if "record skipped" in entry.msg]
    assert len(lines) == len({entry.getMessage() for entry in lines}) == sum(expected.values())
    assert "'model.quality/0'" in caplog.text
    assert "c1-other" not in caplog.text


def test_full_disk_is_shown_until_there_is_space_and_no_record_is_lost(tmp_path: Path, broker: Broker) -> None:
    """Rule: banner, /healthz and a counter. Pages show the last known data. The same records are read again."""
    broker.add("churn-scores", b"c0", orjson.dumps(score_of("c0")))

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            task = console.follower.tasks.tasks[1]
            await until("the first score", lambda: console.database.count() == 1)
            sql = console.database._db.execute
            sql(f"PRAGMA max_page_count={sql('PRAGMA page_count').fetchone()[0]}")
            for i in range(300):
                broker.add("churn-scores", b"c%d" % i, orjson.dumps(score_of(f"c{i}")))
            await until("a failure", lambda: task.failures >= 2)
            assert "SQLITE_FULL" in console.follower.problem
            async with client.get("/healthz") as answer:
                assert answer.status == 503
                assert "SQLITE_FULL" in (await answer.json())["checks"]["reader of churn-scores"]["why"]
            async with client.get("/customers") as answer:
                text = await answer.text()
                assert answer.status == 200
                assert "reader of churn-scores failed and is retried" in text
                assert "c0" in text
            broker.add("churn-alerts", b"c1", life("c1")[0][1])  # the alerts are small
            sql("PRAGMA max_page_count=1000000")
            await until("all scores", lambda: console.database.count() == 300)
            await until("no problem", lambda: not console.follower.problem)
            assert (await client.get("/healthz")).status == 200
            await until("the alert", lambda: console.database.alerts(AlertQuery())[1] == 1)

    asyncio.run(visit())


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (KafkaConnectionError("away"), 200),
        (TimeoutError(), 200),
        (ConnectionResetError(), 200),
        (RuntimeError("a bug"), 503),
        (OSError(28, "No space left on device"), 503),
        (asyncio.CancelledError(), 503),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reader_continues_after_every_failure(
    tmp_path: Path, broker: Broker, failure: BaseException, status: int
) -> None:
    """Rule: a broker that is away leaves the process healthy but unready; everything else makes it unhealthy."""

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            await until("progress", lambda: all(task.progressed for task in console.follower.tasks.tasks))
            broker.failure = failure
            await until("the problem", lambda: console.follower.problem)
            assert (await client.get("/healthz")).status == status
            assert (await client.get("/readyz")).status == 503
            async with client.get("/live") as stream:
                await stream.content.readline()
                assert len(await stream.content.readline()) > len(b"data: \n")
            broker.failure = None
            broker.add("churn-scores", b"c0", orjson.dumps(score_of("c0")))
            await until("the next score", lambda: console.database.count() == 1)
            await until("no problem", lambda: not console.follower.problem)
            assert (await client.get("/readyz")).status == 200

    asyncio.run(visit())


def test_blocks_of_goals_are_bounded(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a client that writes many keys does not fill the memory; known keys are still updated."""
    monkeypatch.setattr(topic_follower, "_GOAL_BLOCKS_MAX", 5)
    _, value, _ = GOOD["goals"]
    for partition in range(9):
        document = {**orjson.loads(value), "partition": partition}
        broker.add("churn-metrics", b"experience/%d/goals/pro" % partition, orjson.dumps(document))

    async def visit() -> None:
        async with opened(tmp_path) as (_, console):
            await until("the ends of all topics", lambda: read(console, broker))
            assert len(console.follower.goal_sums) == 5

    asyncio.run(visit())
