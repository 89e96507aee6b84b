"""Count the effects of a batch for metrics."""

from __future__ import annotations

from collections import Counter
from typing import Final

from models.alerts.alert_state import OPEN, STATES
from models.pipeline.clock_guard import Admitted
from models.pipeline.effects import FoldEffects
from streams.engine.batch_metrics import APPLIED, DUPLICATE, BatchMetrics, Key

# Why a score at or above `enter` published no alert event: the state of the customer's alert, or that there is none.
DWELL, COOLDOWN, NOT_ELIGIBLE = "dwell", "cooldown", "not_eligible"
SUPPRESSED: Final = (DWELL, "open", "acknowledged", "snoozed", COOLDOWN, NOT_ELIGIBLE)
CENSORED: Final = "censored"


def count_fold(tally: BatchMetrics, effects: FoldEffects, admitted: Admitted, first_offset: int) -> None:
    """Add the effects of a batch to its counts.

    Args:
        admitted: the events that were applied.
        first_offset: of the batch; events before it were held by earlier batches, and are not timed.
    """
    counts = tally.counts
    counts["events", APPLIED] += len(admitted.events) - effects.duplicates
    counts["events_implausible",] += admitted.implausible
    counts["events", DUPLICATE] += effects.duplicates
    for trigger, number in Counter([point.trigger for point in effects.points]).items():
        counts["scores", trigger] += number
    counts["scores_told",] += len(effects.published_rows)
    tally.causes = [offset for row in effects.published_rows if (offset := effects.points[row].offset) >= first_offset]
    for alert in effects.alerts:
        counts["alerts", alert.event.type, alert.event.severity] += 1
    tally.alerted = [
        (alert.event.alert_id, alert.event.at_ms) for alert in effects.alerts if alert.event.type == "opened"
    ]
    if any(effects.band):
        _count_suppressed(counts, effects)
    if effects.examples:
        newest = effects.examples[-1]
        tally.label_delay_ms = newest.release_ms - newest.snapshot_ms
        for label, number in Counter([example.label for example in effects.examples]).items():
            counts["labels_matured", str(label)] += number
    counts["labels_matured", CENSORED] += effects.censored
    for (name, read), unreadable in effects.unreadable.items():
        counts["properties_unreadable", name, read] += unreadable.events


def _count_suppressed(counts: Counter[Key], effects: FoldEffects) -> None:
    alerted = {b"c" + alert.customer for alert in effects.alerts}
    for row, band in enumerate(effects.band):
        if not band or effects.points[row].key in alerted:
            continue
        state = effects.alert_after.get(row)
        if state is None:
            reason = NOT_ELIGIBLE
        elif state.phase < OPEN:
            reason = DWELL
        else:
            reason = STATES[state.phase] if state.live else COOLDOWN
        counts["alerts_suppressed", reason] += 1
