"""Customer value: the formulas by hand, and properties for any probability, horizon and plan."""

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
from models.retention.life_table import ENDED, RUNNING, LifeTable, LifeTableCell
from models.value import forecast_state as value_forecast
from models.value import survival
from models.value.clv import MONTH_MS, CustomerValue, customer_value
from models.value.forecast_state import ValueForecast

START = 20_000 * DAY_MS
PERIOD = 20_000 // 30


def view_of(*events: tuple[str, dict[str, Any]]) -> ProfileView:
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i, (name, properties) in enumerate(events):
        apply(profile, Event("c", name, START + i, i + 1, properties, False, False))
    return ProfileView.of(profile)


PAYING = view_of(("Subscription Started", {"mrr": 100.0, "plan": "pro"}))


def test_docstring_examples_pass() -> None:
    """Rule: the code gives the values in the docstrings."""
    for module in (lifetimes, value_forecast, survival, value_settings):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


def test_clv_is_margin_times_survival_times_discount() -> None:
    """Rule: CLV is the sum of margin S(k) d^k, with S of the score up to the horizon and the plan's hazard after it."""
    settings = ValueSettings(margin=0.7, discount=0.2, months=4, churn=0.1)
    found = customer_value(PAYING, 0.3, 30 * DAY_MS, START + 9, ValueForecast(settings))
    d = 1.2 ** (-1 / 12)
    clv = 70 * (1 + 0.7 * d + 0.7 * 0.9 * d**2 + 0.7 * 0.9**2 * d**3)
    certain = 70 * (1 + d + 0.9 * d**2 + 0.9**2 * d**3)
    assert found == CustomerValue(100.0, round(clv, 2), round(certain - clv, 2), 30.0, "subscription")


def test_horizon_may_be_a_fraction_of_a_month() -> None:
    """Rule: with 45 days, months 0 and 1 use the score (S(1) = (1-p)^(2/3)), and month 2 is half a month later."""
    settings = ValueSettings(discount=0.0, months=3, churn=0.1)
    found = customer_value(PAYING, 0.5, 45 * DAY_MS, START + 9, ValueForecast(settings))
    assert found.clv == pytest.approx(100 * (1 + 0.5 ** (2 / 3) + 0.5 * 0.9**0.5), abs=0.01)
    assert found.revenue_at_risk == 75.0


def test_plan_with_higher_churn_is_worth_less() -> None:
    """Rule: with equal price and probability, more ends at later ages mean a lower CLV; few data change it little."""

    def clv(ends: int) -> float:
        counts: dict[LifeTableCell, int] = {("pro", ENDED, 2): ends, ("pro", RUNNING, PERIOD - 5): 300 - ends}
        found = customer_value(
            PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS, LifeTable(counts), PERIOD)
        ).clv
        assert found is not None
        return found

    assert clv(200) < clv(50) < clv(0)
    few: dict[LifeTableCell, int] = {("pro", ENDED, 2): 1}
    default = customer_value(PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS)).clv
    assert customer_value(
        PAYING, 0.05, 30 * DAY_MS, START + 9, ValueForecast(DEFAULTS, LifeTable(few), PERIOD)
    ).clv == pytest.approx(default, rel=0.15)


def test_value_of_ended_subscriptions_and_of_unknown_prices() -> None:
    """Rule: an ended subscription has an MRR and a CLV of 0; without price and orders the value is null."""
    ended = view_of(("Subscription Started", {"mrr": 20.0}), ("Subscription Cancelled", {}))
    assert customer_value(ended, 0.5, MONTH_MS, START + 9, ValueForecast(DEFAULTS)) == CustomerValue(
        20.0, 0.0, 0.0, 0.0, "subscription"
    )
    assert customer_value(view_of(("page", {})), 0.5, MONTH_MS, START, ValueForecast(DEFAULTS)).mrr is None


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
def test_clv_and_clv_at_risk_add_up(
    p: float, more: float, horizon_days: int, months: int, discount: float, age: int, counts: dict[LifeTableCell, int]
) -> None:
    """Rule: clv + clv_at_risk is the same for any probability, a higher probability never increases clv, neither is
    negative, and clv is at most the price of all months."""
    low, high = sorted((p, more))
    settings = ValueSettings(discount=discount, months=months)
    placed = {(plan, kind, at + (PERIOD - 120) * (kind == RUNNING)): n for (plan, kind, at), n in counts.items()}
    expected = ValueForecast(settings, LifeTable(placed), PERIOD)
    at_ms = START + age * DAY_MS
    safe, risky = (
        customer_value(PAYING, probability, horizon_days * DAY_MS, at_ms, expected) for probability in (low, high)
    )
    assert safe.clv is not None
    assert safe.clv_at_risk is not None
    assert risky.clv is not None
    assert risky.clv_at_risk is not None
    assert 0 <= risky.clv <= safe.clv + 0.01 <= 100 * months + 0.02
    assert risky.clv_at_risk >= 0
    assert safe.clv + safe.clv_at_risk == pytest.approx(risky.clv + risky.clv_at_risk, abs=0.03)


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 4900), ("KWD", 15), ("EUR", 49), ("XYZ", 49), (None, 49)])
def test_value_is_in_units_of_its_currency(currency: str | None, amount: float) -> None:
    """Rule: amounts are sent and published in units of the currency, whatever its decimals are."""
    money = {} if currency is None else {"currency": currency}
    paying = view_of(("Subscription Started", {"mrr": amount, **money}))
    found = customer_value(paying, 0.5, MONTH_MS, START, ValueForecast(DEFAULTS))
    assert (found.mrr, found.revenue_at_risk, found.currency) == (amount, amount / 2, currency)
    buying = view_of(("Order Completed", {"revenue": amount, **money}))
    found = customer_value(buying, 0.5, MONTH_MS, START, ValueForecast(DEFAULTS))
    assert found.purchases is not None
    assert (found.mrr, found.purchases.order_value, found.currency) == (amount, amount, currency)
