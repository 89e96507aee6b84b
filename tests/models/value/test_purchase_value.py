"""What a customer without a subscription is worth: BG/NBD and Gamma-Gamma put together, discounted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition.value_settings import DEFAULTS, ValueSettings
from models.events.event import Event
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import ProcessingState, Profile
from models.profile.view import ProfileView
from models.value.bg_nbd import BgNbd
from models.value.clv import MONTH_MS, customer_value
from models.value.forecast_state import ValueForecast
from models.value.purchase_value import USUAL, PurchaseValueModel

START = 20_000 * DAY_MS


def buyer(*orders: tuple[int, float]) -> ProfileView:
    """Of orders as (day, revenue)."""
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i, (day, revenue) in enumerate(orders):
        money = {"revenue": revenue, "currency": "EUR"}
        apply(profile, Event("c", "Order Completed", START + day * DAY_MS, i + 1, money, False, False))
    return ProfileView.of(profile)


def test_clv_of_orders_is_purchases_times_value() -> None:
    """Rule: without discount, eq. 10 over all months times the customer's expected value of a purchase; what P(alive)
    takes from it is at risk, and revenue a month so far times probability and horizon is the revenue at risk."""
    settings = ValueSettings(discount=0.0, months=12, margin=0.5, order_value=(6.25, 3.74, 15.44))
    found = customer_value(
        buyer((0, 20.0), (10, 40.0), (30, 30.0)), 0.4, MONTH_MS, START + 60 * DAY_MS, ValueForecast(settings)
    )
    row = PurchaseValueModel(settings)._bought(2, 30, 60)
    value = PurchaseValueModel(settings).order_value
    assert value is not None
    each = float(value.expected(3, 30.0))
    assert found.purchases is not None
    assert found.purchases.expected == pytest.approx(row[1], abs=1e-3)
    assert found.purchases.order_value == pytest.approx(each, abs=0.01)
    assert found.clv == pytest.approx(0.5 * row[1] * each, abs=0.01)
    assert found.clv is not None
    assert found.clv_at_risk == pytest.approx(found.clv * (1 / row[0] - 1), abs=0.01)
    assert (found.mrr, found.revenue_at_risk, found.basis) == (45.0, 18.0, "orders")


def test_expected_purchases_are_those_of_the_model() -> None:
    """Rule: undiscounted, the quarters add up to the forecast of all months; a year's discount lies between 1 and d."""
    plain = PurchaseValueModel(ValueSettings(discount=0.0, months=12))
    weeks = 12 * 30 / 7
    by_hand = float(USUAL.expected(weeks))
    assert plain._bought(0, 0, 0)[1] == pytest.approx(by_hand, rel=1e-9)
    dear = PurchaseValueModel(ValueSettings(discount=0.5, months=12))._bought(0, 0, 0)[1]
    assert by_hand / 1.5 < dear < by_hand


def test_given_parameters_go_before_learned_ones() -> None:
    """Rule: churn.toml, then what was learned, then what is usual."""
    given_, learned = ValueSettings(purchases=(1.0, 2.0, 1.0, 4.0)), BgNbd(0.3, 5.0, 0.7, 2.0)
    assert PurchaseValueModel(given_, learned).purchases == (1.0, 2.0, 1.0, 4.0)
    assert PurchaseValueModel(DEFAULTS, learned).purchases == learned
    assert PurchaseValueModel(DEFAULTS).purchases == USUAL
    assert PurchaseValueModel(given_)._bought(3, 20, 25)[1] > 0  # a is 1, where the formulas are 0 / 0


def test_orders_that_said_no_value_are_worth_nothing_known() -> None:
    """Rule: unknown is not zero."""
    assert customer_value(buyer((0, 0.0)), 0.4, MONTH_MS, START + 60 * DAY_MS, ValueForecast(DEFAULTS)).clv is None


@given(
    days=st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True),
    quiet=st.integers(0, 400),
    more=st.integers(0, 100),
)
def test_silence_takes_value(days: list[int], quiet: int, more: int) -> None:
    """Rule: who has been silent longer since the last order is worth no more, and alive with no higher probability."""
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
