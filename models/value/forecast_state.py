"""What a partition's log lets expect of its customers on a day: how long subscriptions last, what will be bought."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import msgspec

from models.definition.value_settings import ValueSettings
from models.profile.keys import VALUE_FORECAST
from models.profile.mergeable import DAY_MS
from models.retention.accounts import Load
from models.retention.life_table import PERIOD_DAYS, DailyLifeTables, LifeTable, LifeTableBuilder, LifetimeMove
from models.value.purchase_aggregates import CellSnapshot
from models.value.purchase_counts import NOTHING, FittedParameters, PurchaseCounter, PurchaseDelta, at_day
from models.value.purchase_value import PurchaseValueModel
from models.value.survival import SubscriptionSurvival

READ_KEPT: Final = 64  # of so many days and partitions what was worked out stays


class _Numbers(msgspec.Struct, array_like=True):
    settings: ValueSettings
    period: int
    life_tables: list[Any]
    learned: FittedParameters


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Numbers).decode


class ValueForecast:
    """As of the beginning of a day.

    >>> ValueForecast(ValueSettings(churn=0.1)).survival.hazards("pro")[0]
    0.1
    """

    def __init__(
        self,
        settings: ValueSettings,
        life_tables: LifeTable | None = None,
        period: int = 0,
        learned: FittedParameters = NOTHING,
    ) -> None:
        self.settings, self.life_tables, self.period, self.learned = (
            settings,
            life_tables or LifeTable({}),
            period,
            learned,
        )
        self.survival = SubscriptionSurvival(self.life_tables, period, settings)
        self.buying = PurchaseValueModel(settings, learned.purchases, learned.order_value)

    @cached_property
    def data(self) -> bytes:
        """For another process, which expects the same of what `read_forecast` makes of it."""
        return _encode(_Numbers(self.settings, self.period, self.life_tables.data, self.learned))


@lru_cache(maxsize=READ_KEPT)
def read_forecast(data: bytes) -> ValueForecast:
    """What `ValueForecast.data` was taken from."""
    numbers = _decode(data)
    return ValueForecast(numbers.settings, LifeTable.read(numbers.life_tables), numbers.period, numbers.learned)


class DailyForecasts:
    """Those of a batch's days, made when they are asked for.

    Args:
        newest: What the batch before read last, which is often what this one reads.
    """

    def __init__(
        self, settings: ValueSettings, days: DailyLifeTables, learned: Sequence[FittedParameters], newest: ValueForecast
    ) -> None:
        self._settings, self._days, self._learned = settings, days, learned
        self._made: dict[tuple[int, int, int], ValueForecast] = {}
        self.newest = newest

    def at(self, clock_ms: int) -> ValueForecast:
        """Of the day that the partition's clock showed."""
        place, period = self._days.place(clock_ms), clock_ms // DAY_MS // PERIOD_DAYS
        learned = at_day(self._learned, clock_ms // DAY_MS)
        key = place, period, learned.from_day
        found = self._made.get(key)
        if found is None:
            found, life_tables = self.newest, self._days.life_tables[place]
            if found.life_tables is not life_tables or found.period != period or found.learned != learned:
                found = self.newest = ValueForecast(self._settings, life_tables, period, learned)
            self._made[key] = found
        return found


class ForecastState:
    """A partition's, from batch to batch; its numbers stand in a record of the partition's store.

    Args:
        settings: [value] of churn.toml.
        load: Reads committed records.
        since_day: From when on everything is applied that there is: 0 for a new partition.
    """

    def __init__(self, settings: ValueSettings, load: Load, since_day: int) -> None:
        self._settings, self._load = settings, load
        self._purchases = PurchaseCounter(load, since_day)
        self._since_day = since_day
        self._lifetimes: LifeTableBuilder | None = None
        self._new = True
        self._newest = ValueForecast(settings)
        self._last: DailyForecasts | None = None

    @property
    def counted(self) -> list[CellSnapshot]:
        """Cells that the newest batch learned from, to be published."""
        return self._purchases.counted

    def apply_batch(
        self, life_tables: Sequence[LifetimeMove], orders: Sequence[PurchaseDelta], begun: bool
    ) -> tuple[DailyForecasts, dict[bytes, bytes | None]]:
        """Takes in what a batch changed of subscriptions and purchases; what that changes in the store.

        Args:
            lives: The changes of subscriptions.
            orders: Those of purchases.
            begun: Anything was ever applied.
        """
        book = self._lifetimes
        if book is None:
            book = self._lifetimes = LifeTableBuilder(self._since_day)
            [record] = self._load([VALUE_FORECAST])
            if record is not None:
                book.restore(msgspec.msgpack.decode(record))
            self._new = record is None  # the first record says from when on there are numbers
        days = book.apply_batch(life_tables)
        if self._last is not None:
            self._newest = self._last.newest
        learned, changes = self._purchases.apply_batch(orders, begun)
        self._last = DailyForecasts(self._settings, days, learned, self._newest)
        if begun and (life_tables or self._new):
            self._new = False
            changes[VALUE_FORECAST] = msgspec.msgpack.encode(book.state())
        return self._last, changes
