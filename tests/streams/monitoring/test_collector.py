"""Metrics: names are a contract, documented; a partition that is gone has no series; examples lead to the cause."""

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

from models.learning.model import Model
from streams.engine import batch_metrics as tally
from streams.engine import latency
from streams.engine.batch_metrics import BatchMetrics
from streams.engine.partition_runner import Progress
from streams.engine.store import StoreCounts
from streams.health import Health
from streams.kafka.model_reader import PublishedSnapshot
from streams.monitoring import broker_probe as broker_watch
from streams.monitoring import collector as metrics
from streams.monitoring import metric_catalogue as metric_names
from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.collector import Metrics, build_registry, of_process
from streams.monitoring.metric_catalogue import METRICS, VALUES
from streams.monitoring.notify_metrics import of_notifier
from streams.monitoring.trainer_metrics import of_trainer
from streams.monitoring.worker_metrics import of_worker
from streams.notify.route_consumer import InFlightStatus
from streams.scoring.event_processor import SPACE
from streams.settings import Settings
from tools.docs import DOCS

MODEL = ("3000-c0ffee", PublishedSnapshot(b"", 7, 1_000))


def registry(*sources: Any) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(Metrics(list(sources)))
    return made


def shown(*sources: Any) -> set[str]:
    """The samples, without their values."""
    lines = generate_latest(registry(*sources)).decode().splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


def watch() -> BrokerProbe:
    found = BrokerProbe(Settings(), "events", lambda: {0: 4})
    found.answered({0: (10, 12), 1: (5, 5)})
    found.oldest = {0: (4, 2_000)}
    return found


def batch(alerts: int = 1) -> BatchMetrics:
    told = BatchMetrics(
        causes=[41], arrived_ms=[1_500], alerted=[("a1e47", 1_000)] * alerts, label_delay_ms=1, drift=0.5
    )
    told.counts = Counter({("events", "applied"): 3, ("alerts", "opened", "high"): alerts})
    return told


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
        partitions=8,
        names=SimpleNamespace(input="events"),
        owned=owned,
        status=lambda: status,
    )
    return SimpleNamespace(ownership=ownership)


def of(*numbers: int) -> Any:
    return lambda: of_worker(worker(*numbers), watch(), lambda: MODEL)


def trainer() -> tuple[Any, Any]:
    loop = SimpleNamespace(leading=True, learned_offset=3, learned_ms=1_000, published_age_s=1.0)
    model = Model(SPACE)
    model.labels = 1
    quality = SimpleNamespace(auc=0.8, ece=0.01, rate=0.1, mean_probability=0.1)
    stand_in = SimpleNamespace(quality=model.quality, quality_log=SimpleNamespace(quality=quality))
    return loop, SimpleNamespace(model=stand_in, skipped=0)


def notifier() -> Any:
    delivery = SimpleNamespace(ends={"delivered": 1}, attempts={"failed": 1}, request_s=0.5)
    held = {0: InFlightStatus(2, 1.5, 3), 1: InFlightStatus(0, 0.0, None)}
    return SimpleNamespace(couriers=[SimpleNamespace(route=SimpleNamespace(name="desk"), delivery=delivery, held=held)])


def everything(tmp_path: Path) -> tuple[Any, ...]:
    health = Health("worker", asyncio.Event())
    return (
        lambda: of_process(health, build_registry(), tmp_path),
        of(0, 1),
        lambda: of_trainer(*trainer(), watch()),
        lambda: of_notifier(notifier()),
    )


def test_every_metric_is_documented_and_shown_and_no_other(tmp_path: Path) -> None:
    """Rule: declared, documented and collected are the same names."""
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    block = page.split("<!-- generated: metrics -->")[1].split("<!-- end: metrics -->")[0]
    declared = {metric.series for metric in METRICS}
    assert set(re.findall(r"^\| `(\w+)`", block, re.MULTILINE)) == declared
    names = {name.split("{")[0] for name in shown(*everything(tmp_path))}
    assert names == {name for metric in METRICS for name in metric.all_series}


def test_a_revoked_partition_s_series_vanish() -> None:
    """Rule: what another worker owns is not shown by the last owner."""
    assert 'churn_signals_lag_records{partition="1"}' in shown(of(0, 1))
    assert not [name for name in shown(of(0)) if 'partition="1"' in name]


def test_no_label_can_hold_a_customer(tmp_path: Path) -> None:
    """Rule: a label's values are known beforehand, or numbers of partitions, versions, and names of this program's."""
    open_ones = {"partition", "topic", "check", "route", "version", "python", "faust", "aiokafka", "river", "rocksdict"}
    for metric in METRICS:
        for label in metric.labels:
            assert (metric.values_of(label) is not None) is (label not in open_ones), (metric, label)
    for name in shown(*everything(tmp_path)):
        short = name.removeprefix("churn_signals_").split("{")[0].removesuffix("_total")
        for label, value in re.findall(r'(\w+)="([^"]*)"', name):
            known = VALUES.get(f"{label} of {short}", VALUES.get(label))
            assert known is None or value in known, name


def test_what_can_be_counted_is_shown_before_it_happens() -> None:
    """Rule: a counter that begins with its first count has lost that count to `increase`."""
    text = generate_latest(registry(of(0))).decode()
    assert 'churn_signals_dead_letters_total{partition="0",reason="not_json"} 0.0' in text
    assert 'churn_signals_transactions_aborted_total{reason="fenced"} 0.0' in text
    assert 'churn_signals_events_total{outcome="applied",partition="0",topic="events"} 3.0' in text


def test_examples_lead_to_what_was_slow_and_never_to_a_customer() -> None:
    """Rule: an exemplar is an alert's id, or partition and offset of an event; the parser of OpenMetrics agrees."""
    text = openmetrics(registry(of(0))).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = {
        name: [sample for sample in families[f"churn_signals_event_to_{name}_seconds"].samples if sample.exemplar]
        for name in ("score", "alert")
    }
    [score], [alert] = found["score"], found["alert"]
    assert (score.exemplar.labels, score.exemplar.value) == ({"partition": "0", "offset": "41"}, 0.5)
    assert (alert.exemplar.labels, alert.labels["le"]) == ({"alert_id": "a1e47"}, "1.0")


def test_a_replay_has_no_time_from_event_to_alert() -> None:
    """Rule: when an alert of last year was due says nothing about how fast this program is."""
    progress = Progress()
    progress.latency.observe(batch(), 0, visible_ms=2_000, live=False)
    assert (progress.latency.to_alert.buckets()[-1][1], progress.latency.to_score.buckets()[-1][1]) == (0, 1)


def test_what_waits_is_as_old_as_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the age is that of the record that waited at the last look, or, once that is applied, at most that of the
    newest record applied; 0 if none waits, and nothing is said before the first look."""
    monkeypatch.setattr(broker_watch.time, "time", lambda: 10.0)
    seen = watch()
    assert seen.waited_s(0, 4, 1_000) == 8.0
    assert seen.waited_s(0, 9, 7_000) == 3.0
    assert seen.waited_s(0, 10, 7_000) == 0.0
    assert seen.waited_s(3, 0, None) is None
    assert seen.waited_s(0, 9, None) is None


def test_a_standby_shows_no_quality() -> None:
    """Rule: it has learned nothing, which is not the same as a loss of 0."""
    loop, learner = trainer()
    loop.leading = False
    assert shown(lambda: of_trainer(loop, learner, watch())) == {"churn_signals_leading"}


def test_counting_costs_less_than_a_microsecond_an_event() -> None:
    """Rule: what a transaction of 500 events costs besides when every one of them is told."""
    events, best_s = 500, 1.0
    one = batch()
    one.causes, one.arrived_ms = list(range(events)), [1_500 + n for n in range(events)]
    for _ in range(20):
        progress, started = Progress(), time.thread_time()
        progress.tally.add(one)
        progress.latency.observe(one, 0, visible_ms=2_000, live=True)
        best_s = min(best_s, time.thread_time() - started)
    assert best_s / events < 1e-6


@pytest.mark.parametrize("module", [metrics, metric_names, tally, latency])
def test_examples_in_the_documentation_are_true(module: Any) -> None:
    """Rule: a value in a docstring is what the code gives."""
    assert doctest.testmod(module).failed == 0
