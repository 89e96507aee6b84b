"""What who has no subscription will buy: purchases by BG/NBD, their value by Gamma-Gamma, discounted."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.definition.value_settings import ValueSettings
from models.profile.mergeable import DAY_MS
from models.profile.schema import Commerce
from models.retention.life_table import PERIOD_DAYS
from models.value.bg_nbd import WEEK_DAYS, BgNbd, Cohort, PurchaseHistory
from models.value.gamma_gamma import CENTS, GammaGamma, SpendHistory

Floats = NDArray[np.float64]

USUAL: Final = BgNbd(0.243, 4.414, 0.793, 2.426)
"""Those of Fader, Hardie and Lee (2005) for a tenth of the CDNOW customers: a retailer's, until others are known."""
STEP_MONTHS: Final = 3  # purchases of a quarter are discounted together, as if made in its middle
KNOWN_MAX: Final = 4_096  # answers kept, some 0.2 KB each


class PurchaseForecast(NamedTuple):
    """What a customer will buy."""

    alive: float
    """Probability that they buy at all any more."""
    purchases: float
    """Expected over the months that value is counted for, each discounted from its quarter."""
    order_value: float
    """Expected of one, in the currency's units."""


class PurchaseValueModel:
    """With the parameters of a day.

    Args:
        settings: Discount, months ahead, and parameters that are given.
        purchases, order_value: Learned ones; those that are given go before.
    """

    def __init__(
        self, settings: ValueSettings, purchases: BgNbd | None = None, order_value: GammaGamma | None = None
    ) -> None:
        self._settings = settings
        self._known: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.purchases = BgNbd(*settings.purchases) if settings.purchases is not None else purchases or USUAL
        self.order_value = GammaGamma(*settings.order_value) if settings.order_value is not None else order_value

    @cached_property
    def _quarters(self) -> tuple[Floats, Floats]:
        """The ends of the quarters ahead in weeks, the first at 0, and each quarter's discount."""
        months = self._settings.months
        ends = np.minimum(np.arange(0, months + STEP_MONTHS, STEP_MONTHS), months).astype(np.float64)
        middles = (ends[1:] + ends[:-1]) / 2
        return ends * (PERIOD_DAYS / WEEK_DAYS), self._settings.monthly**middles

    def ahead(self, commerce: Commerce, at_ms: int) -> PurchaseForecast | None:
        """Of a customer's purchases as of a time, None while none said its value."""
        occasions, spent = PurchaseHistory.of(commerce), SpendHistory.of(commerce)
        if occasions is None or spent is None:
            return None
        first, last = occasions.first_day, occasions.last_day
        alive, bought = self._bought(occasions.repeats, last - first, max(at_ms // DAY_MS, last) - first)
        mean = spent.revenue / spent.purchases / CENTS
        value = mean if self.order_value is None else float(self.order_value.expected(spent.purchases, mean))
        return PurchaseForecast(alive, bought, value)

    def _bought(self, repeats: int, span_days: int, age_days: int) -> tuple[float, float]:
        """P(alive) and discounted purchases; the same customer is told of several times a day."""
        key = repeats, span_days, age_days
        found = self._known.get(key)
        if found is None:
            weeks = np.array([float(repeats)]), np.array([span_days / WEEK_DAYS]), np.array([age_days / WEEK_DAYS])
            row = Cohort(np.ones(1), *weeks)
            ends, discounts = self._quarters
            bought = np.diff(self.purchases.forecast(row, ends)) * discounts
            # summed one by one, in order: the same bits on any processor
            found = float(self.purchases.alive(row)[0]), sum(bought.tolist())
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = found
        return found
