"""The alert policy: one pure function over a customer's small alert state.

    none -> pending -> open -> acknowledged | snoozed -> resolved | retracted | expired -> none

1. A score at or above `enter` starts the dwell (pending). A score below `enter` ends it; nothing is published.
2. After the dwell the alert opens, with its `route`. In a feed outage an alert whose main reason is silence is held:
   its dwell starts again.
   With `detractor`, a detractor's survey response opens an alert at once, whatever the score.
3. An open alert escalates when its band exceeds all earlier ones, and is repeated after `reminder`. People acknowledge
   it (no more reminders), snooze it (nothing until then) or dismiss it (resolved). An escalation opens it again.
4. A score below `exit` resolves it. If the events that lowered the score happened before the alert's cause and only
   arrived late, the alert is retracted instead. Neither happens while a detractor's response is in effect. An alert
   expires when the customer has churned, was deleted, or was not scored for `expire`.
5. After the end, no alert opens for `cooldown`. For a deleted customer, not even the cooldown is kept.

Every change of an alert's state is one event, and every event is a change. People's actions on an alert are not an
input of any score. Timers are a function of the state: stepping at a due time, or later, gives the same events.

At one instant, scores and actions come first: a timer that publishes fires once the clock has passed its instant, as of
that instant. So a score that escalates or ends an alert replaces the reminder that was due with it, and an alert opens
with the severity of the score at the end of its dwell. The end of a cooldown publishes nothing and comes first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import (
    ACKNOWLEDGED,
    EXPIRED,
    OPEN,
    PENDING,
    RESOLVED,
    RETRACTED,
    SNOOZED,
    STATES,
    AlertState,
)
from models.alerts.settings import BANDS, AlertSettings
from models.definition.competing_risks import SUCCESS, route_of
from models.duration import DAY_MS, HOUR_MS
from models.profile.schema import NEVER_MS

Floats = NDArray[np.float64]

TYPES: Final = ("opened", "escalated", "acknowledged", "snoozed", "reminded", "resolved", "retracted", "expired")

HOLD_MS: Final = HOUR_MS  # between two checks of an alert that a feed outage holds
REMINDERS_MAX: Final = 3  # of one alert: a reader who ignored three ignores a fourth
LEAST_BAND: Final = 1  # severity of an alert that a rule opened below every threshold: "elevated"
SNOOZE_MAX_MS: Final = 366 * DAY_MS
ID_BYTES: Final = 16  # as a UUID


class AlertScore(msgspec.Struct, gc=False, frozen=True):
    """The score as the policy reads it."""

    at_ms: int
    """Event time of the score."""
    probability: float
    percentile: float
    """Share of customers with a lower probability."""
    base: float
    """Mean probability of the customers."""
    cause: str
    """The event or deadline that triggered the score: a function of the log, see `cause_of`."""
    silent: bool = False
    """The main reason is silence."""
    eligible: bool = True
    """The customer can still churn; if not, no alert opens, and an open one expires."""
    oldest_new_ms: int = NEVER_MS
    """Earliest time of the customer's own events since the previous score."""
    detractor: str = ""
    """Reason code of a detractor's response in effect; see `models.alerts.detractor_rule`."""
    detractor_is_new: bool = False
    """That response triggered this score."""
    billing: bool = False
    """Payment failure is the greater hazard; see `models.definition.competing_risks`."""


class AlertEvent(msgspec.Struct, gc=False, frozen=True):
    """One change of an alert, to be published."""

    type: str
    alert_id: str
    dedup_key: str
    seq: int
    state: str
    severity: str
    at_ms: int
    opened_ms: int
    resolution: str = ""  # of an end: recovered, dismissed, late_evidence, churned, not_scored, deleted
    until_ms: int = 0  # of a snooze
    note: bytes | None = None
    """The stored score that it is about; None: the score passed to this step."""
    rule: str = ""
    route: str = SUCCESS


Step = tuple[AlertState | None, list[AlertEvent], int]


def never_silent(at_ms: int) -> bool:
    """The feed without outages."""
    return False


def step(
    state: AlertState | None,
    score: AlertScore | None,
    settings: AlertSettings,
    now_ms: int,
    *,
    customer: str,
    action: AlertAction | None = None,
    churned: bool = False,
    deleted: str = "",
    silent_feed: Callable[[int], bool] = never_silent,
) -> Step:
    """Move one customer's alert on to `now_ms`.

    Args:
        state: The state that the previous step returned; None for no alert. Not changed.
        score: A new score, or None if only time passed or a person acted.
        settings: The policy.
        now_ms: The partition's clock, never before that of an earlier step.
        customer: The customer's id, part of the alert's id.
        action: A person's action.
        churned: The customer is known to have churned.
        deleted: If the customer's data is deleted, the resolution of a published alert; otherwise empty.
        silent_feed: Whether the feed had an outage at a time.

    Returns:
        The state (None: no alert and no cooldown), the events in order, and when to step again without any input.
    """
    if state is None and (score is None or churned):
        return None, [], NEVER_MS
    machine = _AlertStateMachine(state, settings, now_ms, customer, silent_feed)
    machine.fire_timers()
    if action is not None:
        machine.act(action)
    if deleted:
        machine.delete(deleted)
    elif churned or (score is not None and not score.eligible):
        machine.churn()
    elif score is not None:
        machine.score(score)
    return machine.state, machine.events, due_ms(machine.state, settings)


def due_ms(state: AlertState | None, settings: AlertSettings) -> int:
    """When to step again without input: the millisecond after a timer, the end of a cooldown; NEVER_MS for never."""
    if state is None:
        return NEVER_MS
    return state.due_ms if state.phase >= RESOLVED else _timer_ms(state, settings) + 1


def _timer_ms(state: AlertState, settings: AlertSettings) -> int:
    """The instant as of which the state changes without input."""
    if state.phase >= RESOLVED:
        return state.due_ms
    timer_ms = min(state.due_ms, state.scored_ms + settings.expire_ms)
    if state.phase == OPEN and settings.reminder_ms and state.reminders < REMINDERS_MAX:
        timer_ms = min(timer_ms, state.notified_ms + settings.reminder_ms)
    return timer_ms


class _AlertStateMachine:
    """One step: a changed copy of the state, and the events that the step caused."""

    def __init__(
        self,
        state: AlertState | None,
        settings: AlertSettings,
        now_ms: int,
        customer: str,
        silent_feed: Callable[[int], bool],
    ) -> None:
        self.state = None if state is None else msgspec.structs.replace(state)
        self.settings = settings
        self.now_ms = now_ms
        self.silent_feed = silent_feed
        self.customer = customer
        self.events: list[AlertEvent] = []
        self._note: bool = True  # events carry the stored score

    # Time --------------------------------------------------------------------------------------------------------

    def fire_timers(self) -> None:
        """Fire every timer that is due by now, each as of its instant."""
        until_ms = self.now_ms
        while self.state is not None and due_ms(self.state, self.settings) <= until_ms:
            self.now_ms = _timer_ms(self.state, self.settings)
            self._fire(self.state, self.now_ms)
        self.now_ms = until_ms

    def _fire(self, state: AlertState, at_ms: int) -> None:
        if state.phase >= RESOLVED:
            self.state = None
        elif at_ms >= state.scored_ms + self.settings.expire_ms:
            self._end(state, EXPIRED, "not_scored")
        elif state.phase == PENDING:
            self._end_dwell(state)
        elif state.phase == SNOOZED:
            state.due_ms = NEVER_MS
            self._remind(state)
        else:
            self._remind(state)

    def _end_dwell(self, state: AlertState) -> None:
        if state.silent and self.silent_feed(self.now_ms):
            state.due_ms = self.now_ms + max(self.settings.dwell_ms, HOLD_MS)
            return
        self._open(state)

    def _open(self, state: AlertState) -> None:
        state.alert_id = alert_id(self._dedup_key, state.cause, state.cause_ms)
        state.since_ms = state.notified_ms = self.now_ms
        state.due_ms = NEVER_MS
        state.band = max(state.last_band, LEAST_BAND if state.rule else 0)
        state.billing &= not state.rule  # a response goes to the success team
        self._publish(state, "opened", OPEN)

    def _remind(self, state: AlertState) -> None:
        """Remind, or escalate if the band rose during a snooze that is over."""
        hidden = state.silent and self.silent_feed(self.now_ms)
        if state.phase == SNOOZED and state.last_band > state.band and not hidden:
            self._escalate(state)
            return
        state.reminders += 1
        state.notified_ms = state.reminded_ms = self.now_ms
        self._publish(state, "reminded", OPEN)

    # Inputs ------------------------------------------------------------------------------------------------------

    def score(self, score: AlertScore) -> None:
        settings, state = self.settings, self.state
        band = settings.band(score.probability, score.percentile, score.base)
        if state is None:
            if band or score.detractor_is_new:
                self._enter(score, band)
            return
        if state.phase >= RESOLVED:
            return
        state.scored_ms, state.last_band, state.silent = self.now_ms, band, score.silent
        self._note = False
        if score.detractor_is_new:
            state.rule = score.detractor
        held = bool(state.rule and score.detractor)
        if state.phase == PENDING:
            state.billing = score.billing
            if score.detractor_is_new:
                self._open(state)
            elif not band:
                self.state = None
        elif not band and not held and not settings.exit.reached(score.probability, score.percentile):
            late = score.oldest_new_ms < state.cause_ms
            self._end(state, RETRACTED if late else RESOLVED, "late_evidence" if late else "recovered")
        elif band > state.band and state.phase != SNOOZED and not (score.silent and self.silent_feed(self.now_ms)):
            self._escalate(state)

    def _enter(self, score: AlertScore, band: int) -> None:
        now, dwell = self.now_ms, self.settings.dwell_ms
        state = AlertState(PENDING, now, score.cause, score.at_ms, band, band, score.silent, now, now + dwell)
        state.billing = score.billing
        self.state, self._note = state, False
        if score.detractor_is_new:
            state.rule = score.detractor
            self._open(state)
        elif not dwell:
            self._end_dwell(state)

    def act(self, action: AlertAction) -> None:
        state = self.state
        if state is None or not state.live or action.alert_id not in (None, state.alert_id):
            return
        if action.kind == "dismiss":
            self._end(state, RESOLVED, "dismissed")
        elif action.kind == "acknowledge" and state.phase != ACKNOWLEDGED:
            state.due_ms = NEVER_MS
            self._publish(state, "acknowledged", ACKNOWLEDGED)
        elif action.kind == "snooze":
            self._snooze(state, action.until_ms)

    def _snooze(self, state: AlertState, until_ms: int | None) -> None:
        """Snooze the alert. The end of a snooze is a reminder, so it keeps the minimum time between reminders."""
        min_gap_ms = self.settings.reminder_ms or DAY_MS
        if until_ms is None or until_ms <= self.now_ms:
            until_ms = self.now_ms + min_gap_ms
        until_ms = min(until_ms, self.now_ms + SNOOZE_MAX_MS)
        if state.reminded_ms:
            until_ms = max(until_ms, state.reminded_ms + min_gap_ms)
        if state.phase != SNOOZED or state.due_ms != until_ms:
            state.due_ms = until_ms
            self._publish(state, "snoozed", SNOOZED, until_ms=until_ms)

    def churn(self) -> None:
        state = self.state
        if state is None or state.phase >= RESOLVED:
            return
        self._end(state, EXPIRED, "churned")

    def delete(self, resolution: str) -> None:
        if self.state is not None and self.state.live:
            self._end(self.state, EXPIRED, resolution)
        self.state = None

    # Changes -----------------------------------------------------------------------------------------------------

    def _escalate(self, state: AlertState) -> None:
        state.band = state.last_band
        state.notified_ms = self.now_ms
        self._publish(state, "escalated", OPEN)

    def _end(self, state: AlertState, phase: int, resolution: str) -> None:
        if state.phase == PENDING:
            self.state = None
            return
        self._publish(state, STATES[phase], phase, resolution=resolution)
        state.since_ms, state.note = self.now_ms, b""
        state.due_ms = self.now_ms + self.settings.cooldown_ms
        if not self.settings.cooldown_ms:
            self.state = None

    def _publish(self, state: AlertState, kind: str, phase: int, *, resolution: str = "", until_ms: int = 0) -> None:
        state.phase = phase
        state.seq += 1
        self.events.append(
            AlertEvent(
                kind,
                state.alert_id,
                self._dedup_key,
                state.seq,
                STATES[phase],
                BANDS[state.band],
                self.now_ms,
                state.since_ms,
                resolution,
                until_ms,
                state.note if self._note else None,
                state.rule,
                route_of(state.billing),
            )
        )

    @property
    def _dedup_key(self) -> str:
        return f"{self.customer}/{self.settings.definition}"


# Identity ---------------------------------------------------------------------------------------------------------


def alert_id(dedup_key: str, cause: str, cause_ms: int) -> str:
    """The same cause gives the same id in every replay.

    >>> alert_id("c1/voluntary", "decisive#00000000000000ff", 0)
    '714e063e26989151da5eba9b2d4d8a45'
    """
    text = json.dumps([dedup_key, cause, cause_ms])
    return hashlib.blake2b(text.encode(), digest_size=ID_BYTES).hexdigest()


def cause_of(trigger: str, at_ms: int, id_hash: int = 0) -> str:
    """Identify what triggered a score: an event by the hash of its id, a deadline by its due time.

    >>> cause_of("silence", 1000), cause_of("decisive", 1000, 255)
    ('silence@1000', 'decisive#00000000000000ff@1000')
    """
    return f"{trigger}#{id_hash:016x}@{at_ms}" if id_hash else f"{trigger}@{at_ms}"
