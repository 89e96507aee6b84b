"""Metrics of all processes: skipped records, failed background tasks, and connections of HTTP servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from streams.monitoring.http_limits import CLOSED

if TYPE_CHECKING:
    from streams.kafka.unusable_records import UnusableRecords
    from streams.monitoring.collector import Samples
    from streams.monitoring.http_limits import LimitedRunner
    from streams.runtime.background_tasks import BackgroundTasks


def reader_samples(unusable: Iterable[UnusableRecords], tasks: Iterable[BackgroundTasks]) -> Samples:
    """Yield skipped records by topic, and failures by background task."""
    counts: Counter[str] = Counter()
    for records in list(unusable):
        counts.update(dict(records.counts))  # another thread counts meanwhile
    for topic, count in counts.items():
        yield "records_skipped", (topic,), count
    for group in list(tasks):
        for task in group.tasks:
            yield "task_failures", (task.name,), task.failures


def server_samples(runner: LimitedRunner | None, name: str) -> Samples:
    """Yield the connections of an HTTP server; nothing before it listens."""
    if runner is None:
        return
    yield "http_connections", (name,), runner.open
    for reason in CLOSED:
        yield "http_connections_closed", (name, reason), runner.closed[reason]
