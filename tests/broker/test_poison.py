"""Foreign records on the topics that worker and trainer read, while both are at work: nothing stops."""

from __future__ import annotations

import asyncio
import itertools
import urllib.request
from collections.abc import Callable
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from models.simulation import Simulation, SimulationSettings
from streams.monitoring.http_server import address_directory
from streams.topics import ALERTS, EVENTS, LABELS, METRICS, MODEL, SCORES, create_topics, name_of
from tests.broker.oracle import CHURN, read
from tests.crash.harness import Run
from tests.foreign_records import ForeignRecord, Headers, foreign_records
from tests.waiting import until

PRODUCT = Path(__file__).with_name("product.py")
# What each logs once it is at work.
ROLES = {"worker": "took over", "trainer": "leads from"}
MAX_BYTES = 900_000
EVENT_COUNT = 2_400  # of 80 customers over two weeks: labels mature after nine days
# Kinds whose value is good: the reader of labels does not read keys, and the reader of models skips other keys.
GOOD_VALUES = {"no key", "empty key", "key not UTF-8", "key of another customer", "huge key", "key with controls"}


def figure(run: Run, role: str, name: str) -> float:
    """One figure without labels of a process's metrics."""
    [file] = address_directory(run.settings).glob(f"*-{run.workers[role].pid}.json")
    [target] = orjson.loads(file.read_bytes())[0]["targets"]
    with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def of_value(key: bytes, value: bytes, headers: Headers) -> list[ForeignRecord]:
    """The kinds whose value cannot be used, as far as the broker accepts their size."""
    records = [record for record in foreign_records(key, value, headers) if record.kind not in GOOD_VALUES]
    return [record for record in records if len(record.value or b"") < MAX_BYTES]


async def publish(run: Run, topic: str, records: list[ForeignRecord]) -> None:
    async with AIOKafkaProducer(**run.settings.connection(), max_request_size=MAX_BYTES + 100_000) as producer:
        for each in records:
            await producer.send(topic, each.value, each.key, partition=0, headers=each.headers)


def test_foreign_records_stop_neither_worker_nor_trainer(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: foreign labels and snapshots are counted, reported with their place, and never learned or scored with."""
    config = tmp_path / "churn.toml"
    config.write_text(CHURN)
    run = new_run(partitions=1, config=str(config), clock="event", snapshot_interval_ms=500)
    names = {topic.role: name_of(topic, run.settings) for topic in (EVENTS, LABELS, MODEL, SCORES, ALERTS, METRICS)}
    simulation = Simulation(SimulationSettings(customers=80, days=90, seed=5))
    events = [
        ForeignRecord("event", event.customer.encode(), event.value)
        for event in itertools.islice(simulation.events(), EVENT_COUNT)
    ]

    async def labelled(count: int) -> bool:
        return figure(run, "trainer", "churn_signals_labels_learned") >= count

    async def body() -> None:
        await create_topics(run.settings)
        for role in ROLES:
            run.start(role, program=PRODUCT, PRODUCT_ROLE=role)
        await until("both", lambda: all(words in run.log_of(role) for role, words in ROLES.items()))
        await publish(run, names[EVENTS.role], events[: EVENT_COUNT * 3 // 4])
        await until("labels", lambda: labelled(50), context=lambda: run.log_of("trainer"))
        model = next(
            r for r in reversed(await read(run, names[MODEL.role])) if r.key == run.settings.model_name.encode()
        )
        labels = of_value(b"c1", (await read(run, names[LABELS.role]))[0].value, [])
        snapshots = of_value(model.key, model.value, list(model.headers))
        await publish(run, names[LABELS.role], labels)
        await publish(run, names[MODEL.role], snapshots)
        for topic in (SCORES, ALERTS, METRICS):  # which neither of them reads
            await publish(run, names[topic.role], [ForeignRecord("not JSON", b"x", b"not json")])
        await until("a learned model", lambda: figure(run, "worker", "churn_signals_model_labels_offset") > 0)
        await publish(run, names[EVENTS.role], events[EVENT_COUNT * 3 // 4 :])
        skipped = {
            ("trainer", "churn_signals_labels_skipped"): len(labels),
            ("worker", "churn_signals_model_snapshots_skipped_total"): len(snapshots),
        }

        def counted() -> bool:
            return all(figure(run, *which) >= count for which, count in skipped.items())

        await until("all skips", counted)
        assert {which: figure(run, *which) for which in skipped} == skipped
        assert min(skipped.values()) >= 40
        good = len(await read(run, names[LABELS.role])) - len(labels)
        await until("all labels", lambda: labelled(good))
        assert all(process.poll() is None for process in run.workers.values())
        usable = {r.value for r in await read(run, names[MODEL.role])} - {each.value for each in snapshots}
        versions = {orjson.loads(value)["version"] for value in usable}
        scored = {orjson.loads(r.value)["model"] for r in await read(run, names[SCORES.role]) if r.value != b"not json"}
        assert len(scored) > 1
        assert scored - {"prior"} <= versions
        for role, topic in (("trainer", LABELS), ("worker", MODEL)):
            assert f"{names[topic.role]}/0@" in run.log_of(role)
            assert "Traceback" not in run.log_of(role)
        assert {role: run.stop(role) for role in ROLES} == dict.fromkeys(ROLES, 0)

    try:
        asyncio.run(body())
    finally:
        run.end()
