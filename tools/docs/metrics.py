"""Table of Prometheus metrics."""

from __future__ import annotations

from streams.monitoring.metric_catalogue import METRICS
from tools.docs.markdown import code, table


def metrics() -> str:
    """One row per metric, in the order of declaration."""
    rows = [
        (code(metric.series), metric.kind, metric.role, ", ".join(map(code, metric.labels)), metric.sentence)
        for metric in METRICS
    ]
    return table(("series", "kind", "process", "labels", "meaning"), rows)
