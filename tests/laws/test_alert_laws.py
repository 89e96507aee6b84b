"""Laws of the alert policy, for arbitrary scores, survey responses, gaps and times."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import STATES, AlertState, pack, unpack
from models.alerts.policy import REMINDERS_MAX, TYPES, AlertEvent, AlertScore, due_ms, step
from models.alerts.settings import BANDS, AlertSettings
from models.definition.threshold import Threshold
from models.duration import DAY_MS, HOUR_MS
from models.profile.schema import NEVER_MS

START = 1_600_000_000_000
FIELDS = AlertScore.__struct_fields__
ENDS = ("resolved", "retracted", "expired")
# State after each kind of event
AFTER = {"opened": "open", "escalated": "open", "reminded": "open", **{t: t for t in TYPES[2:4] + TYPES[5:]}}


class Moment(NamedTuple):
    """An input `wait_ms` after the previous one."""

    wait_ms: int
    score: AlertScore | None = None
    action: AlertAction | None = None
    churned: bool = False


waits = st.sampled_from([0, 1, HOUR_MS, 5 * HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS]) | st.integers(
    0, 40 * DAY_MS
)
probabilities = st.sampled_from([0.01, 0.39, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99]) | st.floats(0.0, 1.0)
policies = st.builds(
    AlertSettings,
    definition=st.just("d"),
    enter=st.sampled_from([Threshold.of(0.5), Threshold.of("top 50%")]),
    exit=st.sampled_from([Threshold.of(0.4), Threshold.of("top 60%")]),
    high=st.just(Threshold.of(0.7)),
    critical=st.just(Threshold.of(0.9)),
    lift=st.sampled_from([1.0, 1.5]),
    dwell_ms=st.sampled_from([0, HOUR_MS, 6 * HOUR_MS, 3 * DAY_MS]),
    cooldown_ms=st.sampled_from([0, HOUR_MS, 14 * DAY_MS]),
    reminder_ms=st.sampled_from([0, 6 * HOUR_MS, 7 * DAY_MS]),
    expire_ms=st.sampled_from([DAY_MS, 30 * DAY_MS]),
)


@st.composite
def moments(draw: Any) -> list[Moment]:
    found, at = [], START
    for number in range(draw(st.integers(1, 16))):
        wait = draw(waits)
        at += wait
        kind = draw(st.sampled_from("ssssshhct"))
        if kind == "s":
            response = draw(st.sampled_from(["", "", "CSAT_DETRACTOR"]))
            score = AlertScore(
                at,
                draw(probabilities),
                draw(probabilities),
                0.2,
                f"event#{number}",
                draw(st.booleans()),
                draw(st.sampled_from([True] * 9 + [False])),
                at - draw(st.sampled_from([0, 12 * HOUR_MS, 10 * DAY_MS])),
                response,
                bool(response) and draw(st.booleans()),
            )
            found.append(Moment(wait, score))
        elif kind == "h":
            until = at + draw(waits)
            action = AlertAction(draw(st.sampled_from(["acknowledge", "snooze", "dismiss"])), None, until)
            found.append(Moment(wait, action=action))
        else:
            found.append(Moment(wait, churned=kind == "c"))
    return found


class Run(NamedTuple):
    events: list[AlertEvent]
    states: list[tuple[int, AlertState | None]]


def run(policy: AlertSettings, log: list[Moment], *, ring: bool, extra: int = 0, gap: bool = False) -> Run:
    """Feed the log. `ring`: step timers when they are due; `extra`: number of empty steps between two moments."""
    state: AlertState | None = None
    events: list[AlertEvent] = []
    states: list[tuple[int, AlertState | None]] = []
    now = START

    def go(at: int, moment: Moment | None = None) -> None:
        nonlocal state
        score, action, churned = (None, None, False) if moment is None else moment[1:]
        before = msgspec.structs.replace(state) if state is not None else None
        new, changes, due = step(
            state, score, policy, at, customer="c", action=action, churned=churned, silent_feed=lambda at_ms: gap
        )
        assert state == before, "the input state must not change"
        assert due == due_ms(new, policy)
        assert due > at, "no timer may be overdue"
        state = new
        events.extend(changes)
        states.append((at, state))

    for moment in log:
        target = now + moment.wait_ms
        if ring:
            while (due := due_ms(state, policy)) <= target:
                go(due)
        for part in range(1, extra + 1):
            go(now + moment.wait_ms * part // (extra + 1))
        now = target
        go(now, moment)
    return Run(events, states)


@settings(max_examples=300, deadline=None)
@given(policies, moments(), st.integers(0, 3), st.booleans())
def test_splitting_time_at_timers_or_anywhere_changes_nothing(
    policy: AlertSettings, log: list[Moment], extra: int, gap: bool
) -> None:
    whole = run(policy, log, ring=False, gap=gap)
    rung = run(policy, log, ring=True, extra=extra, gap=gap)
    assert rung.events == whole.events
    assert rung.states[-1] == whole.states[-1]


@settings(max_examples=300, deadline=None)
@given(policies, moments())
def test_events_of_an_alert_are_consistent(policy: AlertSettings, log: list[Moment]) -> None:
    """Rule: at most one alert is open, each event is a change, seq has no gaps, and a replay gives the same ids."""
    events = run(policy, log, ring=True).events
    assert run(policy, log, ring=True).events == events
    by_alert: dict[str, list[AlertEvent]] = {}
    current = None
    for event in events:
        assert event.type in TYPES
        assert event.state == AFTER[event.type]
        assert event.dedup_key == "c/d"
        if event.type == "opened":
            assert current is None, "only one alert may be open"
            assert event.alert_id not in by_alert, "an id must belong to one alert"
            current = event.alert_id
        assert event.alert_id == current
        by_alert.setdefault(event.alert_id, []).append(event)
        if event.type in ENDS:
            current = None
    for history in by_alert.values():
        assert [e.seq for e in history] == list(range(1, len(history) + 1))
        assert history[0].type == "opened"
        assert all(e.type not in ENDS for e in history[:-1])
        reminders = 0
        for before, after in pairwise(history):
            assert before.at_ms <= after.at_ms
            change = (
                before.state != after.state
                or BANDS.index(after.severity) > BANDS.index(before.severity)
                or after.type == "reminded"
                or before.until_ms != after.until_ms
            )
            assert change, "every event must be a change of state"
            if before.severity != after.severity:
                assert after.type == "escalated"
            reminders += after.type == "reminded"
        snoozed = sum(e.type == "snoozed" for e in history)
        assert reminders - snoozed <= REMINDERS_MAX, "all further reminders must be requested by snoozing"


@settings(max_examples=300, deadline=None)
@given(policies, moments(), st.booleans())
def test_dwell_cooldown_and_spacing_hold(policy: AlertSettings, log: list[Moment], gap: bool) -> None:
    result = run(policy, log, ring=True, gap=gap)
    scores, at = [], START
    for moment in log:
        at += moment.wait_ms
        if moment.score is not None:
            score = moment.score
            scores.append((at, score, policy.band(score.probability, score.percentile, score.base)))
    ended_ms: int | None = None
    reminded_ms: int | None = None
    for event in result.events:
        if ended_ms is not None:
            assert event.at_ms - ended_ms >= policy.cooldown_ms, "no alert may open within the cooldown"
        if event.type == "opened" and event.rule:
            found = [s for when, s, _ in scores if when == event.at_ms]
            assert any(s.detractor_is_new and s.eligible for s in found), "the response must open the alert at once"
            reminded_ms = None
        elif event.type == "opened":
            low = [when for when, score, band in scores if when < event.at_ms and (not band or not score.eligible)]
            high = [when for when, score, band in scores if when <= event.at_ms and band and score.eligible]
            start = min(when for when in high if not low or when >= max(low))
            assert event.at_ms - start >= policy.dwell_ms, "no alert may open before the dwell has passed"
            reminded_ms = None
        if event.type == "reminded":
            if reminded_ms is not None:
                assert event.at_ms - reminded_ms >= (policy.reminder_ms or DAY_MS)
            reminded_ms = event.at_ms
        ended_ms = event.at_ms if event.type in ENDS else None


@settings(max_examples=150, deadline=None)
@given(policies, moments())
def test_state_is_bounded_and_survives_encoding(policy: AlertSettings, log: list[Moment]) -> None:
    for at, state in run(policy, log, ring=True).states:
        if state is None:
            continue
        assert unpack(pack(state, 5)) == state
        assert STATES[state.phase] != "none"
        assert due_ms(state, policy) < NEVER_MS, "every state must end by itself"
        assert state.live == (STATES[state.phase] in ("open", "acknowledged", "snoozed"))
        assert state.since_ms <= at


@settings(max_examples=150, deadline=None)
@given(policies, moments())
def test_consumers_of_the_events_know_the_state(policy: AlertSettings, log: list[Moment]) -> None:
    result = run(policy, log, ring=True)
    published = result.events[-1].state if result.events else None
    _, state = result.states[-1]
    if state is not None and state.live:
        assert STATES[state.phase] == published
    else:
        assert published is None or published in ENDS


@settings(max_examples=150, deadline=None)
@given(policies, moments())
def test_inactivity_opens_no_alert_during_a_feed_outage(policy: AlertSettings, log: list[Moment]) -> None:
    silent = [
        m
        if m.score is None
        else m._replace(score=AlertScore(**{f: getattr(m.score, f) for f in FIELDS[:5]}, silent=True))
        for m in log
    ]
    events = run(policy, silent, ring=True, gap=True).events
    assert events == []


@settings(max_examples=300, deadline=None)
@given(policies, moments())
def test_alert_stays_open_while_its_response_is_current(policy: AlertSettings, log: list[Moment]) -> None:
    """Rule: whatever the probability, no score ends an alert of a detractor while the response is current. An eligible
    detractor without an alert gets one at that moment, unless one has just ended."""
    result = run(policy, log, ring=True)
    at = START
    scored: dict[int, list[AlertScore]] = {}
    for moment in log:
        at += moment.wait_ms
        if moment.score is not None:
            scored.setdefault(at, []).append(moment.score)
    for event in result.events:
        if event.resolution in ("recovered", "late_evidence") and event.rule:
            assert not all(score.detractor for score in scored[event.at_ms])
    cooling = {when: state for when, state in result.states if state is not None}
    for when, scores in scored.items():
        if len(scores) == 1 and scores[0].detractor_is_new and scores[0].eligible:
            assert cooling[when].seq > 0, "an alert must have been published by now"
