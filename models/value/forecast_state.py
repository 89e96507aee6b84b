"""A partition's value forecasts by day: survival of subscriptions and parameters of the purchase models."""

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

DECODED_MAX: Final = 64  # cached decoded forecasts, one per day and partition


class _ForecastData(msgspec.Struct, array_like=True):
    settings: ValueSettings
    period: int
    life_tables: list[Any]
    learned: FittedParameters


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_ForecastData).decode


class ValueForecast:
    """The value forecast as of the beginning of a day.

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
        self.settings = settings
        self.life_tables = life_tables or LifeTable({})
        self.period = period
        self.learned = learned
        self.survival = SubscriptionSurvival(self.life_tables, period, settings)
        self.purchase_model = PurchaseValueModel(settings, learned.purchases, learned.order_values)

    @cached_property
    def data(self) -> bytes:
        """Encoded form for another process; `read_forecast` restores an equal forecast."""
        return _encode(_ForecastData(self.settings, self.period, self.life_tables.data, self.learned))


@lru_cache(maxsize=DECODED_MAX)
def read_forecast(data: bytes) -> ValueForecast:
    """Decode `ValueForecast.data`."""
    decoded = _decode(data)
    return ValueForecast(decoded.settings, LifeTable.read(decoded.life_tables), decoded.period, decoded.learned)


class DailyForecasts:
    """The value forecasts of the days of a batch, created on demand.

    Args:
        settings: [value] of churn.toml.
        days: The life tables of the days.
        learned: The fitted parameters, in order of their first day.
        newest: The last forecast of the previous batch, which often applies to this batch.
    """

    def __init__(
        self, settings: ValueSettings, days: DailyLifeTables, learned: Sequence[FittedParameters], newest: ValueForecast
    ) -> None:
        self._settings, self._days, self._learned = settings, days, learned
        self._cache: dict[tuple[int, int, int], ValueForecast] = {}
        self.newest = newest

    def at(self, clock_ms: int) -> ValueForecast:
        """Return the forecast of the day of the partition's clock."""
        index, period = self._days.index_at(clock_ms), clock_ms // DAY_MS // PERIOD_DAYS
        learned = at_day(self._learned, clock_ms // DAY_MS)
        key = index, period, learned.from_day
        forecast = self._cache.get(key)
        if forecast is None:
            forecast, life_tables = self.newest, self._days.life_tables[index]
            if forecast.life_tables is not life_tables or forecast.period != period or forecast.learned != learned:
                forecast = self.newest = ValueForecast(self._settings, life_tables, period, learned)
            self._cache[key] = forecast
        return forecast


class ForecastState:
    """The life tables and purchase counts of a partition, kept in its store.

    Args:
        settings: [value] of churn.toml.
        load: Reads committed records.
        since_day: First day from which all events were applied; 0 for a new partition.
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
    def cell_snapshots(self) -> list[CellSnapshot]:
        """The cells of the newest batch's fits, to be published."""
        return self._purchases.cell_snapshots

    def apply_batch(
        self, life_tables: Sequence[LifetimeMove], orders: Sequence[PurchaseDelta], begun: bool
    ) -> tuple[DailyForecasts, dict[bytes, bytes | None]]:
        """Apply a batch's changes of subscriptions and purchases.

        Args:
            life_tables: Changes of subscriptions.
            orders: Changes of purchases.
            begun: True if the partition has ever applied an event.

        Returns:
            The forecasts of the batch's days, and the changes of the store.
        """
        builder = self._lifetimes
        if builder is None:
            builder = self._lifetimes = LifeTableBuilder(self._since_day)
            [record] = self._load([VALUE_FORECAST])
            if record is not None:
                builder.restore(msgspec.msgpack.decode(record))
            self._new = record is None  # the first record stores the day from which lifetimes are counted
        days = builder.apply_batch(life_tables)
        if self._last is not None:
            self._newest = self._last.newest
        learned, changes = self._purchases.apply_batch(orders, begun)
        self._last = DailyForecasts(self._settings, days, learned, self._newest)
        if begun and (life_tables or self._new):
            self._new = False
            changes[VALUE_FORECAST] = msgspec.msgpack.encode(builder.state())
        return self._last, changes
