"""BG/NBD (Fader, Hardie, Lee 2005): purchases without a contract, fitted to counts of customers in cells.

Each customer buys at their own rate lambda, and leaves after each purchase with their own probability p. Over
customers, lambda is Gamma(r, alpha) distributed and p is Beta(a, b) distributed. The model needs three numbers per
customer: the repeat purchases x, the time of the last purchase t_x and the age T. Both times count from the first
purchase. Several purchases on one day count as one.

A fit does not need the individual customers. `PurchaseCells` counts them by fortnight of first purchase, fortnight of
last purchase and class of x, with the sums that give the centre of each cell. A customer's cell depends only on their
purchases. So cells do not depend on the order of events and add up over partitions. A late purchase moves its customer.
Days are absolute and time enters only on reading, so no customer is updated merely because time passes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from models.profile.mergeable import DAY_MS
from models.profile.order_totals import OrderTotals, order_totals
from models.profile.schema import Commerce
from models.value.mle import NoEstimate, maximize
from models.value.purchase_expectation import expected_purchases

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERIOD_DAYS: Final = 14  # width of a cell; on a log of 39 weeks, alpha is 5% off with 28 days and 2% off with 14 days
REPEAT_CLASSES: Final = (1, 2, 3, 4, 5, 7, 10, 15, 25)  # first x of each class after class 0
WEEK_DAYS: Final = 7.0

Cell = tuple[int, int, int]
"""Fortnight of the first purchase, fortnight of the last purchase, class of x."""


class PurchaseHistory(NamedTuple):
    """A customer's purchases as BG/NBD needs them; days since the epoch."""

    repeats: int
    first_day: int
    last_day: int

    @classmethod
    def of(cls, commerce: Commerce | None) -> PurchaseHistory | None:
        """Summarize a profile's purchases; None if there are none."""
        return None if commerce is None else cls.from_totals(order_totals(commerce))

    @classmethod
    def from_totals(cls, totals: OrderTotals) -> PurchaseHistory | None:
        """Summarize a customer's orders; None if there are none."""
        if not totals.orders:
            return None
        return cls(max(totals.days - 1, 0), totals.first_ms // DAY_MS, totals.last_ms // DAY_MS)

    @property
    def cell(self) -> Cell:
        """The cell in which the customer is counted.

        >>> PurchaseHistory(6, 0, 100).cell
        (0, 7, 5)
        """
        return self.first_day // PERIOD_DAYS, self.last_day // PERIOD_DAYS, bisect_right(REPEAT_CLASSES, self.repeats)


class PurchaseCells:
    """Counts of customers by purchase history. Integers, so any order of events and any partitioning gives equal sums.

    >>> cells = PurchaseCells()
    >>> cells.move(None, PurchaseHistory(0, 100, 100))
    >>> cells.move(PurchaseHistory(0, 100, 100), PurchaseHistory(1, 100, 130))
    >>> cells.sums
    {(7, 9, 1): [1, 1, 100, 130]}
    """

    def __init__(self, sums: Mapping[Cell, list[int]] | None = None) -> None:
        self.sums: dict[Cell, list[int]] = {cell: list(values) for cell, values in (sums or {}).items()}
        """Per cell: customers, sum of x, sum of first days, sum of last days."""

    @classmethod
    def of(cls, repeats: Ints, first: Ints, last: Ints) -> PurchaseCells:
        """Count many customers at once, from arrays of equal length.

        >>> many = np.array([0, 1]), np.array([100, 100]), np.array([100, 130])
        >>> PurchaseCells.of(*many).sums
        {(7, 7, 0): [1, 0, 100, 100], (7, 9, 1): [1, 1, 100, 130]}
        """
        repeat_class = np.searchsorted(REPEAT_CLASSES, repeats, side="right")
        cells = np.stack([first // PERIOD_DAYS, last // PERIOD_DAYS, repeat_class], 1)
        unique, index = np.unique(cells, axis=0, return_inverse=True)
        sums = np.stack([np.bincount(index.ravel(), w) for w in (None, repeats, first, last)], 1).astype(np.int64)
        return cls({(a, b, c): values for (a, b, c), values in zip(unique.tolist(), sums.tolist(), strict=True)})

    def move(self, before: PurchaseHistory | None, after: PurchaseHistory | None) -> None:
        """Move a customer from the cell of `before` to the cell of `after`; None means not counted."""
        if before == after:
            return
        if before is not None:
            self._add(before.cell, -1, -before.repeats, -before.first_day, -before.last_day)
        if after is not None:
            self._add(after.cell, 1, *after)

    def merge(self, other: PurchaseCells) -> PurchaseCells:
        """Add up the customers of two partitions."""
        merged = PurchaseCells(self.sums)
        for cell, sums in other.sums.items():
            merged._add(cell, *sums)
        return merged

    @property
    def customers(self) -> int:
        """Number of customers in all cells."""
        return sum(sums[0] for sums in self.sums.values())

    def as_of(self, day: int) -> Cohort:
        """Return the centres of the cells as of a day (since the epoch) with no purchase after it."""
        ordered = [self.sums[cell] for cell in sorted(self.sums)]
        n, x, first, last = np.array(ordered, np.float64).reshape(-1, 4).T
        first, last = first / n, last / n
        return Cohort(n, x / n, (last - first) / WEEK_DAYS, np.maximum(day - first, last - first) / WEEK_DAYS)

    def _add(self, cell: Cell, *numbers: int) -> None:
        sums = self.sums.setdefault(cell, [0, 0, 0, 0])
        for i, number in enumerate(numbers):
            sums[i] += number
        if not sums[0]:
            del self.sums[cell]


class Cohort(NamedTuple):
    """Customers, or groups of similar customers, as arrays of equal length."""

    n: Floats
    """Customers per row."""
    x: Floats
    """Repeat purchases."""
    t_x: Floats
    """Weeks from the first purchase to the last."""
    age: Floats
    """Weeks from the first purchase to now (T)."""


class BgNbd(NamedTuple):
    """The four parameters; time is in weeks. Equation numbers refer to Fader, Hardie, Lee (2005), Marketing Science 24.

    >>> model = BgNbd(0.243, 4.414, 0.793, 2.426)  # the paper's, for a tenth of the CDNOW customers
    >>> round(float(model.expected(38.86)), 3)
    1.194
    """

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, c: Cohort) -> float:
        """Log likelihood of all customers (eq. 6)."""
        r, alpha, a, b = self
        common = gammaln(r + c.x) - gammaln(r) + r * np.log(alpha)
        alive = betaln(a, b + c.x) - betaln(a, b) - (r + c.x) * np.log(alpha + c.age)
        repeats = np.maximum(c.x, 1.0)
        gone = betaln(a + 1, b + repeats - 1) - betaln(a, b) - (r + c.x) * np.log(alpha + c.t_x)
        either = np.where(c.x > 0, np.logaddexp(alive, gone), alive)
        return float(np.sum(c.n * (common + either)))  # not BLAS, whose result depends on the machine

    def alive(self, c: Cohort) -> Floats:
        """P(alive) per row: 1 / (1 + [x>0] a / (b+x-1) ((alpha+T) / (alpha+t_x))^(r+x))."""
        r, alpha, a, b = self
        odds = np.log(a) - np.log(b + np.maximum(c.x, 1.0) - 1)
        odds = odds + (r + c.x) * np.log1p((c.age - c.t_x) / (alpha + c.t_x))
        return np.where(c.x > 0, np.exp(-np.logaddexp(0.0, odds)), 1.0)

    def expected(self, weeks: Floats | float) -> Floats:
        """Expected repeat purchases of a new customer within some weeks of the first purchase (eq. 9)."""
        r, alpha, a, b = self
        ahead, one = np.asarray(weeks, np.float64), np.ones((1, 1))
        found = expected_purchases(r * one, alpha * one, a, b * one, ahead.reshape(1, -1))
        return np.asarray(found.reshape(ahead.shape))

    def returns(self, c: Cohort, weeks: float) -> Floats:
        """P(at least one purchase within the next `weeks`) per row.

        It is P(alive), times the probability of a purchase at a rate distributed as Gamma(r+x, alpha+T).
        """
        longer = np.log1p(weeks / (self.alpha + c.age))
        return np.asarray(self.alive(c) * -np.expm1(-(self.r + c.x) * longer))

    def forecast(self, c: Cohort, weeks: Floats | float) -> Floats:
        """Expected purchases per row within the next `weeks`, given the history (eq. 10).

        `weeks` may be an array if the cohort has one row.
        """
        return np.asarray(self.alive(c) * self.forecast_alive(c, weeks))

    def forecast_alive(self, c: Cohort, weeks: Floats | float) -> Floats:
        """The same expectation given that the customer is alive."""
        r, alpha, a, b = self
        ahead = np.asarray(weeks, np.float64).reshape(1, -1)
        scale, rate = (alpha + c.age)[:, None], (r + c.x)[:, None]
        return expected_purchases(rate, scale, a, (b + c.x)[:, None], ahead).ravel()


_NEUTRAL_START: Final = BgNbd(1.0, 1.0, 1.0, 1.0)


def fit(cohort: Cohort, start: BgNbd = _NEUTRAL_START) -> BgNbd:
    """Fit by maximum likelihood, from `start`, and from a neutral start if that does not converge.

    Raises:
        NoEstimate: no customer bought twice, or the search does not converge.
    """
    if not (cohort.n @ cohort.x > 0):
        raise NoEstimate("no customer bought on a second day, so purchase rates cannot be estimated")
    customers = float(cohort.n.sum())
    starts = (start, _NEUTRAL_START)
    return BgNbd(*maximize(lambda values: BgNbd(*values).log_likelihood(cohort), customers, starts, "BG/NBD"))


__all__ = ["BgNbd", "Cell", "Cohort", "NoEstimate", "PurchaseCells", "PurchaseHistory", "fit"]
