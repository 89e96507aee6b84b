"""What all partitions together let expect of purchases: their cells as they are published, and what follows from them.

A partition publishes its cells whenever it learns from them (`models.value.purchase_counts`), every four weeks; readers add
those of all partitions and fit once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from models.value.bg_nbd import PurchaseCells, fit
from models.value.gamma_gamma import SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.mle import NoEstimate
from models.value.repurchase_backtest import AHEAD_WEEKS, class_name

METRIC_PREFIX: Final = b"purchases/"
"""Of the keys under which cells are published; the topic holds other figures too."""


class CellsValue(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: customers of one partition in cells, as of the end of `day` (since 1970).

    Either of one fortnight (since 1970) of the first purchase: `[fortnight of the last, class of repeat purchases,
    customers, sum of repeat purchases, sum of first days, sum of last days]`; or of one class of purchases:
    `[quarter octave of the mean value, customers, sum of purchases, sum of revenue]` in minor units.
    """

    partition: int
    day: int
    fortnight: int | None
    kind: int | None
    cells: list[list[int]]


class CellSnapshot(NamedTuple):
    """A partition's cells when it learned from them."""

    day: int
    purchases: PurchaseCells
    spending: SpendingCells
    gone: list[int]
    """Fortnights whose customers are counted no more."""

    def records(self, partition: int) -> list[tuple[bytes, bytes | None]]:
        """As they are published, key and value; a tombstone for what is gone."""
        blocks: dict[tuple[str, int], list[list[int]]] = {("first", number): [] for number in self.gone}
        for (first, last, kind), sums in sorted(self.purchases.sums.items()):
            blocks.setdefault(("first", first), []).append([last, kind, *sums])
        for (kind, octave), sums in sorted(self.spending.sums.items()):
            blocks.setdefault(("value", kind), []).append([octave, *sums])
        found: list[tuple[bytes, bytes | None]] = []
        for (what, number), cells in blocks.items():
            by_first = what == "first"
            told = CellsValue(partition, self.day, number if by_first else None, None if by_first else number, cells)
            key = f"purchases/{partition}/{what}/{number}".encode()
            found.append((key, msgspec.json.encode(told) if cells else None))
        return found


class ExpectedPurchases(msgspec.Struct, frozen=True):
    """Customers by how often they have bought again; means of each."""

    repeats: str
    customers: int
    alive: float
    predicted: float
    """Purchases within the weeks ahead."""
    returns: float
    """Probability of at least one."""


class PurchaseStanding(msgspec.Struct, frozen=True):
    """Parameters (time in weeks, money in units), and what they foretell from a day on."""

    r: float
    alpha_weeks: float
    a: float
    b: float
    day: int
    customers: int
    cells: int
    ahead_weeks: int
    predicted: float
    order_value: dict[str, float] | None
    """Gamma-Gamma's p, q and gamma, and the mean of all; None where values were not said often enough."""
    classes: list[ExpectedPurchases]


def standing(values: Iterable[bytes]) -> PurchaseStanding | None:
    """Of the published cells of all partitions, None of none. Raises NoEstimate where too little is known."""
    purchases, spending, day = PurchaseCells(), SpendingCells(), -1
    for value in values:
        told = msgspec.json.decode(value, type=CellsValue)
        day = max(day, told.day)
        if told.fortnight is not None:
            first = told.fortnight
            purchases = purchases.merge(PurchaseCells({(first, row[0], row[1]): row[2:] for row in told.cells}))
        elif told.kind is not None:
            spending = spending.merge(SpendingCells({(told.kind, row[0]): row[1:] for row in told.cells}))
    if not purchases.sums:
        return None
    everybody = purchases.as_of(day)
    model = fit(everybody)
    try:
        worth = fit_values(spending.spenders())
        order_value = {"p": worth.p, "q": worth.q, "gamma": worth.gamma, "mean": worth.population_mean}
    except NoEstimate:
        order_value = None
    classes = []
    for kind in sorted({cell[2] for cell in purchases.sums}):
        mine = PurchaseCells({cell: sums for cell, sums in purchases.sums.items() if cell[2] == kind})
        cohort, number = mine.as_of(day), mine.customers
        shares = [
            float(cohort.n @ each) / number
            for each in (model.alive(cohort), model.forecast(cohort, AHEAD_WEEKS), model.returns(cohort, AHEAD_WEEKS))
        ]
        classes.append(ExpectedPurchases(class_name(kind), number, *shares))
    return PurchaseStanding(
        *model,
        day=day,
        customers=purchases.customers,
        cells=len(purchases.sums),
        ahead_weeks=AHEAD_WEEKS,
        predicted=sum(one.predicted * one.customers for one in classes),
        order_value=order_value,
        classes=classes,
    )
