"""Encoding of value forecasts."""

from __future__ import annotations

from models.definition.value_settings import ValueSettings
from models.retention.life_table import RUNNING, LifeTable
from models.value.bg_nbd import BgNbd
from models.value.forecast_state import ValueForecast, read_forecast
from models.value.gamma_gamma import GammaGamma
from models.value.purchase_counts import FittedParameters


def test_decoded_forecast_equals_the_encoded_one() -> None:
    """Rule: another process computes a customer's value with the same bits."""
    life_tables = LifeTable({("pro", RUNNING, 655): 30, ("basic", RUNNING, 650): 7, ("pro", RUNNING, 641): 11})
    life_tables = life_tables.with_moves({("pro", RUNNING, 641): -5, ("pro", 1, 3): 5}, 19_800)
    learned = FittedParameters(19_799, BgNbd(0.243, 4.414, 0.793, 2.426), {"EUR": GammaGamma(6.25, 3.74, 15.44)})
    settings = ValueSettings(margin=0.7, months=24, purchases=None)
    value_forecast = ValueForecast(settings, life_tables, 660, learned)
    decoded = read_forecast(value_forecast.data)
    assert (decoded.settings, decoded.period, decoded.learned) == (settings, 660, learned)
    for plan in ("pro", "basic", "unknown"):
        assert decoded.survival.hazards(plan) == value_forecast.survival.hazards(plan)
        assert decoded.survival.discounted_months(plan, 3, 1.0) == value_forecast.survival.discounted_months(
            plan, 3, 1.0
        )
    assert (decoded.purchase_model.purchases, decoded.purchase_model.order_value("EUR")) == (
        learned.purchases,
        learned.order_values["EUR"],
    )
    assert read_forecast(ValueForecast(settings).data).survival.hazards("pro") == ValueForecast(
        settings
    ).survival.hazards("pro")
