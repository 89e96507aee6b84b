"""Metrics of a worker, for the partitions that are currently assigned to it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streams.engine.batch_metrics import LOSSES
from streams.monitoring.metric_catalogue import counter_series

if TYPE_CHECKING:
    from streams.engine.ownership import Ownership
    from streams.engine.partition_runner import PartitionRunner
    from streams.engine.progress import Progress
    from streams.engine.worker import Worker
    from streams.kafka.model_reader import PublishedSnapshot
    from streams.monitoring.broker_probe import BrokerProbe
    from streams.monitoring.collector import Samples

_ZEROS: Final = dict.fromkeys(counter_series(), 0.0)

ActiveModel = Callable[[], tuple[str, "PublishedSnapshot | None", int]]
"""Returns the version of the active model, its snapshot (None while the prior is active), and how many snapshots were
skipped."""


def worker_samples(worker: Worker, probe: BrokerProbe, model: ActiveModel) -> Samples:
    """Yield the samples of a worker."""
    ownership = worker.ownership
    status = ownership.status()
    yield "assigned_partitions", (), len(status)
    if ownership.input.partitions != sys.maxsize:
        yield "input_partitions", (), ownership.input.partitions
    yield "rebalances", (), ownership.rebalances
    for reason in LOSSES:
        yield "transactions_aborted", (reason,), ownership.given_up[reason]
    yield from _model(*model())
    yield from _takeovers(ownership)
    for number, progress in status.items():
        yield from _counters(ownership.names.input, str(number), progress)
        yield from _progress((str(number),), progress)
        if number in ownership.owned:  # before that the position is unknown, which is not 0
            yield from _owned(number, ownership.owned[number], probe)


def _model(version: str, snapshot: PublishedSnapshot | None, skipped: int) -> Samples:
    yield "model", (version,), 1.0
    yield "model_snapshot_timestamp_seconds", (), 0 if snapshot is None else snapshot.written_ms / 1000
    yield "model_labels_offset", (), 0 if snapshot is None else snapshot.labels_offset
    yield "model_snapshots_skipped", (), skipped


def _takeovers(ownership: Ownership) -> Samples:
    for number, (left, total) in dict(ownership.recovering).items():
        yield "recovery_records_left", (str(number),), left
        yield "recovery_records", (str(number),), total
    for number, since in dict(ownership.taking_since).items():
        if number not in ownership.owned:
            yield "recovery_seconds", (str(number),), time.monotonic() - since


def _counters(topic: str, partition: str, progress: Progress) -> Samples:
    for (kind, *values), value in (_ZEROS | progress.tally.counts).items():
        first = (topic, partition) if kind == "events" else (partition,)
        yield kind, (*first, *values), value


def _progress(label: tuple[str], progress: Progress) -> Samples:
    tally, event_ms, record_ms = progress.tally, progress.newest_event_ms, progress.newest_record_ms
    yield "outputs", label, progress.outputs
    yield "transactions", label, progress.transactions
    yield "live", label, float(progress.live)
    yield "lost_input_records", label, progress.lost_input
    yield "event_to_score_seconds", label, progress.latency.to_score
    yield "event_to_alert_seconds", label, progress.latency.to_alert
    yield "deadlines_due", label, tally.due
    if tally.label_delay_ms is not None:
        yield "label_delay_seconds", label, tally.label_delay_ms / 1000
    if tally.drift is not None:
        yield "feature_drift", label, tally.drift
    if event_ms is None:
        return
    yield "event_clock_timestamp_seconds", label, event_ms / 1000
    since_ms = event_ms if tally.due_since_ms is None else tally.due_since_ms
    yield "deadline_delay_seconds", label, max(0, event_ms - since_ms) / 1000
    if record_ms is not None:
        yield "event_time_skew_seconds", label, (record_ms - event_ms) / 1000


def _owned(number: int, partition: PartitionRunner, probe: BrokerProbe) -> Samples:
    label, progress = (str(number),), partition.progress
    yield "position", label, progress.position
    yield "recovery_seconds", label, progress.takeover_s
    if progress.counts is not None:
        yield "profiles", label, progress.counts.profiles
        yield "labels_pending", label, progress.counts.pending
    if number in probe.ends:
        stable, newest = probe.ends[number]
        yield "lag_records", label, max(0, stable - progress.position)
        yield "unstable_records", label, max(0, newest - stable)
    wait_s = probe.oldest_wait_s(number, progress.position, progress.newest_record_ms)
    if wait_s is not None:
        yield "lag_seconds", label, wait_s
