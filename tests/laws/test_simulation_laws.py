"""Laws of the simulator: event order, unique ids, valid events, and true probabilities that match outcomes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events.event import Event, decode
from models.simulation import Simulation, SimulationSettings, Trace, traces, true_probabilities, true_probability
from models.simulation.calendar import DAY_MS
from models.simulation.customer import KINDS, STATES, STEP, STEP_AT_RENEWAL
from models.simulation.hazard import renews_on

some_settings = st.builds(
    SimulationSettings,
    customers=st.integers(1, 30),
    days=st.integers(1, 35),
    start_ms=st.integers(7_400, 45_000).map(lambda day: day * DAY_MS),
    seed=st.integers(0, 2**32),
    shops=st.floats(0, 1),
    mix=st.dictionaries(st.sampled_from(KINDS), st.floats(0.1, 1), min_size=1),
)


def trace_in(state: int, anchor: int, subscriber: bool = True) -> Trace:
    return Trace("c1", STATES[state].kind, subscriber, 0, 0, anchor, [0], [state])


some_traces = st.builds(trace_in, st.integers(0, len(STATES) - 1), st.integers(-60, 30), st.booleans())
some_times = st.integers(0, 400 * DAY_MS)


@settings(max_examples=20, deadline=None)
@given(some_settings)
def test_events_are_valid_and_ordered_with_unique_ids(given_settings: SimulationSettings) -> None:
    events = list(Simulation(given_settings).events())
    end_ms = given_settings.start_ms + given_settings.days * DAY_MS
    times = [event.time_ms for event in events]
    assert times == sorted(times)
    assert all(given_settings.start_ms <= time_ms < end_ms for time_ms in times)
    decoded = [decode(event.value, [], None) for event in events]
    valid = [event for event in decoded if isinstance(event, Event)]
    assert len(valid) == len(decoded)
    assert [(event.customer, event.time_ms) for event in events] == [(event.customer, event.time_ms) for event in valid]
    assert len({event.id_hash for event in valid}) == len(events)
    assert b"\n" not in b"".join(event.value for event in events)


@settings(max_examples=60, deadline=None)
@given(some_traces, some_times, st.floats(0, 90), st.floats(0, 30))
def test_true_probability_is_valid_and_grows_with_the_horizon(
    trace: Trace, time_ms: int, horizon: float, more: float
) -> None:
    near, far = (true_probability(trace, time_ms, days) for days in (horizon, horizon + more))
    assert 0 <= near <= far + 1e-12 <= 1 + 1e-12


@settings(max_examples=40, deadline=None)
@given(some_traces, some_times, st.floats(0, 60))
def test_causes_add_up(trace: Trace, time_ms: int, horizon: float) -> None:
    voluntary, involuntary, either = (
        true_probability(trace, time_ms, horizon, cause) for cause in ("voluntary", "involuntary", None)
    )
    assert voluntary + involuntary == pytest.approx(either, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(some_traces, some_times), min_size=1, max_size=20), st.floats(0, 40))
def test_batch_of_probabilities_equals_single_ones(pairs: list[tuple[Trace, int]], horizon: float) -> None:
    together = true_probabilities([trace for trace, _ in pairs], [time_ms for _, time_ms in pairs], horizon)
    assert together == pytest.approx([true_probability(trace, time_ms, horizon) for trace, time_ms in pairs], abs=1e-12)


def _monte_carlo(trace: Trace, time_ms: int, horizon_days: int, paths: int) -> float:
    """Share of churned paths, drawn step by step from the state table, in ordinary weeks."""
    rng = np.random.default_rng(9)
    day, in_day = divmod(time_ms, DAY_MS)
    state, left = np.full(paths, trace.states[0]), np.zeros(paths, bool)
    hazard = np.array([s.hazard for s in STATES])
    for ahead in range(horizon_days + 1):
        if ahead:
            matrix = STEP_AT_RENEWAL if renews_on(np.array(trace.anchor), day + ahead) else STEP
            state = np.minimum(
                (rng.random(paths)[:, None] >= matrix[state].cumsum(axis=1)).sum(axis=1), len(STATES) - 1
            )
        share = 1 - in_day / DAY_MS if ahead == 0 else in_day / DAY_MS if ahead == horizon_days else 1
        left |= rng.random(paths) < 1 - (1 - hazard[state]) ** share
    return float(left.mean())


@pytest.mark.parametrize("state", range(len(STATES)))
def test_true_probability_matches_random_paths(state: int) -> None:
    paths = 20_000
    trace, time_ms = trace_in(state, anchor=3), int(10.3 * DAY_MS)
    p = true_probability(trace, time_ms, 40)
    assert abs(_monte_carlo(trace, time_ms, 40, paths) - p) < 4 * np.sqrt(p * (1 - p) / paths)


@pytest.mark.parametrize("cause", [None, "voluntary", "involuntary"])
def test_number_of_churned_customers_matches_the_truth(cause: str | None) -> None:
    """Rule: churn within 30 days of a random time per customer is within four standard errors of the expected sum."""
    world = SimulationSettings(customers=4000, days=120, seed=4)
    rng = np.random.default_rng(1)
    active = []
    for trace in traces(world).values():
        time_ms = max(trace.since_ms, world.start_ms + int(rng.integers(0, 80 * DAY_MS)))
        if (trace.left_ms is None or trace.left_ms > time_ms) and time_ms < world.start_ms + 90 * DAY_MS:
            active.append((trace, time_ms))
    p = true_probabilities([trace for trace, _ in active], [time_ms for _, time_ms in active], 30, cause)
    left = np.array([trace.left_within(time_ms, 30, cause) for trace, time_ms in active])
    assert abs(left.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    if cause is None:
        for low, high in ((0, 0.03), (0.03, 0.1), (0.1, 0.3), (0.3, 1)):
            band = (low <= p) & (p < high)
            assert abs(left[band].sum() - p[band].sum()) < 4 * np.sqrt((p * (1 - p))[band].sum())
