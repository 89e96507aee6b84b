"""Figures of a partition, for lag and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.engine.batch_metrics import BatchMetrics
from streams.engine.latency import Latency
from streams.engine.store import StoreCounts


@dataclass(slots=True)
class Progress:
    """How far a partition is processed.

    Attributes:
        position: the next input offset to apply.
        end: end of the input at the last fetch.
        caught_up: everything up to `end` is applied.
        live: the newest event was received within ten minutes of its time.
        records, transactions, outputs: numbers since the takeover.
        tally: counts of the processor and seconds by stage, since the takeover.
        latency: from events to published scores, and from due times to alerts.
        newest_record_ms: timestamp of the last record applied.
        newest_event_ms: the partition's event clock; None if not known yet.
        lost_input: offsets that retention deleted before they were applied, found at this takeover.
        takeover_s: duration of this takeover, recovery included.
        counts: records in the store.
    """

    position: int = 0
    end: int = 0
    caught_up: bool = False
    live: bool = False
    records: int = 0
    transactions: int = 0
    outputs: int = 0
    tally: BatchMetrics = field(default_factory=BatchMetrics)
    latency: Latency = field(default_factory=Latency)
    newest_record_ms: int | None = None
    newest_event_ms: int | None = None
    lost_input: int = 0
    takeover_s: float = 0.0
    counts: StoreCounts | None = None

    @property
    def lag(self) -> int:
        """Offsets between the position and the end. Transaction markers count, so that 0 means caught up."""
        return max(0, self.end - self.position)
