"""What `/metrics` shows: figures are read from the parts of a process when somebody asks, and declared metrics only.

Nothing is counted per event: partitions count per batch anyway, and a partition that is revoked has no series any more.
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
"""(short name, values of the labels, value)."""


class Metrics(Collector):
    """Collects from sources; each yields samples of declared metrics."""

    def __init__(self, sources: list[Callable[[], Samples]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Any]:
        """One family for each metric that has a sample now."""
        families: dict[str, Any] = {}
        for source in self._sources:
            for short, labels, value in source():
                metric = _BY_SHORT[short]
                if short not in families:
                    families[short] = _FAMILIES[metric.kind](metric.name, metric.sentence, labels=metric.labels)
                _add(families[short], metric, labels, value)
        yield from families.values()

    def describe(self) -> list[Any]:
        """Nothing is collected at registration."""
        return []


def _add(family: Any, metric: Metric, labels: tuple[str, ...], value: float | Histogram) -> None:
    if isinstance(value, Histogram):
        family.add_metric(labels, value.buckets(), value.sum_s)
    elif metric.kind == "info":
        family.add_metric([], dict(zip(metric.labels, labels, strict=True)))
    else:
        family.add_metric(labels, value)


def build_registry() -> tuple[str, ...]:
    """The values of the labels of `build_registry`: versions of this program, of Python and of what it stands on."""
    ours, *others = map(version, ("churn-signals", "faust-streaming", "aiokafka", "river", "rocksdict"))
    return (ours, platform.python_version(), *others)


def of_process(health: Health, versions: tuple[str, ...], data: Path) -> Samples:
    """What every process has."""
    yield "build", versions, 1.0
    checks = health.ready()
    yield "ready", (health.role,), float(all(check.ok for check in checks))
    for check in checks:
        yield "check", (health.role, check.name), float(check.ok)
    if data.exists():
        disk = shutil.disk_usage(data)
        yield "data_free_bytes", (), disk.free
        yield "data_size_bytes", (), disk.total
