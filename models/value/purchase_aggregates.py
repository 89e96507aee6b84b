"""The published purchase cells of all partitions, and the forecast that follows from them.

A partition publishes its cells with every fit, every four weeks (`models.value.purchase_counts`). Readers add up the
cells of all partitions and fit once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from models.value.bg_nbd import REPEAT_CLASSES, PurchaseCells, fit
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
    units of `currency`.
    """

    partition: int
    day: int
    fortnight: int | None
    kind: int | None
    cells: list[list[int]]
    currency: str = ""
    """Of the values of purchases; empty if events do not state one."""


class CellSnapshot(NamedTuple):
    """A partition's cells at a fit."""

    day: int
    purchases: PurchaseCells
    spending: dict[str, SpendingCells]
    """By currency."""
    dropped: list[int]
    """Fortnights whose customers are no longer counted."""

    def records(self, partition: int) -> list[tuple[bytes, bytes | None]]:
        """Encode the records to publish, key and value; a dropped fortnight becomes a tombstone."""
        blocks: dict[tuple[str, int, str], list[list[int]]] = {("first", number, ""): [] for number in self.dropped}
        for (first, last, kind), sums in sorted(self.purchases.sums.items()):
            blocks.setdefault(("first", first, ""), []).append([last, kind, *sums])
        for currency, spending in self.spending.items():
            for (kind, octave), sums in sorted(spending.sums.items()):
                blocks.setdefault(("value", kind, currency), []).append([octave, *sums])
        records: list[tuple[bytes, bytes | None]] = []
        for (block, number, currency), cells in blocks.items():
            by_first = block == "first"
            head = (number if by_first else None, None if by_first else number)
            value = CellsValue(partition, self.day, *head, cells, currency)
            records.append((_block_name(value), msgspec.json.encode(value) if cells else None))
        return records


def _block_name(value: CellsValue) -> bytes:
    """The key of a published block."""
    if value.fortnight is not None:
        return f"purchases/{value.partition}/first/{value.fortnight}".encode()
    currency = f"/{value.currency}" if value.currency else ""
    return f"purchases/{value.partition}/value/{value.kind}{currency}".encode()


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
    currency: str = ""
    """Of `order_value`: the one in which most customers spend; empty if events do not state one."""


_ROW_NUMBERS: Final = {"first": 6, "value": 4}
_BLOCK_MAX: Final = 4_096  # fortnights until 2100, with a margin
_HEAD_MAX: Final = {"first": len(REPEAT_CLASSES), "value": _BLOCK_MAX}
_NUMBER_MAX: Final = 2**53


def check_cells(value: bytes, key: bytes) -> bytes:
    """Return a published value that `summarize` can use.

    Args:
        value: As in a record of `CellSnapshot.records`.
        key: The record's key, which must be that of the value.

    Raises:
        msgspec.MsgspecError: No partition publishes such a record. The message does not quote it.
    """
    cells = msgspec.json.decode(value, type=CellsValue)
    if (cells.fortnight is None) == (cells.kind is None):
        raise msgspec.ValidationError("the block is none of ours")
    block, number = ("first", cells.fortnight) if cells.fortnight is not None else ("value", cells.kind)
    if not (
        0 <= (number or 0) <= (_BLOCK_MAX if block == "first" else len(REPEAT_CLASSES))
        and 0 <= cells.day < 14 * _BLOCK_MAX
    ):
        raise msgspec.ValidationError("block or day is none of ours")
    code = cells.currency
    if code and not (block == "value" and len(code) == 3 and code.isascii() and code.isalpha()):
        raise msgspec.ValidationError("the currency is none of ours")
    if key != _block_name(cells):
        raise msgspec.ValidationError("the key is not that of the block")
    for row in cells.cells:
        head, sums = (row[:2], row[2:]) if block == "first" else (row[:1], row[1:])
        if len(row) != _ROW_NUMBERS[block] or not 0 <= head[0] <= _BLOCK_MAX or not 0 <= head[-1] <= _HEAD_MAX[block]:
            raise msgspec.ValidationError("a cell is none of ours")
        if sums[0] < 1 or not all(0 <= each <= _NUMBER_MAX for each in sums):
            raise msgspec.ValidationError("a cell's sums are none of ours")
    return value


def summarize(values: Iterable[bytes]) -> PurchaseSummary | None:
    """Add up the published cells of all partitions, fit and forecast; None without cells.

    Raises:
        NoEstimate: the data are insufficient.
    """
    purchases, day = PurchaseCells(), -1
    spending: dict[str, SpendingCells] = {}
    for value in values:
        block = msgspec.json.decode(value, type=CellsValue)
        day = max(day, block.day)
        if block.fortnight is not None:
            first = block.fortnight
            purchases = purchases.merge(PurchaseCells({(first, row[0], row[1]): row[2:] for row in block.cells}))
        elif block.kind is not None:
            part = SpendingCells({(block.kind, row[0]): row[1:] for row in block.cells})
            spending[block.currency] = spending.get(block.currency, SpendingCells()).merge(part)
    if not purchases.sums:
        return None
    model = fit(purchases.as_of(day))
    currency = max(spending, key=lambda code: (spending[code].customers, code), default="")
    try:
        value_model = fit_values(spending.get(currency, SpendingCells()).spenders(currency=currency))
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
        currency=currency,
    )
