"""The published purchase cells of all partitions, and the forecast that follows from them.

A partition publishes its cells with every fit, every four weeks (`models.value.purchase_counts`). Readers add up the
cells of all partitions and fit once.
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
"""Prefix of the keys of published cells; the topic also holds other metrics."""


class CellsValue(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: customers of one partition in cells, as of the end of `day` (since 1970).

    For one fortnight (since 1970) of the first purchase, the cells are `[fortnight of the last purchase, class of
    repeat purchases, customers, sum of repeat purchases, sum of first days, sum of last days]`. For one class of
    purchases, they are `[quarter octave of the mean value, customers, sum of purchases, sum of revenue]`, in minor
    units.
    """

    partition: int
    day: int
    fortnight: int | None
    kind: int | None
    cells: list[list[int]]


class CellSnapshot(NamedTuple):
    """A partition's cells at a fit."""

    day: int
    purchases: PurchaseCells
    spending: SpendingCells
    dropped: list[int]
    """Fortnights whose customers are no longer counted."""

    def records(self, partition: int) -> list[tuple[bytes, bytes | None]]:
        """Encode the records to publish, key and value; a dropped fortnight becomes a tombstone."""
        blocks: dict[tuple[str, int], list[list[int]]] = {("first", number): [] for number in self.dropped}
        for (first, last, kind), sums in sorted(self.purchases.sums.items()):
            blocks.setdefault(("first", first), []).append([last, kind, *sums])
        for (kind, octave), sums in sorted(self.spending.sums.items()):
            blocks.setdefault(("value", kind), []).append([octave, *sums])
        records: list[tuple[bytes, bytes | None]] = []
        for (block, number), cells in blocks.items():
            by_first = block == "first"
            value = CellsValue(partition, self.day, number if by_first else None, None if by_first else number, cells)
            key = f"purchases/{partition}/{block}/{number}".encode()
            records.append((key, msgspec.json.encode(value) if cells else None))
        return records


class ExpectedPurchases(msgspec.Struct, frozen=True):
    """Means over the customers of one class of repeat purchases."""

    repeats: str
    customers: int
    alive: float
    predicted: float
    """Expected purchases within the weeks ahead."""
    returns: float
    """Probability of at least one purchase within the weeks ahead."""


class PurchaseSummary(msgspec.Struct, frozen=True):
    """Fitted parameters (time in weeks, money in units of the currency), and the forecast from a day on."""

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
    """Gamma-Gamma's p, q, gamma and population mean; None if too few purchases have a value."""
    classes: list[ExpectedPurchases]


def summarize(values: Iterable[bytes]) -> PurchaseSummary | None:
    """Add up the published cells of all partitions, fit and forecast; None without cells.

    Raises:
        NoEstimate: the data are insufficient.
    """
    purchases, spending, day = PurchaseCells(), SpendingCells(), -1
    for value in values:
        block = msgspec.json.decode(value, type=CellsValue)
        day = max(day, block.day)
        if block.fortnight is not None:
            first = block.fortnight
            purchases = purchases.merge(PurchaseCells({(first, row[0], row[1]): row[2:] for row in block.cells}))
        elif block.kind is not None:
            spending = spending.merge(SpendingCells({(block.kind, row[0]): row[1:] for row in block.cells}))
    if not purchases.sums:
        return None
    model = fit(purchases.as_of(day))
    try:
        value_model = fit_values(spending.spenders())
        order_value = {**value_model._asdict(), "mean": value_model.population_mean}
    except NoEstimate:
        order_value = None
    classes = []
    for kind in sorted({cell[2] for cell in purchases.sums}):
        cells = PurchaseCells({cell: sums for cell, sums in purchases.sums.items() if cell[2] == kind})
        cohort, number = cells.as_of(day), cells.customers
        means = [
            float(cohort.n @ figures) / number
            for figures in (
                model.alive(cohort),
                model.forecast(cohort, AHEAD_WEEKS),
                model.returns(cohort, AHEAD_WEEKS),
            )
        ]
        classes.append(ExpectedPurchases(class_name(kind), number, *means))
    return PurchaseSummary(
        *model,
        day=day,
        customers=purchases.customers,
        cells=len(purchases.sums),
        ahead_weeks=AHEAD_WEEKS,
        predicted=sum(each.predicted * each.customers for each in classes),
        order_value=order_value,
        classes=classes,
    )
