"""Report in the worker's log what keeps events from meeting the churn definitions, and names that are likely typos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.definition.churn_definition import ChurnDefinition
from models.definition.churn_evidence import ChurnEvidence, quoted
from models.pipeline.effects import OffsetEvent
from streams.engine.batch_metrics import BatchMetrics
from streams.logs import get_logger

log = get_logger(__name__)

ABSENT_AFTER: Final = 10_000
"""Events after which a churn event that has not occurred is reported: a day of a small product, seconds of a replay."""

_REPEAT: Final = 10  # each report is repeated at ten times its count, so it stays rare however long it is true


class EvidenceLog:
    """Counts the events of a worker, of all its partitions, since it started."""

    def __init__(self, definition: ChurnDefinition) -> None:
        self._evidence = ChurnEvidence(definition)
        self._near_reported: set[str] = set()
        self._report_absent_at = ABSENT_AFTER
        self._report_unmatched_at = 1

    def observe(self, entries: Sequence[OffsetEvent], tally: BatchMetrics) -> None:
        """Count the events of a batch, and log what is new. Logs contain names of events, but no values."""
        evidence = self._evidence
        unmatched, near = evidence.unmatched, evidence.near.total()
        add = evidence.add
        for _, event in entries:
            add(event)
        tally.counts["churn_events_unmatched",] += evidence.unmatched - unmatched
        tally.counts["events_near_miss",] += evidence.near.total() - near
        if len(evidence.near) > len(self._near_reported):
            for name in sorted(set(evidence.near) - self._near_reported):
                log.warning(
                    'an event %s resembles "%s", but does not count as it: correct the name, or map it in [events] '
                    "of churn.toml",
                    quoted(name),
                    evidence.resembles(name),
                )
            self._near_reported |= set(evidence.near)
        if evidence.unmatched >= self._report_unmatched_at:
            for sentence in evidence.unmet(with_values=False):
                log.warning("%s", sentence)
            self._report_unmatched_at = _REPEAT * evidence.unmatched
        if evidence.events >= self._report_absent_at:
            for sentence in evidence.absent().values():
                log.warning("after %d events: %s", evidence.events, sentence)
            self._report_absent_at = _REPEAT * evidence.events
