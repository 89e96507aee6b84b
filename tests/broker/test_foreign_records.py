"""Foreign records on every topic that console, `notify` and commands read: each is reported once, and all continue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaProducer

from models.outputs.alert_record import alert_headers
from streams.console.database import AlertQuery
from streams.console.security import ConsoleSecurity
from streams.console.server import Console
from streams.engine.worker import Worker
from streams.kafka.topic_reader import read_topic
from streams.notify.notifier import Notifier
from streams.notify.routes import read_routes
from tests.broker.commands import call
from tests.broker.in_process import send, with_worker
from tests.broker.test_notify import ROUTE, VARIABLES
from tests.broker.test_worker import Alarm, outputs
from tests.crash.harness import Run, scenario
from tests.foreign_records import ForeignRecord, foreign_records, odd_metadata
from tests.streams.alert_values import life
from tests.streams.console.test_published_records import GOOD
from tests.streams.kafka.test_aiokafka_records import NAME, batch_of, foreign
from tests.streams.notify.receiver import Receiver
from tests.waiting import until

# Topics by their setting.
SCORES, ALERTS, METRICS, MODEL = "topic_scores", "topic_alerts", "topic_metrics", "topic_model"
DEAD_LETTERS, UNDELIVERED = "topic_dead_letters", "topic_undelivered"
KIND_OF = {"score": SCORES, "alert": ALERTS}


def name_of(topic: str, run: Run) -> str:
    name: str = getattr(run.settings, topic)
    return name


def records_of() -> dict[str, list[ForeignRecord]]:
    """By topic: foreign records, followed by good ones with odd headers."""
    topics: dict[str, list[ForeignRecord]] = {}
    event, _ = life("c1")[0]
    for name, (key, value, _) in GOOD.items():
        headers = list[tuple[str, bytes | None]](alert_headers(event, "c1") if name == "alert" else [])
        kinds = topics.setdefault(KIND_OF.get(name, METRICS), [])
        kinds += foreign_records(key, value, headers)
        kinds += odd_metadata(key, value, headers)
    topics[DEAD_LETTERS] = topics[UNDELIVERED] = topics[ALERTS]
    topics[MODEL] = [ForeignRecord("not JSON", b"churn", b"not json")]
    return topics


async def publish(run: Run, topics: dict[str, list[ForeignRecord]]) -> None:
    """Publish all records to partition 0 of their topics, before them one whose header name is not UTF-8."""
    async with AIOKafkaProducer(**run.settings.connection(), max_request_size=2_000_000) as producer:
        sent: list[Any] = []
        for topic, kinds in topics.items():
            name = name_of(topic, run)
            strange = foreign(batch_of(0, [[(NAME, b"1")]]))
            sent.append(await producer.send_batch(strange, name, partition=0))
            sent += [
                await producer.send(name, each.value, each.key, partition=0, timestamp_ms=each.timestamp_ms,
                                    headers=each.headers)
                for each in kinds
                if each.key is not None or topic not in (SCORES, METRICS, MODEL)  # compacted topics refuse them
            ]  # fmt: skip
        await asyncio.gather(*sent)


def skipped_count(kinds: Iterable[ForeignRecord], good: int, *, compacted: bool) -> int:
    """How many of the published records a reader skips, the one with the strange header included."""
    return sum(not compacted or each.key is not None for each in kinds) - good + 1


def test_foreign_records_stop_no_reader(
    new_run: Callable[..., Run], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Setup: 50 kinds of records on each topic, and good ones after them."""
    run, topics, odd = new_run(partitions=1), records_of(), len(odd_metadata(b"", b""))
    call(run, "topics", "create")
    file = run.directory / "notify.toml"

    async def body() -> None:
        await publish(run, topics)
        console = Console(run.settings, ConsoleSecurity("127.0.0.1", ""), tmp_path)
        async with Receiver(lambda request, count: 200).listening() as receiver:
            file.write_text(ROUTE.format(name="desk", url=receiver.url))
            notifier, stop = Notifier(run.settings, read_routes(file, VARIABLES)), asyncio.Event()
            async with TestClient(TestServer(console.app())) as client:
                notifying = asyncio.create_task(notifier.run(stop))
                await check_console(console, client)
                await until("the good alerts", lambda: len(receiver.requests) == odd)
                await until("idle", lambda: notifier.consumers[0].status[0].open == 0)
                stop.set()
                await notifying
        letters = skipped_count(topics[ALERTS], odd, compacted=False)
        assert notifier.consumers[0].delivery.outcomes == {"delivered": odd, "skipped": 0, "dead_letter": letters}
        undelivered = [record async for record in read_topic(run.settings, name_of(UNDELIVERED, run))]
        assert sum(dict(record.headers).get("churn.route") == b"desk" for record in undelivered) == letters

    async def check_console(console: Console, client: Any) -> None:
        expected = {
            name_of(SCORES, run): skipped_count(topics[SCORES], odd, compacted=True),
            name_of(ALERTS, run): skipped_count(topics[ALERTS], odd, compacted=False),
            name_of(METRICS, run): skipped_count(topics[METRICS], 7 * odd, compacted=True),
            name_of(MODEL, run): 1,
        }
        counts = console.follower.unusable.counts
        await until("all foreign records", lambda: counts.total() >= sum(expected.values()))
        await until("the good score and alert", lambda: console.database.alerts(AlertQuery())[1] == 1)
        assert counts == expected
        for path in ("/", "/customers", "/customer?id=c1", "/model", "/pipeline", "/healthz"):
            assert (await client.get(path)).status == 200, path
        assert not [task.problem for task in console.follower.tasks.tasks if task.failed]

    with caplog.at_level(logging.WARNING):
        asyncio.run(body())
    for arguments in (
        ("alerts", "--format", "json"), ("customer", "c1"), ("retention",), ("experience",), ("purchases",),
        ("dlq", "ls"), ("dlq", "ls", "--json"), ("lag", "--window", "0"), ("dlq", "replay", "--all", "--dry-run"),
    ):  # fmt: skip
        result = call(run, *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), arguments
        assert "Traceback" not in result.output
        if arguments[0] in ("alerts", "retention", "experience", "purchases"):
            assert result.stderr.count("which this version cannot read") == 20, arguments
            assert " records skipped" in result.stderr, arguments


def test_event_whose_header_name_is_not_utf8_is_applied(new_run: Callable[..., Run]) -> None:
    """Rule: whatever a publisher puts into the name of a header, the worker continues, and so do its restarts."""

    async def body(run: Run) -> None:
        events, now_ms = name_of("topic_events", run), int(time.time() * 1000)
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            strange = foreign(batch_of(0, [[(NAME, b"1")]], value=b"600000"), now_ms)
            await (await producer.send_batch(strange, events, partition=0))
        await send(run, (b"a", b"600000", now_ms))
        worker = Worker(run.settings, lambda number, store, state: Alarm(run, number, store, state))

        async def both() -> bool:
            return await outputs(run) == [b"seen", b"seen"]

        await with_worker(worker, lambda: until("both events", both))

    scenario(new_run(partitions=1), body)
