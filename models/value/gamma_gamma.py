"""Gamma-Gamma (Fader and Hardie 2013): the value of a purchase, fitted to counts of customers in cells.

Source: "The Gamma-Gamma Model of Monetary Value". The values of a customer's purchases are Gamma(p, nu) distributed,
and nu is Gamma(q, gamma) distributed over customers. The model needs two numbers per customer: the number of purchases
x and their mean value m. It assumes that value and frequency are independent.

`models.value.bg_nbd` counts customers by purchase times. `SpendingCells` counts them by class of x and quarter octave
of m, with the sums that give the centre of each cell. Cells do not depend on the order of events, add up over
partitions, and are bounded.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from models.events.money import exponent
from models.profile.order_totals import OrderTotals, order_totals
from models.profile.schema import Commerce
from models.value.bg_nbd import REPEAT_CLASSES
from models.value.mle import NoEstimate, maximize

Floats = NDArray[np.float64]

PER_OCTAVE: Final = 4  # a cell of m is 19% wide; on CDNOW the estimates are within 1% of a fit to every customer

Cell = tuple[int, int]
"""Class of x (the first x of each is that of `REPEAT_CLASSES`), quarter octave of m in minor units."""


class SpendHistory(NamedTuple):
    """A customer's spending as Gamma-Gamma needs it: purchases of known value, and their revenue after refunds."""

    purchases: int
    revenue: int
    """Minor units of the currency."""
    currency: str = ""
    """The customer's main currency, empty if unknown."""

    @classmethod
    def of(cls, commerce: Commerce | None) -> SpendHistory | None:
        """Summarize a profile's purchases, orders of one day as one; None if none has a value.

        A customer who returned everything has a revenue of 0, and is in no cell.
        """
        return None if commerce is None else cls.from_totals(order_totals(commerce))

    @classmethod
    def from_totals(cls, totals: OrderTotals) -> SpendHistory | None:
        """Summarize a customer's orders, as `of`."""
        if not totals.valued:
            return None
        return cls(max(totals.days * totals.valued // totals.orders, 1), totals.kept, totals.currency)

    @property
    def mean(self) -> float:
        """Mean value of a purchase, in units of the currency."""
        return self.revenue / self.purchases / 10.0 ** exponent(self.currency)

    @property
    def cell(self) -> Cell:
        """The cell in which the customer is counted.

        >>> SpendHistory(2, 3000).cell
        (2, 42)
        """
        x, revenue = self[:2]
        return bisect_right(REPEAT_CLASSES, x), max(math.floor(PER_OCTAVE * math.log2(revenue / x)), 0)


class SpendingCells:
    """Counts of customers by spending, in one currency.

    Integers, so any order of events and any partitioning gives equal sums.

    >>> cells = SpendingCells()
    >>> cells.move(None, SpendHistory(1, 1200))
    >>> cells.move(SpendHistory(1, 1200), SpendHistory(2, 3000))
    >>> cells.sums
    {(2, 42): [1, 2, 3000]}
    """

    def __init__(self, sums: Mapping[Cell, list[int]] | None = None) -> None:
        self.sums: dict[Cell, list[int]] = {cell: list(values) for cell, values in (sums or {}).items()}
        """Per cell: customers, sum of x, sum of revenue."""

    def move(self, before: SpendHistory | None, after: SpendHistory | None) -> None:
        """Move a customer from the cell of `before` to the cell of `after`; None means not counted."""
        if before == after:
            return
        if before is not None and before.revenue:
            self._add(before.cell, -1, -before.purchases, -before.revenue)
        if after is not None and after.revenue:
            self._add(after.cell, 1, after.purchases, after.revenue)

    @property
    def customers(self) -> int:
        """The number of customers in all cells."""
        return sum(sums[0] for sums in self.sums.values())

    def merge(self, other: SpendingCells) -> SpendingCells:
        """Add up the customers of two partitions."""
        merged = SpendingCells(self.sums)
        for cell, sums in other.sums.items():
            merged._add(cell, *sums)
        return merged

    def spenders(self, least: int = 2, currency: str = "") -> Spenders:
        """Return the centres of the cells with at least `least` purchases.

        A single purchase shows no variation. On CDNOW, predictions of later purchase values are better without
        customers who bought once (mean error per customer $17.3 instead of $17.5).
        """
        ordered = [self.sums[cell] for cell in sorted(self.sums) if cell[0] >= bisect_right(REPEAT_CLASSES, least)]
        n, x, revenue = np.array(ordered, np.float64).reshape(-1, 3).T
        return Spenders(n, x / n, revenue / x / 10.0 ** exponent(currency))

    def _add(self, cell: Cell, *numbers: int) -> None:
        sums = self.sums.setdefault(cell, [0, 0, 0])
        for i, number in enumerate(numbers):
            sums[i] += number
        if not sums[0]:
            del self.sums[cell]


class Spenders(NamedTuple):
    """Customers, or groups of similar customers, as arrays of equal length."""

    n: Floats
    """Customers per row."""
    x: Floats
    """Purchases."""
    mean: Floats
    """Mean value of a purchase, in units of the currency."""


class GammaGamma(NamedTuple):
    """The three parameters; gamma is in units of the currency. Equation numbers refer to Fader and Hardie (2013).

    >>> model = GammaGamma(6.25, 3.74, 15.44)  # the note's, for a tenth of the CDNOW customers
    >>> round(model.population_mean, 2), round(float(model.expected(2, 50.0)), 2)
    (35.22, 47.34)
    """

    p: float
    q: float
    gamma: float

    def log_likelihood(self, s: Spenders) -> float:
        """Log likelihood of all customers (eq. 1a)."""
        p, q, gamma = self
        px = p * s.x
        spent = s.x * s.mean
        # logs of spent / (gamma + spent) and gamma / (gamma + spent), neither of them a difference of large terms
        shares = -px * np.log1p(gamma / spent) - q * np.log1p(spent / gamma)
        return float(
            np.sum(s.n * (shares - betaln(px, q) - np.log(s.mean)))
        )  # not BLAS, whose result depends on the machine

    @property
    def population_mean(self) -> float:
        """Mean value of a purchase over all customers: p gamma / (q - 1)."""
        return self.p * self.gamma / (self.q - 1)

    def expected(self, x: Floats | float, mean: Floats | float) -> Floats:
        """Expected value of a purchase of a customer with x purchases and mean (eq. 5), shrunk to the overall mean."""
        own = self.p * np.asarray(x)
        return np.asarray((self.p * self.gamma + own * np.asarray(mean)) / (own + self.q - 1))


def fit(spenders: Spenders) -> GammaGamma:
    """Fit by maximum likelihood.

    Raises:
        NoEstimate: no customer has a second purchase with a value, the search does not converge, or the population
            mean does not exist (q is 1 or less).
    """
    if not len(spenders.n) or not (spenders.x > 1).any():
        raise NoEstimate(
            "no customer has a second purchase with a value, so the variation of values cannot be estimated"
        )
    mean = float(spenders.n @ spenders.mean / spenders.n.sum())
    starts = [(p, q, mean * (q - 1) / p) for p, q in ((6.0, 4.0), (1.0, 2.0), (20.0, 20.0))]
    unit = Spenders(spenders.n, spenders.x, spenders.mean / mean)  # makes the search independent of the currency
    starts = [(p, q, gamma / mean) for p, q, gamma in starts]
    customers = float(spenders.n.sum())
    p, q, gamma = maximize(lambda values: GammaGamma(*values).log_likelihood(unit), customers, starts, "Gamma-Gamma")
    if q <= 1.0:
        raise NoEstimate(f"purchase values vary too much to have a mean (q = {q:.3g})")
    return GammaGamma(p, q, gamma * mean)
