"""Metrics: names are a contract, documented; a partition that is gone has no series."""

from __future__ import annotations

import asyncio
import doctest
import re
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from models.model import Model
from streams import metrics
from streams.broker_watch import BrokerWatch
from streams.docs import DOCS
from streams.health import Health
from streams.metrics import METRICS, Metrics, of_process, of_trainer, of_worker
from streams.partition import Progress
from streams.processor import SPACE
from streams.settings import Settings


def shown(*sources: Any) -> set[str]:
    """The samples, without their values."""
    registry = CollectorRegistry()
    registry.register(Metrics(list(sources)))
    lines = generate_latest(registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


def watch() -> BrokerWatch:
    found = BrokerWatch(Settings(), "events", lambda: [0])
    found.answered({0: (10, 12), 1: (5, 5)})
    return found


def worker(*numbers: int) -> Any:
    status = {number: Progress(position=4, newest_event_ms=1_000) for number in numbers}
    ownership = SimpleNamespace(recovering={7: (1, 2)}, owned=status, status=lambda: status)
    return SimpleNamespace(ownership=ownership)


def trainer() -> tuple[Any, Any]:
    loop = SimpleNamespace(leading=True, learned_offset=3, published_age_s=1.0)
    model = Model(SPACE)
    model.labels = 1
    quality = SimpleNamespace(auc=0.8, ece=0.01, rate=0.1, mean_probability=0.1)
    stand_in = SimpleNamespace(quality=model.quality, journal=SimpleNamespace(quality=quality))
    return loop, SimpleNamespace(model=stand_in, skipped=0)


def test_every_metric_is_documented_and_shown_and_no_other() -> None:
    """Rule: declared, documented and collected are the same names."""
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    block = page.split("<!-- generated: metrics -->")[1].split("<!-- end: metrics -->")[0]
    declared = {metric.series for metric in METRICS}
    assert set(re.findall(r"^\| `(\w+)`", block, re.MULTILINE)) == declared
    health = Health("worker", asyncio.Event())
    samples = shown(
        lambda: of_process(health, "1"),
        lambda: of_worker(worker(0, 1), watch()),
        lambda: of_trainer(*trainer(), watch()),
    )
    assert {name.split("{")[0] for name in samples} == declared


def test_a_revoked_partition_s_series_vanish() -> None:
    """Rule: what another worker owns is not shown by the last owner."""
    assert 'churn_signals_lag_records{partition="1"}' in shown(lambda: of_worker(worker(0, 1), watch()))
    assert not [name for name in shown(lambda: of_worker(worker(0), watch())) if 'partition="1"' in name]


def test_no_label_can_hold_a_customer() -> None:
    """Rule: labels are of a small fixed set."""
    allowed = {"version", "role", "check", "partition", "member"}
    assert {label for metric in METRICS for label in metric.labels} <= allowed


def test_a_standby_shows_no_quality() -> None:
    """Rule: it has learned nothing, which is not the same as a loss of 0."""
    loop, learner = trainer()
    loop.leading = False
    assert shown(lambda: of_trainer(loop, learner, watch())) == {"churn_signals_leading"}


def test_examples_in_the_documentation_are_true() -> None:
    """Rule: a value in a docstring is what the code gives."""
    assert doctest.testmod(metrics).failed == 0
