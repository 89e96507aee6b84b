"""Predict the purchases of a customer without a subscription: number by BG/NBD, value by Gamma-Gamma, discounted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.definition.value_settings import ValueSettings
from models.profile.mergeable import DAY_MS
from models.profile.schema import Commerce
from models.retention.life_table import PERIOD_DAYS
from models.value.bg_nbd import WEEK_DAYS, BgNbd, Cohort, PurchaseHistory
from models.value.gamma_gamma import GammaGamma, SpendHistory

Floats = NDArray[np.float64]

USUAL: Final = BgNbd(0.243, 4.414, 0.793, 2.426)
"""Estimates of Fader, Hardie and Lee (2005) for a tenth of the CDNOW customers: a retailer's defaults until a fit."""
STEP_MONTHS: Final = 3  # purchases of a quarter are discounted together, from the middle of the quarter
CACHE_MAX: Final = 4_096  # cached predictions, some 0.2 KB each


class PurchaseForecast(NamedTuple):
    """Predicted purchases of a customer."""

    alive: float
    """P(alive): probability that the customer is still active."""
    purchases: float
    """Expected purchases over the configured months, each discounted from its quarter."""
    order_value: float
    """Expected value of a purchase, in units of the currency."""
    purchases_if_alive: float
    """Expected purchases of a customer who is certainly still active."""
    currency: str = ""
    """The customer's main currency, empty if unknown."""


class PurchaseValueModel:
    """BG/NBD and Gamma-Gamma with the parameters of one day.

    Args:
        settings: Discount, months ahead, and configured parameters.
        purchases: Fitted BG/NBD parameters. Configured ones take precedence.
        order_values: Fitted Gamma-Gamma parameters by currency. Configured ones take precedence, in any currency.
    """

    def __init__(
        self,
        settings: ValueSettings,
        purchases: BgNbd | None = None,
        order_values: Mapping[str, GammaGamma] | None = None,
    ) -> None:
        self._settings = settings
        self._cache: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.purchases = BgNbd(*settings.purchases) if settings.purchases is not None else purchases or USUAL
        self._configured = None if settings.order_value is None else GammaGamma(*settings.order_value)
        self.order_values = order_values or {}

    @cached_property
    def _quarters(self) -> tuple[Floats, Floats]:
        """Boundaries of the quarters ahead in weeks, starting at 0, and the discount of each quarter."""
        months = self._settings.months
        ends = np.minimum(np.arange(0, months + STEP_MONTHS, STEP_MONTHS), months).astype(np.float64)
        middles = (ends[1:] + ends[:-1]) / 2
        return ends * (PERIOD_DAYS / WEEK_DAYS), self._settings.monthly**middles

    def order_value(self, currency: str = "") -> GammaGamma | None:
        """Return the Gamma-Gamma parameters for a currency; None before a fit."""
        return self._configured or self.order_values.get(currency)

    def forecast(self, commerce: Commerce, at_ms: int) -> PurchaseForecast | None:
        """Predict a customer's purchases as of a time; None if no purchase has a value."""
        history, spent = PurchaseHistory.of(commerce), SpendHistory.of(commerce)
        if history is None or spent is None:
            return None
        first, last = history.first_day, history.last_day
        alive, if_alive = self._expected(history.repeats, last - first, max(at_ms // DAY_MS, last) - first)
        mean, model = spent.mean, self.order_value(spent.currency)
        value = mean if model is None else float(model.expected(spent.purchases, mean))
        return PurchaseForecast(alive, alive * if_alive, value, if_alive, spent.currency)

    def _expected(self, repeats: int, span_days: int, age_days: int) -> tuple[float, float]:
        """P(alive) and discounted purchases if alive, cached because a customer is scored several times a day."""
        key = repeats, span_days, age_days
        result = self._cache.get(key)
        if result is None:
            weeks = np.array([float(repeats)]), np.array([span_days / WEEK_DAYS]), np.array([age_days / WEEK_DAYS])
            row = Cohort(np.ones(1), *weeks)
            ends, discounts = self._quarters
            purchases = np.diff(self.purchases.forecast_alive(row, ends)) * discounts
            # Summed in order in Python, so every processor gives the same bits.
            result = float(self.purchases.alive(row)[0]), sum(purchases.tolist())
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[key] = result
        return result
