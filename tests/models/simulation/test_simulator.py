"""The simulator: its events, its hidden states, and that both agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.simulation import (
    SimulatedEvent,
    Simulation,
    SimulationSettings,
    Trace,
    traces,
    true_probabilities,
    true_probability,
)
from models.simulation.calendar import DAY_MS, Calendar
from models.simulation.customer import KINDS, STATES, STEP, STEP_AT_RENEWAL, state_number

Recorded = tuple[Simulation, list[SimulatedEvent]]
Decoded = tuple[SimulatedEvent, dict[str, Any]]


@pytest.fixture(scope="module")
def world() -> Recorded:
    simulation = Simulation(SimulationSettings(customers=250, days=160, seed=7), record=True)
    return simulation, list(simulation.events())


@pytest.fixture(scope="module")
def decoded(world: Recorded) -> list[Decoded]:
    return [(event, json.loads(event.value)) for event in world[1]]


def name(value: Mapping[str, Any]) -> str:
    return str(value.get("event", value["type"]))


def test_same_settings_give_the_same_bytes() -> None:
    settings = SimulationSettings(customers=80, days=40, seed=3)
    assert list(Simulation(settings).events()) == list(Simulation(settings).events())


def test_different_seeds_give_different_events() -> None:
    first, second = (list(Simulation(SimulationSettings(customers=50, days=5, seed=seed)).events()) for seed in (1, 2))
    assert [event.value[20:] for event in first] != [event.value[20:] for event in second]


def test_longer_simulation_starts_with_the_shorter_one() -> None:
    short, long = (list(Simulation(SimulationSettings(customers=60, days=days)).events()) for days in (20, 35))
    assert long[: len(short)] == short


@pytest.mark.law
def test_hidden_states_do_not_depend_on_drawing_events(world: Recorded) -> None:
    assert traces(world[0].settings) == world[0].traces


def test_every_family_of_events_occurs(decoded: list[Decoded]) -> None:
    names = Counter(name(value) for _, value in decoded)
    assert set(names) >= {
        "page", "identify", "group", "Signed Up", "Trial Started", "Onboarding Step Completed", "Session Started",
        "Feature Used", "Goal Completed", "Order Completed", "Subscription Started", "Subscription Renewed",
        "Subscription Upgraded", "Subscription Downgraded", "Subscription Cancel Scheduled", "Subscription Cancelled",
        "Payment Succeeded", "Payment Failed", "Payment Recovered", "Payment Method Updated", "Ticket Created",
        "Ticket Solved", "Ticket Reopened", "Survey Sent", "Survey Response Submitted", "Review Posted",
        "Social Mention", "Email Sent", "Email Opened", "Email Clicked", "Email Unsubscribed", "Referral Sent",
        "Referral Converted", "Renewal Due Set", "Meeting Held",
    }  # fmt: skip


def test_cancellation_is_the_last_event_of_a_subscriber_who_churns(world: Recorded, decoded: list[Decoded]) -> None:
    simulation = world[0]
    last = {event.customer: (event, value) for event, value in decoded}
    left = [trace for trace in simulation.traces.values() if trace.left_ms is not None and trace.subscriber]
    assert len(left) > 60
    for trace in left:
        event, value = last[trace.customer]
        assert (event.time_ms, name(value)) == (trace.left_ms, "Subscription Cancelled")
        wanted = value["properties"]["reason"] == "cancellation_requested"
        assert trace.cause == ("voluntary" if wanted else "involuntary")


def test_exactly_the_subscribers_who_churned_cancelled_once(world: Recorded, decoded: list[Decoded]) -> None:
    cancelled = Counter(event.customer for event, value in decoded if name(value) == "Subscription Cancelled")
    assert set(cancelled.values()) == {1}
    assert set(cancelled) == {t.customer for t in world[0].traces.values() if t.left_ms is not None and t.subscriber}


def test_shop_customer_churns_without_an_event(world: Recorded, decoded: list[Decoded]) -> None:
    last = {event.customer: event.time_ms for event, _ in decoded}
    left = [t for t in world[0].traces.values() if t.left_ms is not None and not t.subscriber]
    assert left
    assert all(last[t.customer] < t.left_ms for t in left if t.customer in last and t.left_ms is not None)
    names = {name(value) for event, value in decoded if event.customer in {t.customer for t in left}}
    assert not any(event_name.startswith(("Subscription", "Payment")) for event_name in names)


def test_sign_up_is_the_first_event_of_a_new_customer(world: Recorded, decoded: list[Decoded]) -> None:
    first: dict[str, tuple[int, str]] = {}
    for event, value in decoded:
        first.setdefault(event.customer, (event.time_ms, name(value)))
    for trace in world[0].traces.values():
        if trace.since_ms > world[0].settings.start_ms and trace.customer in first:
            assert first[trace.customer] == (trace.since_ms, "Signed Up")


def test_involuntary_churn_follows_a_failed_payment(world: Recorded, decoded: list[Decoded]) -> None:
    failed = {event.customer for event, value in decoded if name(value) == "Payment Failed"}
    unpaid = [trace for trace in world[0].traces.values() if trace.cause == "involuntary"]
    # A customer who was unpaid at the start of the simulation may churn before the next attempt.
    paid_once = {trace.customer for trace in unpaid if STATES[trace.states[0]].name != "failed"}
    assert len(paid_once) > 5
    assert paid_once <= failed


@pytest.mark.law
def test_automated_events_continue_after_people_have_stopped() -> None:
    simulation = Simulation(SimulationSettings(customers=300, days=90, mix={"automated": 1.0}), record=True)
    automated: Counter[str] = Counter()
    by_hand: Counter[str] = Counter()
    days: Counter[str] = Counter()
    for event in simulation.events():
        state = simulation.traces[event.customer].state((event.time_ms - simulation.settings.start_ms) // DAY_MS)
        (automated if b'"active":false' in event.value else by_hand)[STATES[state].name] += (
            b"Feature Used" in event.value
        )
    for trace in simulation.traces.values():
        end = ((trace.left_ms or simulation.settings.start_ms + 90 * DAY_MS) - trace.start_ms) // DAY_MS
        days.update(STATES[trace.state(day)].name for day in range((trace.since_ms - trace.start_ms) // DAY_MS, end))
    calls = {state: automated[state] / days[state] for state in days}
    assert calls["deserted"] == pytest.approx(calls["used"], rel=0.1)
    assert by_hand["deserted"] / days["deserted"] < 0.2 * by_hand["used"] / days["used"]


def test_holiday_lowers_activity_and_hazard(world: Recorded) -> None:
    settings = world[0].settings
    calendar = Calendar(settings.start_ms)
    sessions = Counter(
        (event.time_ms - settings.start_ms) // DAY_MS for event in world[1] if b"Session Started" in event.value
    )
    ordinary = np.mean([sessions[day] for day in range(84, 91)])
    holiday = np.mean([sessions[day] for day in range(91, 98)])
    assert calendar.is_holiday(range(91, 98)).all()
    assert holiday < 0.5 * ordinary
    assert (calendar.hazard([90, 95]) == [1.0, 0.35]).all()


def test_five_to_ten_percent_churn_within_thirty_days() -> None:
    world = SimulationSettings(customers=2000, days=150, seed=8)
    there = list(traces(world).values())
    rates = []
    for day in (10, 40, 70, 100):
        now_ms = world.start_ms + day * DAY_MS
        alive = [t for t in there if t.since_ms <= now_ms and (t.left_ms is None or t.left_ms > now_ms)]
        rates.append(np.mean([t.left_within(now_ms, 30) for t in alive]))
    assert 0.05 < np.mean(rates) < 0.1


@pytest.mark.law
def test_hazards_agree_with_true_probability(world: Recorded) -> None:
    simulation = Simulation(SimulationSettings(customers=150, days=60, seed=2), record=True)
    hazards = []
    for _ in range(60):
        hazards += simulation.hazards(14)
        simulation.next_day()
    kept = [simulation.traces[hazard.customer] for hazard in hazards]
    times = [hazard.time_ms for hazard in hazards]
    assert true_probabilities(kept, times, 14) == pytest.approx([h.p_churn for h in hazards], abs=1e-12)
    assert true_probabilities(kept, times, 14, "involuntary") == pytest.approx(
        [h.p_involuntary for h in hazards], abs=1e-12
    )
    assert true_probabilities(kept, times, 1) == pytest.approx([h.hazard_daily for h in hazards], abs=1e-12)


def test_no_customer_is_present_before_the_first_day() -> None:
    assert Simulation(SimulationSettings(customers=5)).hazards() == []


def test_true_probability_by_hand() -> None:
    """Two days of a dormant customer: half a day, a step of the chain, a day, a step, half a day."""
    trace = Trace("c1", "fading", True, 0, 0, anchor=0, days=[0], states=[state_number("fading", "dormant")])
    hazard = np.array([state.hazard for state in STATES])
    staying = np.eye(len(STATES))[state_number("fading", "dormant")] * (1 - hazard) ** 0.5
    staying = (staying @ STEP) * (1 - hazard)
    staying = (staying @ STEP) * (1 - hazard) ** 0.5
    day_ms = 20 * DAY_MS + DAY_MS // 2  # no holiday and no renewal
    assert true_probability(trace, day_ms, 2) == pytest.approx(1 - staying.sum(), abs=1e-15)


def test_upcoming_renewal_raises_the_hazard_of_an_expiring_card() -> None:
    trace = Trace("c1", "payment", True, 0, 0, anchor=-10, days=[0], states=[state_number("payment", "expiring")])
    before, after = (true_probability(trace, day * DAY_MS, 5, "involuntary") for day in (18, 21))
    assert before > 10 * after


def test_probability_is_certain_after_churn() -> None:
    trace = Trace(
        "c1", "happy", True, 0, 0, 0, [0], [state_number("happy", "loyal")], left_ms=5 * DAY_MS, cause="voluntary"
    )
    assert true_probability(trace, 5 * DAY_MS, 30) == 1.0
    assert true_probability(trace, 6 * DAY_MS, 30, "involuntary") == 0.0
    assert trace.left_within(3 * DAY_MS, 2)
    assert not trace.left_within(3 * DAY_MS, 1.9)


def test_probability_before_sign_up_is_an_error() -> None:
    trace = Trace("c1", "happy", True, 0, DAY_MS, 1, [1], [state_number("happy", "loyal")])
    with pytest.raises(ValueError, match="c1 does not exist before"):
        true_probability(trace, 0, 30)


def test_unknown_cause_is_an_error() -> None:
    trace = Trace("c1", "happy", True, 0, 0, 0, [0], [state_number("happy", "loyal")])
    with pytest.raises(ValueError, match="'death': give one of voluntary, involuntary"):
        true_probability(trace, 0, 30, "death")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"customers": 0}, "customers is 0"),
        ({"days": -1}, "days is -1"),
        ({"seed": -2}, "seed is -2"),
        ({"shops": 1.5}, "shops is 1.5"),
        ({"mix": {"angry": 1.0}}, "unknown kind 'angry'"),
        ({"mix": {"happy": 0.0}}, "mix needs"),
        ({"start_ms": 5}, "not midnight UTC"),
        ({"start_ms": 0, "days": 2}, "1970-01-01 to 1970-01-02 is outside the years 1990 to 2099"),
    ],
)
def test_error_names_the_wrong_setting(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationSettings(**wrong)


def test_transitions_are_stochastic_and_never_change_the_kind() -> None:
    kinds = np.array([KINDS.index(state.kind) for state in STATES])
    for matrix in (STEP, STEP_AT_RENEWAL):
        assert matrix.sum(axis=1) == pytest.approx(np.ones(len(STATES)))
        assert (matrix >= 0).all()
        assert (matrix[kinds[:, None] != kinds] == 0).all()


def test_start_shares_of_each_kind_sum_to_one() -> None:
    for kind in KINDS:
        assert sum(state.starts for state in STATES if state.kind == kind) == pytest.approx(1)
