"""What a partition's customers buy, counted in its store, and what BG/NBD and Gamma-Gamma learn of it every four weeks.

Customers are counted in the cells of `models.value.bg_nbd` and `models.value.gamma_gamma`, in blocks: those who first bought in the
same fortnight, and those of the same class of purchases. Before the first order of the next four weeks of the clock is
counted, the parameters are learned anew; they hold from the day after on. So what a score reads is a function of the
log, and however the log is cut into batches, an order is counted once and learned from once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from models.profile.keys import VALUE_FORECAST
from models.profile.mergeable import DAY_MS
from models.retention.accounts import Load
from models.value.bg_nbd import PERIOD_DAYS, REPEAT_CLASSES, BgNbd, Cell, PurchaseCells, PurchaseHistory
from models.value.bg_nbd import fit as fit_purchases
from models.value.gamma_gamma import Cell as ValueCell
from models.value.gamma_gamma import GammaGamma, SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.mle import NoEstimate
from models.value.purchase_aggregates import CellSnapshot

ORDER: Final = "order_completed"
"""The effect of events that the book wants to see; see `models.events.taxonomy`."""
LINE_DAYS: Final = 28  # between two fits, which take 60 ms of 24,000 customers
FORTNIGHTS_KEPT: Final = 130  # since the first purchase: who first bought five years ago is counted no more
CUSTOMERS_MIN: Final = 200  # with fewer, a retailer's usual parameters answer
AGAIN_MIN: Final = 50  # who bought again; the same
HISTORY_MIN_DAYS: Final = 84  # before it nobody can be told gone from slow: on seven weeks of CDNOW a and b go to 0
B_MIN: Final = 0.01  # below it everybody leaves at once or never, which no log says: it is too short

_HEAD: Final = VALUE_FORECAST + b"h"
_BLOCK: Final = VALUE_FORECAST + b"b"
_VALUES: Final = VALUE_FORECAST + b"p"


class PurchaseDelta(NamedTuple):
    """What an order made of a customer."""

    clock_ms: int
    """The partition's clock when it was applied."""
    before: PurchaseHistory | None
    after: PurchaseHistory | None
    spent_before: SpendHistory | None
    spent: SpendHistory | None


class FittedParameters(NamedTuple):
    """Parameters, None where too little is known."""

    from_day: int
    purchases: BgNbd | None
    order_value: GammaGamma | None


NOTHING: Final = FittedParameters(-1, None, None)


class _Head(msgspec.Struct, array_like=True):
    since_day: int
    """Who first bought before it is not counted: the partition is older than its book."""
    line: int = -1
    """Number of the four weeks of the newest order, since 1970."""
    first: int = -1
    """The fortnight of the oldest block."""
    learned: list[tuple[int, list[float], list[float]]] = []
    """The newest two: the older one holds until the newer one's day has come."""


_read_head = msgspec.msgpack.Decoder(_Head).decode
_read_cells = msgspec.msgpack.Decoder(list[tuple[int, int, list[int]]]).decode
_read_values = msgspec.msgpack.Decoder(dict[int, list[int]]).decode
_encode = msgspec.msgpack.Encoder().encode


class PurchaseCounter:
    """A partition's, from batch to batch.

    Args:
        load: Reads committed records.
        since_day: From when on everything is applied that there is: 0 for a new partition.
    """

    def __init__(self, load: Load, since_day: int) -> None:
        self._load, self._since_day = load, since_day
        self._head: _Head | None = None
        self.counted: list[CellSnapshot] = []
        """What the newest batch learned from, to be published."""

    def apply_batch(
        self, orders: Sequence[PurchaseDelta], begun: bool
    ) -> tuple[list[FittedParameters], dict[bytes, bytes | None]]:
        """Takes in a batch's orders, those of each customer in order.

        Args:
            orders: What they made of customers.
            begun: Anything was ever applied.

        Returns:
            What was learned, in order of the days from which on it holds; and what changes in the store.
        """
        head, changes = self._head, _Changes(self._load)
        self.counted = []
        if head is None:
            [record] = self._load([_HEAD])
            head = self._head = _Head(self._since_day) if record is None else _read_head(record)
            if record is None and begun:
                changes.records[_HEAD] = _encode(head)
            elif record is None:
                self._head = None  # it is not stored until something was applied
        learned = [NOTHING, *(_learned(one) for one in head.learned)]
        for line, mine in _by_line(orders):
            if line > head.line:
                if head.line >= 0:
                    newest = self._learn(head, changes, line, min(order.clock_ms for order in mine) // DAY_MS)
                    learned.append(newest)
                    head.learned = [*head.learned, _stored(newest)][-2:]
                head.line = line
            self._count(head, changes, mine)
        if orders:
            changes.records[_HEAD] = _encode(head)
            changes.write()
        return learned, changes.records

    def _count(self, head: _Head, changes: _Changes, orders: Iterable[PurchaseDelta]) -> None:
        oldest = max(head.line * LINE_DAYS // PERIOD_DAYS - FORTNIGHTS_KEPT, 0)
        for order in orders:
            before, after = (self._counted(head, oldest, one) for one in (order.before, order.after))
            changes.move(before, after)
            changes.spend(order.spent_before if before else None, order.spent if after else None)
            for one in (before, after):
                if one is not None and (head.first < 0 or one.cell[0] < head.first):
                    head.first = one.cell[0]

    def _counted(self, head: _Head, oldest: int, one: PurchaseHistory | None) -> PurchaseHistory | None:
        return None if one is None or one.first_day < head.since_day or one.cell[0] < oldest else one

    def _learn(self, head: _Head, changes: _Changes, line: int, day: int) -> FittedParameters:
        """From all that was counted before a line; what is too old is let go."""
        today = line * LINE_DAYS
        oldest = today // PERIOD_DAYS - FORTNIGHTS_KEPT
        gone: list[int] = []
        if head.first >= 0:
            gone = list(range(head.first, min(oldest, today // PERIOD_DAYS + 1)))
            changes.drop(gone)
            head.first = max(head.first, oldest)
        cells = changes.all_cells(range(max(head.first, 0), today // PERIOD_DAYS + 1)) if head.first >= 0 else {}
        purchases, values = PurchaseCells(cells), SpendingCells(changes.all_values())
        self.counted.append(CellSnapshot(today - 1, purchases, values, gone))
        return FittedParameters(day + 1, _purchases(purchases, today - 1), _values(values))


class _Changes:
    """The blocks of a batch: read when they are needed, written at its end."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._cells: dict[int, PurchaseCells] = {}
        self._values: dict[int, SpendingCells] = {}
        self._moved: set[int] = set()  # fortnights, and classes below
        self._spent: set[int] = set()
        self.records: dict[bytes, bytes | None] = {}

    def move(self, before: PurchaseHistory | None, after: PurchaseHistory | None) -> None:
        for one, side in ((before, (before, None)), (after, (None, after))):
            if one is not None:
                self._moved.add(one.cell[0])
                [block] = self._blocks([one.cell[0]])
                block.move(*side)

    def spend(self, before: SpendHistory | None, after: SpendHistory | None) -> None:
        for one, side in ((before, (before, None)), (after, (None, after))):
            if one is not None:
                self._spent.add(one.cell[0])
                [block] = self._classes([one.cell[0]])
                block.move(*side)

    def all_cells(self, fortnights: Iterable[int]) -> dict[Cell, list[int]]:
        return {cell: sums for block in self._blocks(fortnights) for cell, sums in block.sums.items()}

    def all_values(self) -> dict[ValueCell, list[int]]:
        blocks = self._classes(range(len(REPEAT_CLASSES) + 1))
        return {cell: sums for block in blocks for cell, sums in block.sums.items()}

    def drop(self, fortnights: Iterable[int]) -> None:
        for number in fortnights:
            self._moved.add(number)
            self._cells[number] = PurchaseCells()

    def write(self) -> None:
        for number in sorted(self._moved):
            rows = [(last, kind, sums) for (_, last, kind), sums in sorted(self._cells[number].sums.items())]
            self.records[_block_key(number)] = _encode(rows) if rows else None
        for kind in sorted(self._spent):
            sums = {octave: sum_ for (_, octave), sum_ in sorted(self._values[kind].sums.items())}
            self.records[_values_key(kind)] = _encode(sums) if sums else None

    def _blocks(self, fortnights: Iterable[int]) -> list[PurchaseCells]:
        wanted = list(fortnights)
        missing = [number for number in wanted if number not in self._cells]
        for number, record in zip(missing, self._load([_block_key(one) for one in missing]), strict=True):
            rows = [] if record is None else _read_cells(record)
            self._cells[number] = PurchaseCells({(number, last, kind): sums for last, kind, sums in rows})
        return [self._cells[number] for number in wanted]

    def _classes(self, kinds: Iterable[int]) -> list[SpendingCells]:
        wanted = list(kinds)
        missing = [kind for kind in wanted if kind not in self._values]
        for kind, record in zip(missing, self._load([_values_key(one) for one in missing]), strict=True):
            sums = {} if record is None else _read_values(record)
            self._values[kind] = SpendingCells({(kind, octave): sum_ for octave, sum_ in sums.items()})
        return [self._values[kind] for kind in wanted]


def _block_key(fortnight: int) -> bytes:
    return _BLOCK + fortnight.to_bytes(2, "big")


def _values_key(kind: int) -> bytes:
    return _VALUES + bytes([kind])


def _by_line(orders: Sequence[PurchaseDelta]) -> list[tuple[int, list[PurchaseDelta]]]:
    lines: dict[int, list[PurchaseDelta]] = {}
    for order in orders:
        lines.setdefault(order.clock_ms // DAY_MS // LINE_DAYS, []).append(order)
    return sorted(lines.items())


def _purchases(cells: PurchaseCells, day: int) -> BgNbd | None:
    again = sum(sums[0] for (_, _, kind), sums in cells.sums.items() if kind)
    if cells.customers < CUSTOMERS_MIN or again < AGAIN_MIN:
        return None
    if day + 1 - PERIOD_DAYS * min(first for first, _, _ in cells.sums) < HISTORY_MIN_DAYS:
        return None
    try:
        found = fit_purchases(cells.as_of(day))
    except NoEstimate:
        return None
    return found if found.b > B_MIN else None


def _values(cells: SpendingCells) -> GammaGamma | None:
    spenders = cells.spenders()
    if spenders.n.sum() < AGAIN_MIN:
        return None
    try:
        return fit_values(spenders)
    except NoEstimate:
        return None


def _learned(stored: tuple[int, list[float], list[float]]) -> FittedParameters:
    day, purchases, order_value = stored
    return FittedParameters(
        day, BgNbd(*purchases) if purchases else None, GammaGamma(*order_value) if order_value else None
    )


def _stored(learned: FittedParameters) -> tuple[int, list[float], list[float]]:
    return learned.from_day, list(learned.purchases or ()), list(learned.order_value or ())


def at_day(learned: Sequence[FittedParameters], day: int) -> FittedParameters:
    """What holds on a day."""
    return learned[bisect_right([one.from_day for one in learned], day) - 1]
