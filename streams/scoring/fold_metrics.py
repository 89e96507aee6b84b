"""What the fold over a batch says of itself, counted for metrics."""

from __future__ import annotations

from collections import Counter
from typing import Final

from models.alerts.policy import OPEN, STATES
from models.pipeline.partition import FoldEffects
from streams.engine.batch_metrics import APPLIED, DUPLICATE, BatchMetrics, Key

# Why a score at or above `enter` told nobody: the state of the customer's alert, or that there is none.
DWELL, COOLDOWN, NOT_ELIGIBLE = "dwell", "cooldown", "not_eligible"
SUPPRESSED: Final = (DWELL, "open", "acknowledged", "snoozed", COOLDOWN, NOT_ELIGIBLE)
CENSORED: Final = "censored"


def count_fold(tally: BatchMetrics, found: FoldEffects, events: int) -> None:
    """What the fold over so many events says of itself."""
    counts = tally.counts
    counts["events", APPLIED] += events - found.duplicates
    counts["events", DUPLICATE] += found.duplicates
    for trigger, number in Counter([point.trigger for point in found.points]).items():
        counts["scores", trigger] += number
    counts["scores_told",] += len(found.told)
    tally.causes = [offset for row in found.told if (offset := found.points[row].offset) >= 0]
    for alert in found.alerts:
        counts["alerts", alert.event.type, alert.event.severity] += 1
    tally.alerted = [
        (alert.event.alert_id, alert.event.at_ms) for alert in found.alerts if alert.event.type == "opened"
    ]
    if any(found.band):
        _count_suppressed(counts, found)
    if found.examples:
        newest = found.examples[-1]
        tally.label_delay_ms = newest.release_ms - newest.snapshot_ms
        for label, number in Counter([example.label for example in found.examples]).items():
            counts["labels_matured", str(label)] += number
    counts["labels_matured", CENSORED] += found.censored


def _count_suppressed(counts: Counter[Key], found: FoldEffects) -> None:
    told = {b"c" + alert.customer for alert in found.alerts}
    for row, band in enumerate(found.band):
        if not band or found.points[row].key in told:
            continue
        state = found.alert_after.get(row)
        if state is None:
            reason = NOT_ELIGIBLE
        elif state.phase < OPEN:
            reason = DWELL
        else:
            reason = STATES[state.phase] if state.live else COOLDOWN
        counts["alerts_suppressed", reason] += 1
