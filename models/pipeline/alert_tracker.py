"""Step 6 of the fold: the alerts of one partition.

Customers do not interact here. For each customer who has an alert, or a score that calls for one, everything that
happened in the batch is put in log order and stepped through `models.alerts.policy.step`; timers fire in between, as
of their due time. Alerts have records of their own, so the many customers without one cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import AlertState, pack, unpack
from models.alerts.detractor_rule import DetractorResponse, detractor_response, kinds_of
from models.alerts.policy import AlertEvent, AlertScore, cause_of, due_ms, step
from models.alerts.settings import AlertSettings
from models.definition.churn_definition import ChurnDefinition
from models.explanations.silence import silent
from models.features.scoring_point import DECISIVE, LogPosition, ScoringPoint
from models.labels.feed_outages import FeedOutages
from models.learning.combined_scores import CombinedScores
from models.outputs.alert_record import alert_value
from models.outputs.records import ScoredBatch
from models.outputs.score_record import OutputContext
from models.pipeline.batch import CustomerAction
from models.pipeline.batch_clock import BatchClock
from models.pipeline.ranking import BatchScores
from models.profile.keys import StateStore, alert_key, order_hash
from models.value.forecast_state import DailyForecasts

Floats = NDArray[np.float64]


class AlertOutput(NamedTuple):
    """One change of an alert, as it is published."""

    customer: bytes
    event: AlertEvent
    value: bytes


class RankedBatch(NamedTuple):
    """The points of a batch in log order, scored and ranked; arrays are (n,), x and m (n, d)."""

    points: Sequence[ScoringPoint]
    x: Floats
    m: Floats
    scores: BatchScores
    percentile: Floats
    base: Floats
    band: Sequence[int]
    previous: Sequence[float | None]
    value_forecasts: DailyForecasts


class AlertChanges(NamedTuple):
    """The alert changes of a batch.

    Attributes:
        alerts: Changes to publish, in log order.
        changes: Records to store.
        alerted: For each customer whose alert was considered, by profile key: whether there is one now.
        after: The alert after each row whose customer has one.
        changed_rows: Rows that are the first after a published change of their customer's alert.
    """

    alerts: list[AlertOutput]
    changes: dict[bytes, bytes | None]
    alerted: dict[bytes, bool]
    after: dict[int, AlertState]
    changed_rows: set[int]


class _TimelineEntry(NamedTuple):
    position: LogPosition
    clock_ms: int
    row: int  # of a point, -1 for an action
    action: CustomerAction | None


class AlertTracker:
    """Steps the alerts of a partition's customers.

    Args:
        definition: What churn means, and the alert thresholds.
        context: What all outputs of the partition have in common.
        store: Where alert records are read from.
        feed: Knows when silence is a feed outage.
    """

    def __init__(
        self, definition: ChurnDefinition, context: OutputContext, store: StateStore, feed: FeedOutages
    ) -> None:
        self.settings = AlertSettings.of(definition)
        self._detractors = kinds_of(self.settings.detractor)
        self.silent_feed = feed.silent
        self._context, self._store = context, store

    def apply_batch(
        self,
        ranked: RankedBatch,
        *,
        trust: float,
        actions: Sequence[CustomerAction],
        alerted: set[bytes],
        due: Iterable[bytes],
        clock: BatchClock,
    ) -> AlertChanges:
        """Step all alerts through a batch.

        Args:
            ranked: The points of the batch.
            trust: How much of the score comes from labels rather than from the prior (`RiskScorer.trust`).
            actions: What else happened.
            alerted: Profile keys of the customers who had an alert before the batch.
            due: Profile keys of the customers whose alert has a timer that is due.
            clock: How the clock moved.
        """
        rows = self._rows(ranked, alerted)
        for key in sorted(due):
            rows.setdefault(key, [])
        changes = AlertChanges([], {}, {}, {}, set())
        if not rows:
            return changes
        timelines = _timelines(ranked.points, rows, actions)
        stored = dict(zip(rows, self._store.get_many([alert_key(key) for key in rows]), strict=True))
        silent = _silent(ranked, [row for found in rows.values() for row in found])
        customers = []
        for key in rows:
            customer = _TrackedCustomer(self, key, unpack(stored[key]), ranked, silent, clock)
            for entry in timelines[key]:
                customer.process(entry, changes)
            customer.fire_timers(clock.raises[-1])
            changes.alerted[key] = customer.state is not None
            customers.append(customer)
        self._render(customers, stored, ranked, trust, changes)
        return changes

    def _render(
        self,
        customers: Sequence[_TrackedCustomer],
        stored: Mapping[bytes, bytes | None],
        ranked: RankedBatch,
        trust: float,
        changes: AlertChanges,
    ) -> None:
        """Render all notes together, once their rows are known: reasons and intervals are expensive."""
        notes = self._render_notes(ranked, trust, sorted({row for each in customers for row in each.published_rows()}))
        for customer in customers:
            if (record := customer.record(notes)) != stored[customer.key]:
                changes.changes[alert_key(customer.key)] = record
        unrendered = [alert for customer in customers for alert in customer.unrendered]
        unrendered.sort(key=lambda alert: alert.position)
        changes.alerts.extend(alert.render(notes) for alert in unrendered)

    def detractor_response(self, point: ScoringPoint) -> DetractorResponse | None:
        """The detractor's response in effect at a point, if the policy has a rule for it."""
        return detractor_response(point, self._detractors, self.settings.expire_ms) if self._detractors else None

    def _render_notes(self, ranked: RankedBatch, trust: float, rows: list[int]) -> dict[int, bytes]:
        """The part of an alert's value that describes the score, for each of these rows."""
        points = ranked.points
        batch = ScoredBatch(
            self._context, points, ranked.x, ranked.m, ranked.scores, trust, ranked.value_forecasts, rows
        )
        return {
            row: batch.note(
                row,
                float(ranked.percentile[row]),
                ranked.band[row],
                ranked.previous[row],
                points[row].event_ms,
                self.detractor_response(points[row]),
            )
            for row in rows
        }

    def _rows(self, ranked: RankedBatch, alerted: set[bytes]) -> dict[bytes, list[int]]:
        """The rows of every customer who has an alert, a score at or above `enter`, or a new detractor response."""
        considered = {point.key for point, band in zip(ranked.points, ranked.band, strict=True) if band}
        if self._detractors:
            for point in ranked.points:
                if point.trigger == DECISIVE and (response := self.detractor_response(point)) and response.fresh:
                    considered.add(point.key)
        rows: dict[bytes, list[int]] = {key: [] for key in sorted(alerted | considered)}
        for row, point in enumerate(ranked.points):
            if point.key in rows:
                rows[point.key].append(row)
        return rows


def _timelines(
    points: Sequence[ScoringPoint], rows: dict[bytes, list[int]], actions: Sequence[CustomerAction]
) -> dict[bytes, list[_TimelineEntry]]:
    """What happened to each customer, in log order; at the same position churn comes before the score."""
    timelines = {
        key: [_TimelineEntry(points[row].position, points[row].clock_ms, row, None) for row in found]
        for key, found in rows.items()
    }
    for action in actions:
        if action.key in timelines:
            timelines[action.key].append(_TimelineEntry(action.position, action.clock_ms, -1, action))
    for timeline in timelines.values():
        timeline.sort(key=lambda entry: (entry.position, entry.row))
    return timelines


def _silent(ranked: RankedBatch, rows: list[int]) -> dict[int, bool]:
    """For each of these rows, whether silence is the main reason."""
    if not rows:
        return {}
    return dict(zip(rows, silent(ranked.scores.contributions(rows), ranked.x[rows]), strict=True))


class _UnrenderedAlert(NamedTuple):
    """A change of an alert before its note is rendered: the note is that of a row, or one that was stored earlier."""

    position: LogPosition
    customer: bytes
    event: AlertEvent
    note: int | bytes

    def render(self, notes: dict[int, bytes]) -> AlertOutput:
        note = notes[self.note] if isinstance(self.note, int) else self.note
        event = msgspec.structs.replace(self.event, note=None)
        return AlertOutput(self.customer, event, alert_value(event, note))


class _TrackedCustomer:
    """A customer whose alert is stepped through a batch."""

    def __init__(
        self,
        tracker: AlertTracker,
        key: bytes,
        state: AlertState | None,
        ranked: RankedBatch,
        silent: dict[int, bool],
        clock: BatchClock,
    ) -> None:
        self.key = key
        self.state = state
        self.unrendered: list[_UnrenderedAlert] = []
        self._tracker, self._ranked, self._silent, self._clock = tracker, ranked, silent, clock
        self._name = key[1:]
        self._order = order_hash(key)  # that of the customer's deadlines: at one instant, the order of the steps holds
        self._customer = self._name.decode()
        self._due_ms = due_ms(state, tracker.settings)
        self._newest_row: int | None = None

    def process(self, entry: _TimelineEntry, changes: AlertChanges) -> None:
        """Process one entry of the timeline, after the timers that were due by then."""
        self.fire_timers(entry.clock_ms)
        action = entry.action
        if action is None:
            self._step(entry.clock_ms, entry.position, self._score(entry.row), entry.row)
        else:
            self._step(
                entry.clock_ms,
                entry.position,
                action=action.action,
                churned=action.action is None and not action.deleted,
                deleted=action.deleted,
            )
        state = self.state
        if entry.row >= 0 and state is not None:
            changes.after[entry.row] = state
            if state.seq != state.shown:
                state.shown = state.seq
                changes.changed_rows.add(entry.row)

    def fire_timers(self, clock_ms: int) -> None:
        """Fire the timers that are due by `clock_ms`, each at its due time."""
        while self.state is not None and self._due_ms <= clock_ms:
            due = self._due_ms
            self._step(due, self._clock.position_of(due, self._order))

    def published_rows(self) -> list[int]:
        """The rows whose note is published now or stored for later."""
        rows = [alert.note for alert in self.unrendered if isinstance(alert.note, int)]
        if self._stored_row is not None:
            rows.append(self._stored_row)
        return rows

    def record(self, notes: dict[int, bytes]) -> bytes | None:
        """The state as it is stored."""
        state = self.state
        if state is None:
            return None
        if self._stored_row is not None:
            state = msgspec.structs.replace(state, note=notes[self._stored_row])
        return pack(state, self._due_ms)

    @property
    def _stored_row(self) -> int | None:
        """The row whose note a timer may publish later."""
        state = self.state
        return self._newest_row if state is not None and (state.live or not state.seq) else None

    def _score(self, row: int) -> AlertScore:
        ranked, point = self._ranked, self._ranked.points[row]
        response = self._tracker.detractor_response(point)
        return AlertScore(
            point.at_ms,
            float(ranked.scores.probability[row]),
            float(ranked.percentile[row]),
            float(ranked.base[row]),
            cause_of(point.trigger, point.at_ms, point.id_hash),
            self._silent[row],
            point.eligible,
            point.oldest_new_ms,
            "" if response is None else response.code,
            response is not None and response.fresh,
            isinstance(ranked.scores, CombinedScores) and bool(ranked.scores.billing[row]),
        )

    def _step(
        self,
        now_ms: int,
        position: LogPosition,
        score: AlertScore | None = None,
        row: int = -1,
        action: AlertAction | None = None,
        churned: bool = False,
        deleted: str = "",
    ) -> None:
        tracker = self._tracker
        self.state, events, self._due_ms = step(
            self.state,
            score,
            tracker.settings,
            now_ms,
            customer=self._customer,
            action=action,
            churned=churned,
            deleted=deleted,
            silent_feed=tracker.silent_feed,
        )
        for event in events:
            note = row if event.note is None else event.note if self._newest_row is None else self._newest_row
            self.unrendered.append(_UnrenderedAlert(position, self._name, event, note))
        if row >= 0:
            self._newest_row = row


__all__ = ["AlertChanges", "AlertOutput", "AlertTracker", "RankedBatch"]
