"""Value of customers without a subscription: BG/NBD and Gamma-Gamma combined, discounted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition.value_settings import DEFAULTS, ValueSettings
from models.events.event import Event
from models.profile.apply import apply
from models.profile.mergeable import BITMAP_BYTES, DAY_MS, days_add
from models.profile.order_totals import order_totals
from models.profile.schema import Commerce, ProcessingState, Profile
from models.profile.view import ProfileView
from models.value.bg_nbd import BgNbd
from models.value.clv import MONTH_MS, customer_value
from models.value.forecast_state import ValueForecast
from models.value.gamma_gamma import GammaGamma
from models.value.purchase_value import USUAL, PurchaseValueModel

START = 20_000 * DAY_MS


def buyer(*orders: tuple[int, float]) -> ProfileView:
    """Build the profile of a customer from orders as (day, revenue)."""
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i, (day, revenue) in enumerate(orders):
        money = {"revenue": revenue, "currency": "EUR"}
        apply(profile, Event("c", "Order Completed", START + day * DAY_MS, i + 1, money, False, False))
    return ProfileView.of(profile)


def test_clv_of_orders_is_purchases_times_value() -> None:
    """Rule: without discount, CLV is margin x eq. 10 over all months x expected value of a purchase; P(alive) gives the
    part at risk. Revenue at risk is past monthly revenue x probability x horizon."""
    settings = ValueSettings(discount=0.0, months=12, margin=0.5, order_value=(6.25, 3.74, 15.44))
    found = customer_value(
        buyer((0, 20.0), (10, 40.0), (30, 30.0)), 0.4, MONTH_MS, START + 60 * DAY_MS, ValueForecast(settings)
    )
    row = PurchaseValueModel(settings)._expected(2, 30, 60)
    value = PurchaseValueModel(settings).order_value()
    assert value is not None
    expected_value = float(value.expected(3, 30.0))
    assert found.purchases is not None
    assert found.purchases.expected == pytest.approx(row[0] * row[1], abs=1e-3)
    assert found.purchases.order_value == pytest.approx(expected_value, abs=0.01)
    assert found.clv == pytest.approx(0.5 * row[0] * row[1] * expected_value, abs=0.01)
    assert found.clv is not None
    assert found.clv_at_risk == pytest.approx(found.clv * (1 / row[0] - 1), abs=0.01)
    assert (found.mrr, found.revenue_at_risk, found.basis) == (45.0, 18.0, "orders")


def test_expected_purchases_are_those_of_the_model() -> None:
    """Rule: without discount the quarters add up to all months; a year's discount is between 1 and d."""
    plain = PurchaseValueModel(ValueSettings(discount=0.0, months=12))
    weeks = 12 * 30 / 7
    by_hand = float(USUAL.expected(weeks))
    assert plain._expected(0, 0, 0)[1] == pytest.approx(by_hand, rel=1e-9)
    discounted = PurchaseValueModel(ValueSettings(discount=0.5, months=12))._expected(0, 0, 0)[1]
    assert by_hand / 1.5 < discounted < by_hand


def test_configured_parameters_take_precedence_over_fitted_ones() -> None:
    """Rule: churn.toml takes precedence over the fit, and the fit over the defaults."""
    configured, learned = ValueSettings(purchases=(1.0, 2.0, 1.0, 4.0)), BgNbd(0.3, 5.0, 0.7, 2.0)
    assert PurchaseValueModel(configured, learned).purchases == (1.0, 2.0, 1.0, 4.0)
    assert PurchaseValueModel(DEFAULTS, learned).purchases == learned
    assert PurchaseValueModel(DEFAULTS).purchases == USUAL
    assert PurchaseValueModel(configured)._expected(3, 20, 25)[1] > 0  # a is 1, where the formulas are 0 / 0


def test_value_of_orders_without_revenue_is_unknown() -> None:
    """Rule: an unknown CLV is null, not 0."""
    assert customer_value(buyer((0, 0.0)), 0.4, MONTH_MS, START + 60 * DAY_MS, ValueForecast(DEFAULTS)).clv is None


@given(
    days=st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True),
    quiet=st.integers(0, 400),
    more=st.integers(0, 100),
)
def test_inactivity_never_increases_value(days: list[int], quiet: int, more: int) -> None:
    """Rule: a longer time since the last order never increases CLV or P(alive)."""
    profile_view = buyer(*((day, 10.0) for day in sorted(days)))
    at = START + (max(days) + quiet) * DAY_MS
    early = customer_value(profile_view, 0.1, MONTH_MS, at, ValueForecast(DEFAULTS))
    late = customer_value(profile_view, 0.1, MONTH_MS, at + more * DAY_MS, ValueForecast(DEFAULTS))
    assert early.purchases is not None
    assert late.purchases is not None
    assert 0 <= late.purchases.alive <= early.purchases.alive <= 1
    assert early.clv is not None
    assert late.clv is not None
    assert 0 <= late.clv <= early.clv + 0.01


def test_refunds_reduce_the_value() -> None:
    """Rule: what was refunded is no revenue. A customer who returned everything has brought nothing so far."""
    placed = Event("c", "Order Completed", START, 1, {"order_id": 1, "revenue": 1000, "currency": "USD"}, False, False)
    parts = [Event("c", "Order Refunded", START + i, i, {"order_id": 1, "total": 500}, False, False) for i in (2, 3)]
    values = []
    for refunds in ([], parts[:1], parts):
        profile = Profile(processing=ProcessingState(), matched=[0])
        for each in (placed, *refunds):
            apply(profile, each)
        found = customer_value(ProfileView.of(profile), 0.5, MONTH_MS, START + DAY_MS, ValueForecast(DEFAULTS))
        values.append((found.mrr, found.clv))
    assert [mrr for mrr, _ in values] == [1000.0, 500.0, 0.0]
    assert [clv for _, clv in values] == [values[0][1], pytest.approx((values[0][1] or 0) / 2, abs=0.01), 0.0]


def test_state_of_earlier_releases_keeps_its_revenue() -> None:
    """Rule: sums that were stored without a currency are amounts with two decimals; later orders are objects."""
    old = Commerce(days=days_add(bytes(BITMAP_BYTES), 0), first_ms=START, last_ms=START, orders=2, valued=2)
    old.revenue, old.refunds, old.refunded, old.recent = 9000, 1, 1000, [(START, 7, 6000)]
    assert order_totals(old)[:5] == (2, 1, START, START, 1)
    assert order_totals(old)[5:] == ("", 2, 9000, 1000, 6000, 0)
    profile = Profile(first_ms=START, newest_ms=START, commerce=old)
    for i in range(3):
        properties = {"order_id": i, "revenue": 20, "currency": "EUR"}
        apply(profile, Event("c", "Order Completed", START + i, i + 1, properties, False, False))
    assert order_totals(old)[:9] == (5, 1, START, START + 2, 1, "EUR", 3, 6000, 0)


def test_purchase_values_are_fitted_by_currency() -> None:
    """Rule: customers of a currency are compared with those of the same currency."""
    usual = {"EUR": GammaGamma(6.25, 3.74, 15.44), "JPY": GammaGamma(6.25, 3.74, 1544.0)}
    model = PurchaseValueModel(DEFAULTS, None, usual)
    means = []
    for currency in ("EUR", "JPY", "CHF"):
        profile = Profile(processing=ProcessingState(), matched=[0])
        apply(profile, Event("c", "Order Completed", START, 1, {"revenue": 50, "currency": currency}, False, False))
        assert profile.commerce is not None
        found = model.forecast(profile.commerce, START)
        assert found is not None
        means.append(found.order_value)
    expected = [float(usual[code].expected(1, 50.0)) for code in ("EUR", "JPY")]
    assert means == pytest.approx([*expected, 50.0])
