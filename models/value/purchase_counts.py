"""Count the purchases of a partition's customers in its store, and fit BG/NBD and Gamma-Gamma every four weeks.

Customers are counted in the cells of `models.value.bg_nbd` and `models.value.gamma_gamma`. The store holds the cells in
blocks: one per fortnight of the first purchase, and one per class of purchases. Time is divided into periods of four
weeks of the partition's clock. The parameters are fitted before the first order of a new period is counted, and apply
from the next day. So the parameters depend on the log, not on its division into batches, and each order is counted
once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from models.events.money import ISO_4217
from models.profile.keys import VALUE_FORECAST
from models.profile.mergeable import DAY_MS
from models.retention.accounts import Load
from models.value.bg_nbd import PERIOD_DAYS, REPEAT_CLASSES, BgNbd, Cell, PurchaseCells, PurchaseHistory
from models.value.bg_nbd import fit as fit_bg_nbd
from models.value.gamma_gamma import Cell as ValueCell
from models.value.gamma_gamma import GammaGamma, SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_gamma_gamma
from models.value.mle import NoEstimate
from models.value.purchase_aggregates import CellSnapshot

ORDER_EFFECTS: Final = frozenset({"order_completed", "order_updated", "order_refunded", "order_cancelled"})
"""The effects of the events that are counted; see `models.events.taxonomy`."""
FIT_PERIOD_DAYS: Final = 28  # between two fits; a fit takes 60 ms for 24,000 customers
FORTNIGHTS_KEPT: Final = 130  # customers whose first purchase is five years ago are dropped
CUSTOMERS_MIN: Final = 200  # with fewer customers the default parameters apply
REPEAT_CUSTOMERS_MIN: Final = 50  # with fewer customers who bought again the default parameters apply
HISTORY_MIN_DAYS: Final = (
    84  # shorter logs cannot separate lost from slow customers: a and b go to 0 on 7 weeks of CDNOW
)
B_MIN: Final = 0.01  # a smaller b means that customers leave at once or never: the log is too short

_HEAD: Final = VALUE_FORECAST + b"h"
_BLOCK: Final = VALUE_FORECAST + b"b"
_VALUES: Final = VALUE_FORECAST + b"p"


class PurchaseDelta(NamedTuple):
    """A customer's purchase history before and after an order."""

    clock_ms: int
    """The partition's clock when the order was applied."""
    before: PurchaseHistory | None
    after: PurchaseHistory | None
    spent_before: SpendHistory | None
    spent: SpendHistory | None


class FittedParameters(NamedTuple):
    """Parameters that apply from a day on; None with insufficient data."""

    from_day: int
    purchases: BgNbd | None
    order_values: dict[str, GammaGamma]
    """By currency."""


NOTHING: Final = FittedParameters(-1, None, {})


class _Head(msgspec.Struct, array_like=True):
    since_day: int
    """Customers who first bought before this day are not counted, because the partition is older than its counts."""
    period: int = -1
    """Fit period (since 1970) of the newest order."""
    oldest: int = -1
    """Fortnight of the oldest block."""
    fitted: list[tuple[int, list[float], list[float]]] = []
    """The newest two sets of parameters: the older one applies until the first day of the newer one."""
    currencies: list[str] = []
    """Currencies that are counted, besides the unknown one."""
    order_values: list[tuple[int, str, list[float]]] = []
    """By first day, as in `fitted`, and currency: parameters of the order value."""


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_cells = msgspec.msgpack.Decoder(list[tuple[int, int, list[int]]]).decode
_decode_values = msgspec.msgpack.Decoder(dict[int, list[int]]).decode
_encode = msgspec.msgpack.Encoder().encode


class PurchaseCounter:
    """The purchase counts and fitted parameters of a partition.

    Args:
        load: Reads committed records.
        since_day: First day from which all events were applied; 0 for a new partition.
    """

    def __init__(self, load: Load, since_day: int) -> None:
        self._load, self._since_day = load, since_day
        self._head: _Head | None = None
        self.cell_snapshots: list[CellSnapshot] = []
        """The cells of the newest batch's fits, to be published."""

    def apply_batch(
        self, orders: Sequence[PurchaseDelta], begun: bool
    ) -> tuple[list[FittedParameters], dict[bytes, bytes | None]]:
        """Count the orders of a batch, and fit if a period ended.

        Args:
            orders: The orders of a batch, in order for each customer.
            begun: True if the partition has ever applied an event.

        Returns:
            The fitted parameters in order of their first day, and the changes of the store.
        """
        head, changes = self._head, _Changes(self._load)
        self.cell_snapshots = []
        if head is None:
            [record] = self._load([_HEAD])
            head = self._head = _Head(self._since_day) if record is None else _decode_head(record)
            if record is None and begun:
                changes.records[_HEAD] = _encode(head)
            elif record is None:
                self._head = None  # it is not stored before an event was applied
        fitted = [NOTHING, *(_from_state(state, head.order_values) for state in head.fitted)]
        for period, period_orders in _by_period(orders):
            if period > head.period:
                if head.period >= 0:
                    newest = self._fit(head, changes, period, min(order.clock_ms for order in period_orders) // DAY_MS)
                    fitted.append(newest)
                    _remember(head, newest)
                head.period = period
            self._count(head, changes, period_orders)
        if orders:
            changes.records[_HEAD] = _encode(head)
            changes.write()
        return fitted, changes.records

    def _count(self, head: _Head, changes: _Changes, orders: Iterable[PurchaseDelta]) -> None:
        oldest = max(head.period * FIT_PERIOD_DAYS // PERIOD_DAYS - FORTNIGHTS_KEPT, 0)
        for order in orders:
            before, after = (self._counted(head, oldest, history) for history in (order.before, order.after))
            changes.move(before, after)
            spent = self._spent(head, order.spent_before), self._spent(head, order.spent)
            changes.spend(spent[0] if before else None, spent[1] if after else None)
            for history in (before, after):
                if history is not None and (head.oldest < 0 or history.cell[0] < head.oldest):
                    head.oldest = history.cell[0]

    def _counted(self, head: _Head, oldest: int, history: PurchaseHistory | None) -> PurchaseHistory | None:
        """Return the history if its customer is counted, else None."""
        if history is None or history.first_day < head.since_day or history.cell[0] < oldest:
            return None
        return history

    def _spent(self, head: _Head, spent: SpendHistory | None) -> SpendHistory | None:
        """Return the spending if it is counted: not if all of it was refunded, nor in a currency of no country."""
        if spent is None or not spent.revenue:
            return None
        code = spent.currency
        if code and code not in head.currencies:
            if code not in ISO_4217:
                return None  # such codes are unbounded
            head.currencies = sorted([*head.currencies, code])
        return spent

    def _fit(self, head: _Head, changes: _Changes, period: int, day: int) -> FittedParameters:
        """Fit to everything counted before a period, after dropping the blocks that are too old."""
        today = period * FIT_PERIOD_DAYS
        oldest = today // PERIOD_DAYS - FORTNIGHTS_KEPT
        dropped: list[int] = []
        if head.oldest >= 0:
            dropped = list(range(head.oldest, min(oldest, today // PERIOD_DAYS + 1)))
            changes.drop(dropped)
            head.oldest = max(head.oldest, oldest)
        cells = changes.all_cells(range(max(head.oldest, 0), today // PERIOD_DAYS + 1)) if head.oldest >= 0 else {}
        purchases = PurchaseCells(cells)
        values = {code: SpendingCells(changes.all_values(code)) for code in ("", *head.currencies)}
        self.cell_snapshots.append(CellSnapshot(today - 1, purchases, values, dropped))
        models = {code: model for code, each in values.items() if (model := _fit_values(each, code)) is not None}
        return FittedParameters(day + 1, _fit_purchases(purchases, today - 1), models)


class _Changes:
    """The blocks that a batch changes: read on demand, written at the end of the batch."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._cells: dict[int, PurchaseCells] = {}
        self._values: dict[tuple[int, str], SpendingCells] = {}
        self._changed_fortnights: set[int] = set()
        self._changed_kinds: set[tuple[int, str]] = set()
        self.records: dict[bytes, bytes | None] = {}

    def move(self, before: PurchaseHistory | None, after: PurchaseHistory | None) -> None:
        for history, move in ((before, (before, None)), (after, (None, after))):
            if history is not None:
                self._changed_fortnights.add(history.cell[0])
                [block] = self._blocks([history.cell[0]])
                block.move(*move)

    def spend(self, before: SpendHistory | None, after: SpendHistory | None) -> None:
        for history, move in ((before, (before, None)), (after, (None, after))):
            if history is not None:
                self._changed_kinds.add((history.cell[0], history.currency))
                [block] = self._classes([(history.cell[0], history.currency)])
                block.move(*move)

    def all_cells(self, fortnights: Iterable[int]) -> dict[Cell, list[int]]:
        return {cell: sums for block in self._blocks(fortnights) for cell, sums in block.sums.items()}

    def all_values(self, currency: str) -> dict[ValueCell, list[int]]:
        blocks = self._classes((kind, currency) for kind in range(len(REPEAT_CLASSES) + 1))
        return {cell: sums for block in blocks for cell, sums in block.sums.items()}

    def drop(self, fortnights: Iterable[int]) -> None:
        for number in fortnights:
            self._changed_fortnights.add(number)
            self._cells[number] = PurchaseCells()

    def write(self) -> None:
        for number in sorted(self._changed_fortnights):
            rows = [(last, kind, sums) for (_, last, kind), sums in sorted(self._cells[number].sums.items())]
            self.records[_block_key(number)] = _encode(rows) if rows else None
        for block in sorted(self._changed_kinds):
            sums = {octave: values for (_, octave), values in sorted(self._values[block].sums.items())}
            self.records[_values_key(block)] = _encode(sums) if sums else None

    def _blocks(self, fortnights: Iterable[int]) -> list[PurchaseCells]:
        wanted = list(fortnights)
        missing = [number for number in wanted if number not in self._cells]
        for number, record in zip(missing, self._load([_block_key(number) for number in missing]), strict=True):
            rows = [] if record is None else _decode_cells(record)
            self._cells[number] = PurchaseCells({(number, last, kind): sums for last, kind, sums in rows})
        return [self._cells[number] for number in wanted]

    def _classes(self, blocks: Iterable[tuple[int, str]]) -> list[SpendingCells]:
        wanted = list(blocks)
        missing = [block for block in wanted if block not in self._values]
        for block, record in zip(missing, self._load([_values_key(block) for block in missing]), strict=True):
            sums = {} if record is None else _decode_values(record)
            self._values[block] = SpendingCells({(block[0], octave): values for octave, values in sums.items()})
        return [self._values[block] for block in wanted]


def _block_key(fortnight: int) -> bytes:
    return _BLOCK + fortnight.to_bytes(2, "big")


def _values_key(block: tuple[int, str]) -> bytes:
    kind, currency = block
    return _VALUES + bytes([kind]) + currency.encode()


def _by_period(orders: Sequence[PurchaseDelta]) -> list[tuple[int, list[PurchaseDelta]]]:
    periods: dict[int, list[PurchaseDelta]] = {}
    for order in orders:
        periods.setdefault(order.clock_ms // DAY_MS // FIT_PERIOD_DAYS, []).append(order)
    return sorted(periods.items())


def _fit_purchases(cells: PurchaseCells, day: int) -> BgNbd | None:
    repeat_customers = sum(sums[0] for (_, _, kind), sums in cells.sums.items() if kind)
    if cells.customers < CUSTOMERS_MIN or repeat_customers < REPEAT_CUSTOMERS_MIN:
        return None
    if day + 1 - PERIOD_DAYS * min(first for first, _, _ in cells.sums) < HISTORY_MIN_DAYS:
        return None
    try:
        model = fit_bg_nbd(cells.as_of(day))
    except NoEstimate:
        return None
    return model if model.b > B_MIN else None


def _fit_values(cells: SpendingCells, currency: str) -> GammaGamma | None:
    spenders = cells.spenders(currency=currency)
    if spenders.n.sum() < REPEAT_CUSTOMERS_MIN:
        return None
    try:
        return fit_gamma_gamma(spenders)
    except NoEstimate:
        return None


def _from_state(
    state: tuple[int, list[float], list[float]], order_values: list[tuple[int, str, list[float]]]
) -> FittedParameters:
    day, purchases, order_value = state
    models = {code: GammaGamma(*values) for from_day, code, values in order_values if from_day == day}
    if order_value:
        models[""] = GammaGamma(*order_value)
    return FittedParameters(day, BgNbd(*purchases) if purchases else None, models)


def _remember(head: _Head, fitted: FittedParameters) -> None:
    """Add a set of parameters, and forget all but the newest two."""
    order_value = fitted.order_values.get("")
    newest = fitted.from_day, list(fitted.purchases or ()), list(order_value or ())
    head.fitted = [*head.fitted, newest][-2:]
    added = [(fitted.from_day, code, list(model)) for code, model in fitted.order_values.items() if code]
    kept = {day for day, _, _ in head.fitted}
    head.order_values = [entry for entry in head.order_values if entry[0] in kept] + added


def at_day(fitted: Sequence[FittedParameters], day: int) -> FittedParameters:
    """Return the parameters that apply on a day."""
    return fitted[bisect_right([parameters.from_day for parameters in fitted], day) - 1]
