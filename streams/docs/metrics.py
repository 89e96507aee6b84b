"""Every metric as a table."""

from __future__ import annotations

from streams.docs.markdown import code, table
from streams.metric_names import METRICS


def metrics() -> str:
    """One row each, in the order of their declaration."""
    rows = [
        (code(metric.series), metric.kind, metric.role, ", ".join(map(code, metric.labels)), metric.sentence)
        for metric in METRICS
    ]
    return table(("series", "kind", "process", "labels", "meaning"), rows)
