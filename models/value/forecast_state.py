"""What a partition's log lets expect of its customers on a day: how long subscriptions last, what will be bought."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import msgspec

from models.definition.value_settings import ValueSettings
from models.profile.keys import OUTLOOK
from models.profile.mergeable import DAY_MS
from models.retention.accounts import Load
from models.retention.life_table import PERIOD_DAYS, Days, Life, Lifetimes, Lives
from models.value.purchase_aggregates import Counted
from models.value.purchase_counts import NOTHING, Bought, Learned, PurchaseBook, at_day
from models.value.purchase_value import Buying
from models.value.survival import Survival

READ_KEPT: Final = 64  # of so many days and partitions what was worked out stays


class _Numbers(msgspec.Struct, array_like=True):
    settings: ValueSettings
    period: int
    lives: list[Any]
    learned: Learned


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Numbers).decode


class Outlook:
    """As of the beginning of a day.

    >>> Outlook(ValueSettings(churn=0.1)).survival.hazards("pro")[0]
    0.1
    """

    def __init__(
        self, settings: ValueSettings, lives: Lives | None = None, period: int = 0, learned: Learned = NOTHING
    ) -> None:
        self.settings, self.lives, self.period, self.learned = settings, lives or Lives({}), period, learned
        self.survival = Survival(self.lives, period, settings)
        self.buying = Buying(settings, learned.purchases, learned.order_value)

    @cached_property
    def data(self) -> bytes:
        """For another process, which expects the same of what `read` makes of it."""
        return _encode(_Numbers(self.settings, self.period, self.lives.data, self.learned))


@lru_cache(maxsize=READ_KEPT)
def read(data: bytes) -> Outlook:
    """What `Outlook.data` was taken from."""
    numbers = _decode(data)
    return Outlook(numbers.settings, Lives.read(numbers.lives), numbers.period, numbers.learned)


class Outlooks:
    """Those of a batch's days, made when they are asked for.

    Args:
        newest: What the batch before read last, which is often what this one reads.
    """

    def __init__(self, settings: ValueSettings, days: Days, learned: Sequence[Learned], newest: Outlook) -> None:
        self._settings, self._days, self._learned = settings, days, learned
        self._made: dict[tuple[int, int, int], Outlook] = {}
        self.newest = newest

    def at(self, clock_ms: int) -> Outlook:
        """Of the day that the partition's clock showed."""
        place, period = self._days.place(clock_ms), clock_ms // DAY_MS // PERIOD_DAYS
        learned = at_day(self._learned, clock_ms // DAY_MS)
        key = place, period, learned.from_day
        found = self._made.get(key)
        if found is None:
            found, lives = self.newest, self._days.lives[place]
            if found.lives is not lives or found.period != period or found.learned != learned:
                found = self.newest = Outlook(self._settings, lives, period, learned)
            self._made[key] = found
        return found


class OutlookBook:
    """A partition's, from batch to batch; its numbers stand in a record of the partition's store.

    Args:
        settings: [value] of churn.toml.
        load: Reads committed records.
        since_day: From when on everything is applied that there is: 0 for a new partition.
    """

    def __init__(self, settings: ValueSettings, load: Load, since_day: int) -> None:
        self._settings, self._load = settings, load
        self._purchases = PurchaseBook(load, since_day)
        self._since_day = since_day
        self._lifetimes: Lifetimes | None = None
        self._new = True
        self._newest = Outlook(settings)
        self._last: Outlooks | None = None

    @property
    def counted(self) -> list[Counted]:
        """Cells that the newest batch learned from, to be published."""
        return self._purchases.counted

    def turn(
        self, lives: Sequence[Life], orders: Sequence[Bought], begun: bool
    ) -> tuple[Outlooks, dict[bytes, bytes | None]]:
        """Takes in what a batch changed of subscriptions and purchases; what that changes in the store.

        Args:
            lives: The changes of subscriptions.
            orders: Those of purchases.
            begun: Anything was ever applied.
        """
        book = self._lifetimes
        if book is None:
            book = self._lifetimes = Lifetimes(self._since_day)
            [record] = self._load([OUTLOOK])
            if record is not None:
                book.restore(msgspec.msgpack.decode(record))
            self._new = record is None  # the first record says from when on there are numbers
        days = book.turn(lives)
        if self._last is not None:
            self._newest = self._last.newest
        learned, changes = self._purchases.turn(orders, begun)
        self._last = Outlooks(self._settings, days, learned, self._newest)
        if begun and (lives or self._new):
            self._new = False
            changes[OUTLOOK] = msgspec.msgpack.encode(book.state())
        return self._last, changes
