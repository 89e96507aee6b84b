"""Laws of the closed forms: exact arithmetic gives the same numbers, over the whole range that churn.toml accepts."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.definition.value_settings import MONTHS_MAX, PARAMETER_MAX, ValueSettings
from models.events.event import Event
from models.profile.apply import apply
from models.profile.schema import Profile
from models.profile.view import ProfileView
from models.retention.kaplan_meier import Z_95, kaplan_meier
from models.retention.life_table import ENDED, LifeTable
from models.value.bg_nbd import BgNbd, Cohort
from models.value.clv import customer_value
from models.value.forecast_state import ValueForecast
from models.value.gamma_gamma import GammaGamma, Spenders
from models.value.survival import HAZARD_MAX, SubscriptionSurvival
from tests.models.histories import DAY_MS, START_MS

DIGITS = 400  # the terms of the series alternate and reach 1e160
REPEATS = st.sampled_from([0, 1, 2, 10, 100, 300, 950, 1500, 5000])


def magnitudes(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(math.log(low), math.log(high)).map(math.exp)


def row(x: int, t_x: float, age: float) -> Cohort:
    return Cohort(np.ones(1), np.array([float(x)]), np.array([t_x]), np.array([age]))


def series(model: BgNbd, x: int, age: float, weeks: float) -> float:
    """Equation 10 given that the customer is alive, with Euler's transformation, summed in decimal arithmetic."""
    with localcontext() as context:
        context.prec = DIGITS
        r, alpha, a, b, age_, ahead = (Decimal(value) for value in (*model, age, weeks))
        z, c, d = ahead / (alpha + age_ + ahead), a + b + x - 1, a - 1
        term = total = Decimal(1)
        n = 0
        while n < 40 or abs(term) > abs(total) * Decimal(10) ** -60:
            term *= (c - r - x + n) * (d + n) / ((c + n) * (n + 1)) * z
            total += term
            n += 1
        power = ((1 - z).ln() * d).exp()
        return float(c / d * (1 - power * total))


@settings(max_examples=60, deadline=None)
@given(
    st.builds(BgNbd, *[magnitudes(1e-3, 1e3)] * 4), REPEATS, st.sampled_from([1.0, 52.0, 300.0]), magnitudes(0.01, 50.0)
)
def test_expected_purchases_equal_an_exact_series(model: BgNbd, x: int, age: float, ratio: float) -> None:
    """Rule: nine digits are right for rare and for keen buyers, of any kind of population."""
    if abs(model.a - 1) < 1e-9:
        return
    weeks = ratio * (model.alpha + age)
    found = float(model.forecast_alive(row(x, age, age), weeks)[0])
    assert found == pytest.approx(series(model, x, age, weeks), rel=1e-9)


@pytest.mark.parametrize("x", [0, 1, 30, 1500])
def test_one_is_no_special_value_of_a(x: int) -> None:
    """Rule: where the closed form is 0 / 0, the expectation is the mean of its neighbours."""
    below, above = (series(BgNbd(0.3, 4.0, 1 + gap, 2.0), x, 52.0, 156.0) for gap in (-1e-4, 1e-4))
    found = float(BgNbd(0.3, 4.0, 1.0, 2.0).forecast_alive(row(x, 52.0, 52.0), 156.0)[0])
    assert found == pytest.approx((below + above) / 2, rel=1e-7)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(BgNbd, *[magnitudes(1e-9, PARAMETER_MAX)] * 4),
    REPEATS,
    st.floats(0.0, 3000.0),
    st.floats(0.0, 3000.0),
    st.integers(1, MONTHS_MAX),
)
def test_every_accepted_parameter_gives_numbers(model: BgNbd, x: int, t_x: float, silent: float, months: int) -> None:
    """Rule: expectations are finite, grow with time, start at 0, and never exceed those of a customer who stays."""
    weeks = np.linspace(0.0, months * 30 / 7, 5)
    one = row(x, t_x if x else 0.0, (t_x if x else 0.0) + silent)
    found, alive = model.forecast_alive(one, weeks), float(model.alive(one)[0])
    assert found[0] == 0
    assert (np.diff(found) >= 0).all()
    assert (found <= (model.r + x) / (model.alpha + one.age) * weeks * (1 + 1e-6)).all()
    assert 0 <= alive <= 1
    assert (model.forecast(one, weeks) <= found).all()
    assert 0 <= float(model.returns(one, 13.0)[0]) <= alive


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(2, 40), st.integers(1, 10**6), st.integers(1, 400), st.integers(1, 10**6))
def test_gamma_gamma_equals_exact_fractions(p: int, q: int, gamma: int, x: int, mean: int) -> None:
    """Rule: for whole parameters, the likelihood and the expected value are fractions."""
    model, px = GammaGamma(float(p), float(q), float(gamma)), p * x
    ways = Fraction(math.factorial(px + q - 1), math.factorial(px - 1) * math.factorial(q - 1))
    exact = ways * Fraction(gamma, gamma + x * mean) ** q * Fraction(x * mean, gamma + x * mean) ** px / mean
    with localcontext() as context:
        context.prec = 60
        log = float(Decimal(exact.numerator).ln() - Decimal(exact.denominator).ln())
    found = model.log_likelihood(Spenders(np.ones(1), np.array([float(x)]), np.array([float(mean)])))
    assert found == pytest.approx(log, rel=1e-9, abs=1e-9)
    assert float(model.expected(x, mean)) == pytest.approx(
        float(Fraction(p * gamma + px * mean, px + q - 1)), rel=1e-12
    )


def test_gamma_gamma_is_a_number_next_to_its_bound() -> None:
    """Rule: the smallest accepted q gives an expected value."""
    model = GammaGamma(6.0, math.nextafter(1.0, 2.0), 15.0)
    assert float(model.expected(2, 30.0)) == pytest.approx((6 * 15 + 12 * 30) / 12)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 400), st.integers(1, 10**9), max_size=8),
    st.dictionaries(st.integers(0, 400), st.integers(1, 10**9), max_size=8),
)
def test_kaplan_meier_equals_exact_fractions(ended: dict[int, int], running: dict[int, int]) -> None:
    """Rule: survival and its interval are those of exact fractions, also for one end among a billion."""
    exact, variance = Fraction(1), Fraction(0)
    for found in kaplan_meier([ended], running):
        deaths = ended[found.days]
        assert found.at_risk == sum(n for age, n in (*ended.items(), *running.items()) if age >= found.days)
        exact *= 1 - Fraction(deaths, found.at_risk)
        assert found.survival == pytest.approx(float(exact), rel=1e-12, abs=0)
        assert 0 <= found.low <= found.survival <= found.high <= 1
        assert found.survival + sum(found.lost) == pytest.approx(1.0, abs=1e-9)
        if exact:
            variance += Fraction(deaths, found.at_risk * (found.at_risk - deaths))
            with localcontext() as context:
                context.prec = 60
                log = Decimal(exact.numerator).ln() - Decimal(exact.denominator).ln()
                root = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
                low = (log * (Decimal(Z_95) * root / -log).exp()).exp()
            assert found.low == pytest.approx(float(low), rel=1e-9)


def daily_buyer(days: int, last_ms: int = 0) -> ProfileView:
    profile = Profile()
    for number in range(days):
        at = START_MS + number * DAY_MS
        assert apply(profile, Event("c", "Order Completed", at, number + 1, {"revenue": 4.5}, False, False))
    return ProfileView.of(profile)


@pytest.mark.parametrize(("days", "expected"), [(950, 656.7), (990, 663.5), (1500, 726.1)])
def test_a_keen_buyer_has_a_forecast(days: int, expected: float) -> None:
    """Rule: an order on every day for years is a number of expected purchases, and no null."""
    at = START_MS + (days - 1) * DAY_MS
    for months in (36, MONTHS_MAX):
        value = customer_value(daily_buyer(days), 0.1, 30 * DAY_MS, at, ValueForecast(ValueSettings(months=months)))
        assert value.purchases is not None
        if months == 36:
            assert value.purchases.expected == pytest.approx(expected, abs=0.05)
        encoded: dict[str, Any] = json.loads(msgspec.json.encode(value))
        del encoded["currency"]  # the orders state none
        assert None not in (*encoded.values(), *encoded["purchases"].values())


def test_what_is_at_risk_does_not_shrink_when_the_customer_has_almost_certainly_left() -> None:
    """Rule: clv and clv_at_risk add up to the value of a customer who is certainly alive, however small P(alive) is."""
    buyer, forecast = daily_buyer(900), ValueForecast(ValueSettings())
    at_risk = []
    for silent in (30, 60, 90, 150):
        value = customer_value(buyer, 0.9, 30 * DAY_MS, START_MS + (900 + silent) * DAY_MS, forecast)
        assert value.clv_at_risk is not None
        at_risk.append(value.clv_at_risk)
    assert value.purchases is not None
    assert value.purchases.alive == 0
    assert at_risk[-1] == pytest.approx(at_risk[0], rel=0.2)


def test_a_hazard_near_one_is_not_made_healthier() -> None:
    """Rule: where nearly all subscriptions of a plan end in their first month, the model's hazard is nearly 1."""
    table = LifeTable({("pro", ENDED, 0): 1_000_000, ("basic", ENDED, 0): 10})
    hazard = SubscriptionSurvival(table, 661, ValueSettings()).hazards("pro")[0]
    assert 0.999 < hazard <= HAZARD_MAX
