"""What batches came to, for metrics: counted once a batch by who knows it, added up when the batch is committed.

Nothing here is done per event.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

APPLIED, DUPLICATE, REJECTED, FORWARDED, FAILED = OUTCOMES = ("applied", "duplicate", "rejected", "forwarded", "failed")
STAGES: Final = ("decode", "read", "apply", "score", "decide", "encode", "explain", "transaction", "store")
# Why a batch was given up; it is applied again after the next takeover.
FENCED, UNKNOWN, REVOKED, DAMAGED, BROKER = LOSSES = ("fenced", "unknown_outcome", "revoked", "store_damaged", "broker")

Key = tuple[str, ...]
"""A kind, and the value of each of its labels; which kinds and values there are stands in `streams.monitoring.metric_catalogue`."""


@dataclass(slots=True)
class BatchMetrics:
    """What one batch came to, or many.

    Attributes:
        counts: by kind and values of its labels, see `Key`.
        causes, arrived_ms: offsets and record timestamps of the events that told scores were caused by.
        alerted: (id, time in ms at which it was due) of the alerts that were told.
        due: deadlines that were due at the last look, none behind the batch's bound is counted.
        due_since_ms: since when the first of them was, if any was.
        label_delay_ms: from the snapshot of the newest label to its release, event time.
        drift: how far the customers stand from those that the model has learned from, see `models.learning.scorer`.
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
        """Take in what a batch came to; times of single events and alerts are for the histograms, and not kept."""
        self.counts.update(batch.counts)
        self.due, self.due_since_ms = batch.due, batch.due_since_ms
        self.label_delay_ms = self.label_delay_ms if batch.label_delay_ms is None else batch.label_delay_ms
        self.drift = self.drift if batch.drift is None else batch.drift


class Stopwatch:
    """Seconds by stage: one look at the clock where one stage ends and the next begins.

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
        """This stage ends now."""
        now = self._clock()
        self._counts["stage_seconds", stage] += now - self._since
        self._since = now


def timestamps(records: Sequence[Any], offsets: Sequence[int]) -> list[int]:
    """Timestamps of the records at these offsets, among records in the order of theirs.

    >>> from types import SimpleNamespace as Record
    >>> timestamps([Record(offset=offset, timestamp=10 * offset) for offset in (5, 6, 9)], [9, 5])
    [90, 50]
    """
    if not offsets:
        return []
    first = records[0].offset
    if records[-1].offset - first == len(records) - 1:  # without holes
        return [records[offset - first].timestamp for offset in offsets]
    at = {record.offset: record.timestamp for record in records}
    return [at[offset] for offset in offsets]
