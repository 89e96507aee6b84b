"""Collector of `/metrics`: reads the declared metrics from the parts of a process on each scrape.

Nothing is counted per event: partitions count per batch, and the series of a revoked partition disappear. Tested by
tests/streams/monitoring/test_collector.py.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from streams.engine.latency import Histogram
from streams.health import Health
from streams.monitoring.metric_catalogue import METRICS, Metric

_BY_SHORT: Final = {metric.short: metric for metric in METRICS}
_FAMILIES: Final[dict[str, Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}

Samples = Iterator[tuple[str, tuple[str, ...], float | Histogram]]
"""(short name, label values, value)."""


class MetricsCollector(Collector):
    """Collects samples of declared metrics from sources."""

    def __init__(self, sources: list[Callable[[], Samples]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Any]:
        """Yield one family per metric that has a sample now."""
        families: dict[str, Any] = {}
        for source in self._sources:
            for short, labels, value in source():
                metric = _BY_SHORT[short]
                if short not in families:
                    families[short] = _FAMILIES[metric.kind](metric.name, metric.sentence, labels=metric.labels)
                _add(families[short], metric, labels, value)
        yield from families.values()

    def describe(self) -> list[Any]:
        """Return nothing, so that registration collects nothing."""
        return []


def _add(family: Any, metric: Metric, labels: tuple[str, ...], value: float | Histogram) -> None:
    if isinstance(value, Histogram):
        family.add_metric(labels, value.buckets(), value.sum_s)
    elif metric.kind == "info":
        family.add_metric([], dict(zip(metric.labels, labels, strict=True)))
    else:
        family.add_metric(labels, value)


def build_versions() -> tuple[str, ...]:
    """Return the label values of the metric `build`: versions of this program, of Python and of the main libraries."""
    program, *libraries = map(version, ("churn-signals", "faust-streaming", "aiokafka", "river", "rocksdict"))
    return (program, platform.python_version(), *libraries)


def process_samples(health: Health, versions: tuple[str, ...], data: Path) -> Samples:
    """Yield the samples that every process has."""
    yield "build", versions, 1.0
    checks = health.ready()
    yield "ready", (health.role,), float(all(check.ok for check in checks))
    for check in checks:
        yield "check", (health.role, check.name), float(check.ok)
    if data.exists():
        disk = shutil.disk_usage(data)
        yield "data_free_bytes", (), disk.free
        yield "data_size_bytes", (), disk.total
