"""Purchases without a contract: BG/NBD (Fader, Hardie, Lee 2005), from counts of customers in cells.

A customer who buys at a rate lambda of its own, and after every purchase is gone with a probability p of its own:
lambda is Gamma(r, alpha) over customers, p is Beta(a, b). All that the model asks of a customer is the number of repeat
purchases x, the time of the last one t_x, and the age T, both since the first purchase; several of a day are one.

Nobody keeps all customers at hand. `PurchaseCells` counts them by fortnight of the first and of the last purchase and
by a class of x, with the sums that give each cell's centre. A customer's cell is a function of what they bought and of
nothing else, so cells are free of order, add up over partitions, and a late purchase moves its customer. Time enters
only when they are read: days are absolute, so that nobody has to be touched for growing older.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, hyp2f1

from models.profile.mergeable import DAY_MS
from models.profile.schema import Commerce
from models.value.mle import NoEstimate, largest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERIOD_DAYS: Final = 14  # of a cell; 28 days put alpha 5 % off on a log of 39 weeks, 14 days 2 %
REPEAT_CLASSES: Final = (1, 2, 3, 4, 5, 7, 10, 15, 25)  # first x of each class but the first, which is 0
WEEK_DAYS: Final = 7.0
NEAR_ONE: Final = 1e-6  # of `a`: half of the digits are left

Cell = tuple[int, int, int]
"""Fortnight of the first purchase, of the last one, class of x."""


class PurchaseHistory(NamedTuple):
    """What BG/NBD knows of a customer; days since the epoch."""

    repeats: int
    first_day: int
    last_day: int

    @classmethod
    def of(cls, commerce: Commerce | None) -> PurchaseHistory | None:
        """Of a profile's purchases, None while there are none."""
        if commerce is None or not commerce.orders:
            return None
        bought = int.from_bytes(commerce.days, "little").bit_count() + commerce.older_days
        return cls(max(bought - 1, 0), commerce.first_ms // DAY_MS, commerce.last_ms // DAY_MS)

    @property
    def cell(self) -> Cell:
        """Where the customer is counted.

        >>> PurchaseHistory(6, 0, 100).cell
        (0, 7, 5)
        """
        return self.first_day // PERIOD_DAYS, self.last_day // PERIOD_DAYS, bisect_right(REPEAT_CLASSES, self.repeats)


class PurchaseCells:
    """Customers counted by what they bought; whole numbers, so that any order and any split gives the same.

    >>> cells = PurchaseCells()
    >>> cells.move(None, PurchaseHistory(0, 100, 100))
    >>> cells.move(PurchaseHistory(0, 100, 100), PurchaseHistory(1, 100, 130))
    >>> cells.sums
    {(7, 9, 1): [1, 1, 100, 130]}
    """

    def __init__(self, sums: Mapping[Cell, list[int]] | None = None) -> None:
        self.sums: dict[Cell, list[int]] = {cell: list(sum_) for cell, sum_ in (sums or {}).items()}
        """Of each cell: customers, sum of x, sum of first days, sum of last days."""

    @classmethod
    def of(cls, repeats: Ints, first: Ints, last: Ints) -> PurchaseCells:
        """Many customers at once, as arrays of one length.

        >>> many = np.array([0, 1]), np.array([100, 100]), np.array([100, 130])
        >>> PurchaseCells.of(*many).sums
        {(7, 7, 0): [1, 0, 100, 100], (7, 9, 1): [1, 1, 100, 130]}
        """
        number = np.searchsorted(REPEAT_CLASSES, repeats, side="right")
        cells = np.stack([first // PERIOD_DAYS, last // PERIOD_DAYS, number], 1)
        each, at = np.unique(cells, axis=0, return_inverse=True)
        sums = np.stack([np.bincount(at.ravel(), what) for what in (None, repeats, first, last)], 1).astype(np.int64)
        return cls({(a, b, c): sum_ for (a, b, c), sum_ in zip(each.tolist(), sums.tolist(), strict=True)})

    def move(self, before: PurchaseHistory | None, after: PurchaseHistory | None) -> None:
        """A customer's purchases were `before` and are `after`."""
        if before == after:
            return
        if before is not None:
            self._add(before.cell, -1, -before.repeats, -before.first_day, -before.last_day)
        if after is not None:
            self._add(after.cell, 1, *after)

    def merge(self, other: PurchaseCells) -> PurchaseCells:
        """Both partitions' customers."""
        merged = PurchaseCells(self.sums)
        for cell, sums in other.sums.items():
            merged._add(cell, *sums)
        return merged

    @property
    def customers(self) -> int:
        """How many there are in all cells."""
        return sum(sums[0] for sums in self.sums.values())

    def as_of(self, day: int) -> Cohort:
        """The cells' centres, seen from a day (since the epoch) that no purchase lies after."""
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
    """Customers, or groups of those who are alike, as arrays of one length."""

    n: Floats
    """How many each row stands for."""
    x: Floats
    """Repeat purchases."""
    t_x: Floats
    """Weeks from the first purchase to the last."""
    age: Floats
    """Weeks from the first purchase to now (T)."""


class BgNbd(NamedTuple):
    """The four parameters; time is in weeks. Equations are those of Fader, Hardie, Lee (2005), Marketing Science 24.

    >>> model = BgNbd(0.243, 4.414, 0.793, 2.426)  # the paper's, for a tenth of the CDNOW customers
    >>> round(float(model.expected(38.86)), 3)
    1.194
    """

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, c: Cohort) -> float:
        """Eq. 6, summed over all customers."""
        r, alpha, a, b = self
        common = gammaln(r + c.x) - gammaln(r) + r * np.log(alpha)
        alive = betaln(a, b + c.x) - betaln(a, b) - (r + c.x) * np.log(alpha + c.age)
        again = np.maximum(c.x, 1.0)
        gone = betaln(a + 1, b + again - 1) - betaln(a, b) - (r + c.x) * np.log(alpha + c.t_x)
        either = np.where(c.x > 0, np.logaddexp(alive, gone), alive)
        return float(np.sum(c.n * (common + either)))  # not BLAS: the same bits everywhere

    def alive(self, c: Cohort) -> Floats:
        """P(alive) of each: 1 / (1 + [x>0] a / (b+x-1) ((alpha+T) / (alpha+t_x))^(r+x))."""
        r, alpha, a, b = self
        odds = np.log(a) - np.log(b + np.maximum(c.x, 1.0) - 1)
        odds = odds + (r + c.x) * (np.log(alpha + c.age) - np.log(alpha + c.t_x))
        return np.where(c.x > 0, 1 / (1 + np.exp(np.minimum(odds, 700.0))), 1.0)

    def expected(self, weeks: Floats | float) -> Floats:
        """Eq. 9: repeat purchases of a new customer within so many weeks of the first one."""
        r, alpha, a, b = self._off_one
        z = np.asarray(weeks) / (alpha + np.asarray(weeks))
        shrink = (alpha / (alpha + np.asarray(weeks))) ** r
        return np.asarray((a + b - 1) / (a - 1) * (1 - shrink * hyp2f1(r, b, a + b - 1, z)))

    @property
    def _off_one(self) -> BgNbd:
        """With an `a` at which eq. 9 and 10 can be computed: at 1 they are 0 / 0."""
        return self._replace(a=1.0 + NEAR_ONE) if abs(self.a - 1.0) < NEAR_ONE else self

    def returns(self, c: Cohort, weeks: float) -> Floats:
        """P(at least one purchase within the next `weeks`) of each: P(alive), times that its rate, Gamma(r+x, alpha+T)
        for who is alive, brings one."""
        return np.asarray(self.alive(c) * (1 - ((self.alpha + c.age) / (self.alpha + c.age + weeks)) ** (self.r + c.x)))

    def forecast(self, c: Cohort, weeks: Floats | float) -> Floats:
        """Eq. 10: purchases of each within the next `weeks`, given what they did so far; many weeks are for one row."""
        r, alpha, a, b = self._off_one
        z = weeks / (alpha + c.age + weeks)
        rest = ((alpha + c.age) / (alpha + c.age + weeks)) ** (r + c.x) * hyp2f1(r + c.x, b + c.x, a + b + c.x - 1, z)
        return np.asarray((a + b + c.x - 1) / (a - 1) * (1 - rest) * self.alive(c))


_ANYWHERE: Final = BgNbd(1.0, 1.0, 1.0, 1.0)


def fit(cohort: Cohort, start: BgNbd = _ANYWHERE) -> BgNbd:
    """The parameters of the largest likelihood, sought from `start` on, and from anywhere if that does not settle.

    Raises NoEstimate where nobody bought twice, or the search does not settle.
    """
    if not (cohort.n @ cohort.x > 0):
        raise NoEstimate("nobody bought on a second day: there is no rhythm to learn")
    customers = float(cohort.n.sum())
    return BgNbd(*largest(lambda found: BgNbd(*found).log_likelihood(cohort), customers, (start, _ANYWHERE), "BG/NBD"))


__all__ = ["BgNbd", "Cell", "Cohort", "NoEstimate", "PurchaseCells", "PurchaseHistory", "fit"]
