"""The alerts of one partition: scores, what people did and passing time go through the policy in order of the log.

Customers do not meet here. Of each who has an alert, or a score that asks for one, everything that a batch has is put
in the order of the log and stepped through (`models.alerts.policy.step`); timers ring in between, as of their due time. Alerts
stand in records of their own, so that the many customers without one cost nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.detractor_rule import DetractorResponse, detraction, kinds_of
from models.alerts.policy import (
    AlertAction,
    AlertEvent,
    AlertScore,
    AlertSettings,
    AlertState,
    cause_of,
    due_ms,
    pack,
    step,
    unpack,
)
from models.definition.churn_definition import ChurnDefinition
from models.explanations.silence import silent
from models.features.scoring_point import DECISIVE, LogPosition, ScoringPoint, deadline_position
from models.labels.feed_outages import FeedOutages
from models.learning.combined_scores import CombinedScores
from models.outputs.records import OutputContext, ScoredBatch, alert_value
from models.profile.keys import StateStore, alert_key, order_hash
from models.value.forecast_state import DailyForecasts

Floats = NDArray[np.float64]


class AlertOutput(NamedTuple):
    """One change of an alert, as it is told."""

    customer: bytes
    event: AlertEvent
    value: bytes


class CustomerAction(NamedTuple):
    """What happened to a customer besides being scored: it was handled by somebody, churned, or was forgotten."""

    key: bytes
    place: LogPosition
    clock_ms: int
    handling: AlertAction | None = None
    forgotten: str = ""
    """Why nothing is kept of the customer any more: the resolution of an alert that stands."""


class BatchClock(NamedTuple):
    """How the partition's clock moved in a batch: its value after each move, and the place of the event that did it."""

    raises: list[int]
    raised_by: list[int]

    def place_of(self, at_ms: int, order: int) -> LogPosition:
        """Where a deadline stands that the clock passed in this batch."""
        return deadline_position(self.raised_by[bisect_left(self.raises, at_ms)], at_ms, order)


class RankedBatch(NamedTuple):
    """A batch's points in order, scored and ranked; arrays are (n,), x and m (n, d)."""

    points: Sequence[ScoringPoint]
    x: Floats
    m: Floats
    scores: Any
    percentile: Floats
    base: Floats
    band: Sequence[int]
    previous: Sequence[float | None]
    value_forecasts: DailyForecasts


class AlertChanges(NamedTuple):
    """What a batch does to alerts."""

    alerts: list[AlertOutput]
    changes: dict[bytes, bytes | None]
    standing: dict[bytes, bool]
    """Of customers whose alerts were looked at: whether there is one now. Keys are those of profiles."""
    after: dict[int, AlertState]
    """Of rows whose customer has an alert after them."""
    news: set[int]
    """Rows that are the first since a change of the alert was told."""


class _TimelineEntry(NamedTuple):
    place: LogPosition
    clock_ms: int
    row: int  # of a point, -1 for an act
    act: CustomerAction | None


class AlertTracker:
    """Steps the alerts of a partition's customers.

    Args:
        definition: What churn means, and when somebody is told.
        context: What all outputs of the partition have in common.
        store: Where alerts are read from.
        feed: Whether silence is everybody's.
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
        trust: float,
        actions: Sequence[CustomerAction],
        alerted: set[bytes],
        due: Iterable[bytes],
        clock: BatchClock,
    ) -> AlertChanges:
        """Goes through a batch.

        Args:
            ranked: Its points.
            trust: How far labels, and not the prior, answer (`Scorer.trust`).
            acts: What else happened.
            alerted: Profile keys of those in the batch who had an alert before it.
            due: Profile keys of those whose alert fell due.
            clock: How the clock moved.
        """
        rows = self._rows(ranked, alerted)
        for key in sorted(due):
            rows.setdefault(key, [])
        turned = AlertChanges([], {}, {}, {}, set())
        if not rows:
            return turned
        moments = _moments(ranked.points, rows, actions)
        keys = list(rows)
        stored = dict(zip(keys, self._store.get_many([alert_key(key) for key in keys]), strict=True))
        silent = _silent(ranked, [row for found in rows.values() for row in found])
        walks = []
        for key in keys:
            walk = _TrackedCustomer(self, key, unpack(stored[key]), ranked, silent, clock)
            for moment in moments[key]:
                walk.meet(moment, turned)
            walk.ring(clock.raises[-1])
            turned.standing[key] = walk.state is not None
            walks.append(walk)
        # what is told is written together, once it is known of which rows: reasons and intervals are dear
        notes = self._notes(ranked, trust, sorted({row for walk in walks for row in walk.published_rows()}))
        for walk in walks:
            if (record := walk.record(notes)) != stored[walk.key]:
                turned.changes[alert_key(walk.key)] = record
        told = [one for walk in walks for one in walk.told]
        told.sort(key=lambda one: one.place)
        turned.alerts.extend(one.alert(notes) for one in told)
        return turned

    def detraction(self, point: ScoringPoint) -> DetractorResponse | None:
        """The detractor's answer that stands there, if the policy asks for it."""
        return detraction(point, self._detractors, self.settings.expire_ms) if self._detractors else None

    def _notes(self, ranked: RankedBatch, trust: float, rows: list[int]) -> dict[int, bytes]:
        """What alerts say of these rows."""
        points, x, m, scores, value_forecasts = ranked.points, ranked.x, ranked.m, ranked.scores, ranked.value_forecasts
        batch = ScoredBatch(self._context, points, x, m, scores, trust, value_forecasts, rows)
        return {
            row: batch.note(
                row,
                float(ranked.percentile[row]),
                ranked.band[row],
                ranked.previous[row],
                ranked.points[row].event_ms,
                self.detraction(ranked.points[row]),
            )
            for row in rows
        }

    def _rows(self, ranked: RankedBatch, alerted: set[bytes]) -> dict[bytes, list[int]]:
        """The rows of every customer who has an alert or a score that asks for one."""
        asking = {point.key for point, band in zip(ranked.points, ranked.band, strict=True) if band}
        if self._detractors:
            decisive = (point for point in ranked.points if point.trigger == DECISIVE)
            asking.update(point.key for point in decisive if (found := self.detraction(point)) and found.fresh)
        rows: dict[bytes, list[int]] = {key: [] for key in sorted(alerted | asking)}
        for row, point in enumerate(ranked.points):
            if point.key in rows:
                rows[point.key].append(row)
        return rows


def _moments(
    points: Sequence[ScoringPoint], rows: dict[bytes, list[int]], actions: Sequence[CustomerAction]
) -> dict[bytes, list[_TimelineEntry]]:
    """Of each customer, what happened in the order of the log; at one place churning comes before being scored."""
    moments = {
        key: [_TimelineEntry(points[row].place, points[row].clock_ms, row, None) for row in found]
        for key, found in rows.items()
    }
    for act in actions:
        if act.key in moments:
            moments[act.key].append(_TimelineEntry(act.place, act.clock_ms, -1, act))
    for found in moments.values():
        found.sort(key=lambda moment: (moment.place, moment.row))
    return moments


def _silent(ranked: RankedBatch, rows: list[int]) -> dict[int, bool]:
    """Of rows, whether the main reason is silence."""
    if not rows:
        return {}
    return dict(zip(rows, silent(ranked.scores.contributions(rows), ranked.x[rows]), strict=True))


class _UnrenderedAlert(NamedTuple):
    """A change of an alert whose words are still to be written: those of a row, or those that were kept."""

    place: LogPosition
    customer: bytes
    event: AlertEvent
    note: int | bytes

    def alert(self, notes: dict[int, bytes]) -> AlertOutput:
        note = notes[self.note] if isinstance(self.note, int) else self.note
        event = msgspec.structs.replace(self.event, note=None)
        return AlertOutput(self.customer, event, alert_value(event, note))


class _TrackedCustomer:
    """A customer whose alert is stepped through a batch."""

    def __init__(
        self,
        book: AlertTracker,
        key: bytes,
        state: AlertState | None,
        ranked: RankedBatch,
        silent: dict[int, bool],
        clock: BatchClock,
    ) -> None:
        self.key = key
        self.state = state
        self.told: list[_UnrenderedAlert] = []
        self._book, self._ranked, self._silent, self._clock = book, ranked, silent, clock
        self._name = key[1:]
        self._order = order_hash(alert_key(key))
        self._customer = self._name.decode()
        self._due_ms = due_ms(state, book.settings)
        self._kept: int | None = None  # the row that the state's note is to speak of

    def meet(self, moment: _TimelineEntry, turned: AlertChanges) -> None:
        """One thing that happened, after what had fallen due until then."""
        self.ring(moment.clock_ms)
        if moment.act is None:
            self._step(moment.clock_ms, moment.place, self._score(moment.row), moment.row)
        else:
            handling, forgotten = moment.act.handling, moment.act.forgotten
            churned = handling is None and not forgotten
            self._step(moment.clock_ms, moment.place, handling=handling, churned=churned, forgotten=forgotten)
        state = self.state
        if moment.row >= 0 and state is not None:
            turned.after[moment.row] = state
            if state.seq != state.shown:
                state.shown = state.seq
                turned.news.add(moment.row)

    def ring(self, clock_ms: int) -> None:
        """What falls due until then does so."""
        while self.state is not None and self._due_ms <= clock_ms:
            due = self._due_ms
            self._step(due, self._clock.place_of(due, self._order))

    def published_rows(self) -> list[int]:
        """The rows whose words are told or kept."""
        rows = [one.note for one in self.told if isinstance(one.note, int)]
        if self._keeps is not None:
            rows.append(self._keeps)
        return rows

    def record(self, notes: dict[int, bytes]) -> bytes | None:
        """The state as it is stored."""
        state = self.state
        if state is None:
            return None
        if self._keeps is not None:
            state = msgspec.structs.replace(state, note=notes[self._keeps])
        return pack(state, self._due_ms)

    @property
    def _keeps(self) -> int | None:
        """The row whose words a timer may tell later."""
        state = self.state
        return self._kept if state is not None and (state.live or not state.seq) else None

    def _score(self, row: int) -> AlertScore:
        ranked, point = self._ranked, self._ranked.points[row]
        answer = self._book.detraction(point)
        return AlertScore(
            point.at_ms,
            float(ranked.scores.probability[row]),
            float(ranked.percentile[row]),
            float(ranked.base[row]),
            cause_of(point.trigger, point.at_ms, point.id_hash),
            self._silent[row],
            point.eligible,
            point.oldest_new_ms,
            "" if answer is None else answer.code,
            answer is not None and answer.fresh,
            isinstance(ranked.scores, CombinedScores) and bool(ranked.scores.billing[row]),
        )

    def _step(
        self,
        now_ms: int,
        place: LogPosition,
        score: AlertScore | None = None,
        row: int = -1,
        handling: AlertAction | None = None,
        churned: bool = False,
        forgotten: str = "",
    ) -> None:
        book = self._book
        self.state, events, self._due_ms = step(
            self.state,
            score,
            book.settings,
            now_ms,
            customer=self._customer,
            handling=handling,
            churned=churned,
            forgotten=forgotten,
            silent_feed=book.silent_feed,
        )
        for event in events:
            note = row if event.note is None else event.note if self._kept is None else self._kept
            self.told.append(_UnrenderedAlert(place, self._name, event, note))
        if row >= 0:
            self._kept = row
