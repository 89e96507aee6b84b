"""What a customer is worth: the formulas by hand, and what must hold of any probability, horizon and plan."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition import value_settings
from models.definition.value_settings import DEFAULTS, ValueSettings
from models.events.event import Event
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import ProcessingState, Profile
from models.profile.view import ProfileView
from models.retention import life_table as lifetimes
from models.retention.life_table import ENDED, RUNNING, LifeTable, Place
from models.value import forecast_state as value_forecast
from models.value import survival
from models.value.clv import MONTH_MS, CustomerValue, customer_value
from models.value.forecast_state import ValueForecast

START = 20_000 * DAY_MS
PERIOD = 20_000 // 30


def portrait_of(*told: tuple[str, dict[str, Any]]) -> ProfileView:
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i, (name, properties) in enumerate(told):
        apply(profile, Event("c", name, START + i, i + 1, properties, False, False))
    return ProfileView.of(profile)


PAYING = portrait_of(("Subscription Started", {"mrr": 100.0, "plan": "pro"}))


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    for module in (lifetimes, value_forecast, survival, value_settings):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


def test_clv_is_margin_times_survival_times_discount() -> None:
    """Rule: sum over k of margin S(k) d^k by hand: the score's S up to the horizon, the plan's hazard after it."""
    settings = ValueSettings(margin=0.7, discount=0.2, months=4, churn=0.1)
    found = customer_value(PAYING, 0.3, 30 * DAY_MS, START + 9, ValueForecast(settings))
    d = 1.2 ** (-1 / 12)
    clv = 70 * (1 + 0.7 * d + 0.7 * 0.9 * d**2 + 0.7 * 0.9**2 * d**3)
    sure = 70 * (1 + d + 0.9 * d**2 + 0.9**2 * d**3)
    assert found == CustomerValue(100.0, round(clv, 2), round(sure - clv, 2), 30.0, "subscription")


def test_a_horizon_that_is_no_whole_month_is_met_between_months() -> None:
    """Rule: with 45 days, months 0 and 1 are the score's (S(1) = (1-p)^(2/3)), month 2 lies half a month after them."""
    settings = ValueSettings(discount=0.0, months=3, churn=0.1)
    found = customer_value(PAYING, 0.5, 45 * DAY_MS, START + 9, ValueForecast(settings))
    assert found.clv == pytest.approx(100 * (1 + 0.5 ** (2 / 3) + 0.5 * 0.9**0.5), abs=0.01)
    assert found.revenue_at_risk == 75.0


def test_a_plan_whose_customers_leave_is_worth_less() -> None:
    """Rule: with the same price and probability, more ends at the ages to come mean less value; little evidence moves
    it little."""

    def clv(ends: int) -> float:
        counts: dict[Place, int] = {("pro", ENDED, 2): ends, ("pro", RUNNING, PERIOD - 5): 300 - ends}
        found = customer_value(
            PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS, LifeTable(counts), PERIOD)
        ).clv
        assert found is not None
        return found

    assert clv(200) < clv(50) < clv(0)
    few: dict[Place, int] = {("pro", ENDED, 2): 1}
    usual = customer_value(PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS)).clv
    assert customer_value(
        PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS, LifeTable(few), PERIOD)
    ).clv == pytest.approx(usual, rel=0.15)


def test_who_has_ended_or_told_no_price_is_worth_nothing_or_unknown() -> None:
    """Rule: an ended subscription has a price and no future; without price or order nothing is said."""
    left = portrait_of(("Subscription Started", {"mrr": 20.0}), ("Subscription Cancelled", {}))
    assert customer_value(left, 0.5, MONTH_MS, START + 9, ValueForecast(DEFAULTS)) == CustomerValue(
        20.0, 0.0, 0.0, 0.0, "subscription"
    )
    assert customer_value(portrait_of(("page", {})), 0.5, MONTH_MS, START, ValueForecast(DEFAULTS)).mrr is None


@given(
    p=st.floats(0, 1),
    more=st.floats(0, 1),
    horizon_days=st.integers(1, 200),
    months=st.integers(1, 120),
    discount=st.floats(0, 3),
    age=st.integers(0, 2000),
    counts=st.dictionaries(
        st.tuples(st.sampled_from(["pro", "", "team"]), st.sampled_from([RUNNING, ENDED]), st.integers(0, 120)),
        st.integers(1, 1000),
        max_size=12,
    ),
)
def test_risk_takes_from_value_what_it_puts_at_risk(
    p: float, more: float, horizon_days: int, months: int, discount: float, age: int, counts: dict[Place, int]
) -> None:
    """Rule: clv + clv_at_risk is the same for any probability; a higher one never adds value; neither is negative, and
    value is at most every month's price."""
    low, high = sorted((p, more))
    settings = ValueSettings(discount=discount, months=months)
    placed = {(plan, kind, at + (PERIOD - 120) * (kind == RUNNING)): n for (plan, kind, at), n in counts.items()}
    expected = ValueForecast(settings, LifeTable(placed), PERIOD)
    at_ms = START + age * DAY_MS
    safe, risky = (customer_value(PAYING, one, horizon_days * DAY_MS, at_ms, expected) for one in (low, high))
    assert safe.clv is not None
    assert safe.clv_at_risk is not None
    assert risky.clv is not None
    assert risky.clv_at_risk is not None
    assert 0 <= risky.clv <= safe.clv + 0.01 <= 100 * months + 0.02
    assert risky.clv_at_risk >= 0
    assert safe.clv + safe.clv_at_risk == pytest.approx(risky.clv + risky.clv_at_risk, abs=0.03)
