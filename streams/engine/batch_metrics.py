"""Per-batch counters for metrics, merged when the batch is committed. Nothing here is done per event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

APPLIED, DUPLICATE, REJECTED, FORWARDED, FAILED = OUTCOMES = ("applied", "duplicate", "rejected", "forwarded", "failed")
STAGES: Final = ("decode", "read", "apply", "score", "decide", "encode", "explain", "transaction", "store")
# Why a batch was aborted; it is processed again after the next takeover.
FENCED, UNKNOWN, REVOKED, DAMAGED, BROKER = LOSSES = ("fenced", "unknown_outcome", "revoked", "store_damaged", "broker")

Key = tuple[str, ...]
"""A kind and the values of its labels; `streams.monitoring.metric_catalogue` declares both."""


@dataclass(slots=True)
class BatchMetrics:
    """Counts of one batch, or of several.

    Attributes:
        counts: by kind and label values, see `Key`.
        causes, arrived_ms: offsets and record timestamps of the events that caused published scores.
        alerted: (id, due time in ms) of the opened alerts.
        due: deadlines that the last batch found due, up to its bound.
        due_since_ms: time of the first of them; None if there is none.
        label_delay_ms: from the snapshot of the newest label to its release, in event time.
        drift: distance of the customers from those that the model has learned from, see `models.learning.scorer`.
    """

    counts: Counter[Key] = field(default_factory=Counter)
    causes: list[int] = field(default_factory=list)
    arrived_ms: list[int] = field(default_factory=list)
    alerted: list[tuple[str, int]] = field(default_factory=list)
    due: int = 0
    due_since_ms: int | None = None
    label_delay_ms: int | None = None
    drift: float | None = None

    def add(self, batch: BatchMetrics) -> None:
        """Add the counts of a batch, without the times of single events and alerts, which only histograms need."""
        self.counts.update(batch.counts)
        self.due, self.due_since_ms = batch.due, batch.due_since_ms
        self.label_delay_ms = self.label_delay_ms if batch.label_delay_ms is None else batch.label_delay_ms
        self.drift = self.drift if batch.drift is None else batch.drift


class Stopwatch:
    """Measure the seconds of each stage, with one clock reading where one ends and the next begins.

    >>> tally, ticks = BatchMetrics(), iter((10.0, 10.5, 12.5))
    >>> watch = Stopwatch(tally, ticks.__next__)
    >>> watch("decode"); watch("apply")
    >>> [tally.counts["stage_seconds", stage] for stage in ("decode", "apply")]
    [0.5, 2.0]
    """

    __slots__ = ("_clock", "_counts", "_since")

    def __init__(self, tally: BatchMetrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._counts: Any = tally.counts
        self._clock = clock
        self._since = clock()

    def __call__(self, stage: str) -> None:
        """End a stage."""
        now = self._clock()
        self._counts["stage_seconds", stage] += now - self._since
        self._since = now


def timestamps(records: Sequence[Any], offsets: Sequence[int]) -> list[int]:
    """Return the timestamps of the records at these offsets; `records` are in offset order.

    >>> from types import SimpleNamespace as Record
    >>> timestamps([Record(offset=offset, timestamp=10 * offset) for offset in (5, 6, 9)], [9, 5])
    [90, 50]
    """
    if not offsets:
        return []
    first = records[0].offset
    if records[-1].offset - first == len(records) - 1:  # without gaps
        return [records[offset - first].timestamp for offset in offsets]
    timestamp_of = {record.offset: record.timestamp for record in records}
    return [timestamp_of[offset] for offset in offsets]
