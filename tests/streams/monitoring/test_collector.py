"""Metrics: names are a documented contract, revoked partitions have no series, exemplars identify the slow event."""

from __future__ import annotations

import asyncio
import doctest
import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from models.learning.feature_space import SPACE
from models.learning.model import Model
from streams.console.console_metrics import console_samples
from streams.console.login_attempts import LoginAttempts
from streams.engine import batch_metrics, latency
from streams.engine.batch_metrics import BatchMetrics
from streams.engine.progress import Progress
from streams.engine.store import StoreCounts
from streams.health import Health
from streams.kafka.model_reader import PublishedSnapshot
from streams.monitoring import collector, metric_catalogue
from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.collector import MetricsCollector, build_versions, process_samples
from streams.monitoring.metric_catalogue import METRICS, VALUES
from streams.monitoring.notify_metrics import notifier_samples
from streams.monitoring.reader_metrics import reader_samples, server_samples
from streams.monitoring.trainer_metrics import trainer_samples
from streams.monitoring.worker_metrics import worker_samples
from streams.notify.route_consumer import InFlightStatus
from streams.settings import Settings
from tools.docs import DOCS

MODEL = ("3000-c0ffee", PublishedSnapshot(b"", 7, 1_000), 0)


def registry(*sources: Any) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(list(sources)))
    return registry


def exposed(*sources: Any) -> set[str]:
    """Return the exposed samples, without their values."""
    lines = generate_latest(registry(*sources)).decode().splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


def probe() -> BrokerProbe:
    probe = BrokerProbe(Settings(), "events", lambda: {0: 4})
    probe.record_ends({0: (10, 12), 1: (5, 5)})
    probe.oldest = {0: (4, 2_000)}
    return probe


def batch(alerts: int = 1) -> BatchMetrics:
    metrics = BatchMetrics(
        causes=[41], arrived_ms=[1_500], alerted=[("a1e47", 1_000)] * alerts, label_delay_ms=1, drift=0.5
    )
    metrics.counts = Counter(
        {
            ("events", "applied"): 3,
            ("alerts", "opened", "high"): alerts,
            ("properties_unreadable", "Social Mention", "sentiment"): 2,
        }
    )
    return metrics


def worker(*numbers: int) -> Any:
    status = {}
    for number in numbers:
        status[number] = Progress(position=4, newest_event_ms=1_000, newest_record_ms=3_000, counts=StoreCounts(1, 2))
        status[number].tally.add(batch())
        status[number].latency.observe(batch(), number, visible_ms=2_000, live=True)
    owned = {number: SimpleNamespace(progress=progress) for number, progress in status.items()}
    ownership = SimpleNamespace(
        recovering={7: (1, 2)},
        taking_since={7: 0.0},
        rebalances=1,
        given_up=Counter(),
        input=SimpleNamespace(partitions=8),
        names=SimpleNamespace(input="events"),
        owned=owned,
        status=lambda: status,
    )
    return SimpleNamespace(ownership=ownership)


def worker_with(*numbers: int) -> Any:
    """Return the sample source of a worker that owns these partitions."""
    return lambda: worker_samples(worker(*numbers), probe(), lambda: MODEL)


def trainer() -> tuple[Any, Any]:
    loop = SimpleNamespace(leading=True, learned_offset=3, learned_ms=1_000, published_age_s=1.0, snapshots_skipped=0)
    model = Model(SPACE)
    model.labels = 1
    quality = SimpleNamespace(auc=0.8, ece=0.01, rate=0.1, mean_probability=0.1)
    stand_in = SimpleNamespace(quality=model.quality, quality_log=SimpleNamespace(quality=quality))
    return loop, SimpleNamespace(model=stand_in, skipped=0)


def notifier() -> Any:
    delivery = SimpleNamespace(outcomes={"delivered": 1}, attempts={"failed": 1}, request_s=0.5)
    status = {0: InFlightStatus(2, 1.5, 3), 1: InFlightStatus(0, 0.0, None)}
    consumer = SimpleNamespace(route=SimpleNamespace(name="desk"), delivery=delivery, status=status)
    return SimpleNamespace(consumers=[consumer])


def console() -> Any:
    return SimpleNamespace(
        follower=SimpleNamespace(progress=(1, 2)),
        security=SimpleNamespace(attempts=LoginAttempts(), sessions=1),
        streams=[],
    )


def readers() -> tuple[Any, Any]:
    task = SimpleNamespace(name="probe of the brokers", failures=1)
    return [SimpleNamespace(counts={"churn-scores": 2})], [SimpleNamespace(tasks=[task])]


def all_sources(tmp_path: Path) -> tuple[Any, ...]:
    health = Health("worker", asyncio.Event())
    return (
        lambda: process_samples(health, build_versions(), tmp_path),
        worker_with(0, 1),
        lambda: trainer_samples(*trainer(), probe()),
        lambda: notifier_samples(notifier()),
        lambda: console_samples(console()),
        lambda: reader_samples(*readers()),
        lambda: server_samples(SimpleNamespace(open=1, closed=Counter()), "health"),  # type: ignore[arg-type]
    )


def test_declared_documented_and_collected_metrics_are_the_same(tmp_path: Path) -> None:
    """Rule: docs/operating.md and the collector have exactly the declared metrics."""
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    block = page.split("<!-- generated: metrics -->")[1].split("<!-- end: metrics -->")[0]
    declared = {metric.series for metric in METRICS}
    assert set(re.findall(r"^\| `(\w+)`", block, re.MULTILINE)) == declared
    names = {name.split("{")[0] for name in exposed(*all_sources(tmp_path))}
    assert names == {name for metric in METRICS for name in metric.all_series}


def test_series_of_a_revoked_partition_disappear() -> None:
    """Rule: a worker exports the series of its own partitions only."""
    assert 'churn_signals_lag_records{partition="1"}' in exposed(worker_with(0, 1))
    assert not [name for name in exposed(worker_with(0)) if 'partition="1"' in name]


def test_no_label_can_contain_a_customer(tmp_path: Path) -> None:
    """Rule: a label has a declared set of values, or is a partition number, a version or a name from configuration."""
    unbounded = {
        "partition",
        "property",  # a name that a reader of this program asks for, never a name of the sender
        "topic",
        "check",
        "task",
        "route",
        "version",
        "python",
        "faust",
        "aiokafka",
        "river",
        "rocksdict",
    }
    for metric in METRICS:
        for label in metric.labels:
            assert (metric.values_of(label) is not None) is (label not in unbounded), (metric, label)
    for name in exposed(*all_sources(tmp_path)):
        short = name.removeprefix("churn_signals_").split("{")[0].removesuffix("_total")
        for label, value in re.findall(r'(\w+)="([^"]*)"', name):
            known = VALUES.get(f"{label} of {short}", VALUES.get(label))
            assert known is None or value in known, name


def test_counters_start_at_zero_before_their_first_count() -> None:
    """Rule: `increase` would miss the first count of a series that appears with it."""
    text = generate_latest(registry(worker_with(0))).decode()
    assert 'churn_signals_dead_letters_total{partition="0",reason="not_json"} 0.0' in text
    assert 'churn_signals_transactions_aborted_total{reason="fenced"} 0.0' in text
    assert 'churn_signals_events_total{outcome="applied",partition="0",topic="events"} 3.0' in text


def test_exemplars_identify_the_slow_event_but_no_customer() -> None:
    """Rule: an exemplar is an alert id, or partition and offset of an event, in valid OpenMetrics."""
    text = openmetrics(registry(worker_with(0))).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    exemplars = {
        name: [sample for sample in families[f"churn_signals_event_to_{name}_seconds"].samples if sample.exemplar]
        for name in ("score", "alert")
    }
    [score], [alert] = exemplars["score"], exemplars["alert"]
    assert (score.exemplar.labels, score.exemplar.value) == ({"partition": "0", "offset": "41"}, 0.5)
    assert (alert.exemplar.labels, alert.labels["le"]) == ({"alert_id": "a1e47"}, "1.0")


def test_replay_records_no_event_to_alert_latency() -> None:
    """Rule: the due time of an alert from last year is not evidence of the latency of this program."""
    progress = Progress()
    progress.latency.observe(batch(), 0, visible_ms=2_000, live=False)
    assert (progress.latency.to_alert.buckets()[-1][1], progress.latency.to_score.buckets()[-1][1]) == (0, 1)


def test_lag_in_seconds_is_the_age_of_the_oldest_waiting_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the age is that of the record that waited when last probed. Once that record is applied, the age of the
    newest applied record is the upper bound. It is 0 if no record waits, and unknown before the first probe."""
    monkeypatch.setattr("streams.monitoring.broker_probe.time.time", lambda: 10.0)
    probed = probe()
    assert probed.oldest_wait_s(0, 4, 1_000) == 8.0
    assert probed.oldest_wait_s(0, 9, 7_000) == 3.0
    assert probed.oldest_wait_s(0, 10, 7_000) == 0.0
    assert probed.oldest_wait_s(3, 0, None) is None
    assert probed.oldest_wait_s(0, 9, None) is None


def test_standby_trainer_exports_no_model_quality() -> None:
    """Rule: it has learned nothing, which differs from a loss of 0."""
    loop, learner = trainer()
    loop.leading = False
    assert exposed(lambda: trainer_samples(loop, learner, probe())) == {
        "churn_signals_leading",
        "churn_signals_start_snapshots_skipped_total",
    }


def test_counting_costs_less_than_a_microsecond_per_event() -> None:
    """Rule: measured on a transaction of 500 events, each with a published score."""
    events, best_s = 500, 1.0
    metrics = batch()
    metrics.causes, metrics.arrived_ms = list(range(events)), [1_500 + n for n in range(events)]
    for _ in range(20):
        progress, started = Progress(), time.thread_time()
        progress.tally.add(metrics)
        progress.latency.observe(metrics, 0, visible_ms=2_000, live=True)
        best_s = min(best_s, time.thread_time() - started)
    assert best_s / events < 1e-6


@pytest.mark.parametrize("module", [collector, metric_catalogue, batch_metrics, latency])
def test_docstring_examples_are_correct(module: Any) -> None:
    """Rule: every doctest passes."""
    assert doctest.testmod(module).failed == 0
