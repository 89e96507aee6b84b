"""Count how long the subscriptions of each plan have lasted in one partition.

Running subscriptions are counted by the 30-day period in which they started, ended ones by the number of whole 30-day
periods that they lasted. Only a customer's first subscription counts, from start to end, as in the survival curve of
the retention accounting, which counts by day (`models.retention.subscription_flows`). A change counts from the day
after the day of the partition's clock. So all scores of a day read the same counts, whatever the division into batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from models.profile.mergeable import DAY_MS
from models.retention.subscription_flows import SubscriptionSpell

PERIOD_DAYS: Final = 30
PERIODS_MAX: Final = 120  # of 30 days; older subscriptions count as this old

RUNNING, ENDED = 0, 1
LifeTableCell = tuple[str, int, int]
"""Plan; RUNNING or ENDED; the period of the start (since 1970), or the number of periods that it lasted."""


class LifetimeMove(NamedTuple):
    """A customer's first subscription before and after a change."""

    clock_ms: int
    """The partition's clock when the change was applied."""
    before: SubscriptionSpell
    after: SubscriptionSpell


class LifeTable:
    """The counts at the beginning of a day; immutable.

    >>> table = LifeTable({}).with_moves({("pro", RUNNING, 660): 2}, 19_830)
    >>> table.with_moves({("pro", RUNNING, 660): -1, ("pro", ENDED, 1): 1}, 19_850).counts
    {('pro', 0, 660): 1, ('pro', 1, 1): 1}
    """

    def __init__(self, counts: Mapping[LifeTableCell, int]) -> None:
        self.counts = dict(counts)

    def with_moves(self, moves: Mapping[LifeTableCell, int], day: int) -> LifeTable:
        """Return the life table after the changes of a day."""
        oldest = day // PERIOD_DAYS - PERIODS_MAX
        total: defaultdict[LifeTableCell, int] = defaultdict(int)
        for counts in (self.counts, moves):
            for (plan, kind, at), number in counts.items():
                total[plan, kind, max(at, oldest) if kind == RUNNING else at] += number
        return LifeTable({cell: number for cell, number in sorted(total.items()) if number})

    @cached_property
    def data(self) -> list[Any]:
        """The counts as data for msgpack; `read` restores them."""
        return _to_data(self.counts)

    @classmethod
    def read(cls, data: list[Any]) -> LifeTable:
        """Restore a life table from `data`."""
        return cls(_from_data(data))


class DailyLifeTables(NamedTuple):
    """The life tables of the days of a batch."""

    first_days: list[int]
    """The first day of each life table."""
    life_tables: list[LifeTable]

    def index_at(self, clock_ms: int) -> int:
        """Return the index of the life table that applies to the day of the clock."""
        return bisect_right(self.first_days, clock_ms // DAY_MS) - 1


class LifeTableBuilder:
    """Builds the life tables of a partition, day by day.

    Subscriptions that started before `since_day` are not counted. If a partition is older than its life tables, the
    number of those subscriptions is unknown.
    """

    def __init__(self, since_day: int = 0) -> None:
        self.since_day = since_day
        self._before, self._day = LifeTable({}), 0  # at the beginning of the day of the newest change
        self._open: dict[LifeTableCell, int] = {}  # changes of that day, which count from the next day
        self._after = self._before

    def apply_batch(self, changes: Iterable[LifetimeMove]) -> DailyLifeTables:
        """Apply a batch's changes, in any order. Returns the life tables of the batch's days and the day after."""
        days = DailyLifeTables([-1, self._day + 1], [self._before, self._after])
        by_day: dict[int, dict[LifeTableCell, int]] = {}
        for change in changes:
            moves = by_day.setdefault(change.clock_ms // DAY_MS, {})
            for spell, sign in ((change.before, -1), (change.after, 1)):
                cell = self._cell(spell)
                if cell is not None:
                    moves[cell] = moves.get(cell, 0) + sign
        for day in sorted(by_day):
            moves = by_day[day]
            if day > self._day:
                self._before, self._day, self._open = self._after, day, moves
            else:
                self._open = {at: self._open.get(at, 0) + moves.get(at, 0) for at in self._open.keys() | moves.keys()}
                days.first_days.pop()
                days.life_tables.pop()
            self._after = self._before.with_moves(self._open, self._day)
            days.first_days.append(self._day + 1)
            days.life_tables.append(self._after)
        return days

    def _cell(self, spell: SubscriptionSpell) -> LifeTableCell | None:
        if spell.start < self.since_day or spell.start < 0:
            return None
        if spell.end < 0:
            return spell.plan, RUNNING, spell.start // PERIOD_DAYS
        return spell.plan, ENDED, min((spell.end - spell.start) // PERIOD_DAYS, PERIODS_MAX)

    def state(self) -> list[Any]:
        """Return the state as data for `restore`. It does not depend on the division into batches."""
        return [self.since_day, self._day, self._before.data, _to_data(self._open)]

    def restore(self, state: list[Any]) -> None:
        """Restore what `state` returned."""
        self.since_day, self._day, before, open_ = state
        self._before, self._open = LifeTable.read(before), _from_data(open_)
        self._after = self._before.with_moves(self._open, self._day)


def _to_data(counts: Mapping[LifeTableCell, int]) -> list[Any]:
    """Per plan, the counts of running and of ended subscriptions."""
    plans: dict[str, list[dict[int, int]]] = {}
    for (plan, kind, at), number in sorted(counts.items()):
        if number:
            plans.setdefault(plan, [{}, {}])[kind][at] = number
    return [[plan, *kinds] for plan, kinds in plans.items()]


def _from_data(data: list[Any]) -> dict[LifeTableCell, int]:
    return {
        (plan, kind, at): number
        for plan, *kinds in data
        for kind, counts in enumerate(kinds)
        for at, number in counts.items()
    }
