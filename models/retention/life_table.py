"""How long subscriptions of each plan have lasted in one partition, as whole numbers that follow from the log.

Who runs is counted by the 30 days in which they began, who has ended by the number of whole 30 days that they lasted:
what the retention accounting's survival curve counts by day (`models.retention.subscription_flows`), a customer's first time from
start to end. A change counts from the day after the one that the partition's clock showed when it was applied, so that
all of a day's scores read the same numbers, however the log was cut into batches.
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
PERIODS_MAX: Final = 120  # of 30 days; what is older is counted as that old

RUNNING, ENDED = 0, 1
Place = tuple[str, int, int]
"""Plan; RUNNING or ENDED; the period since 1970 of the start, or the periods that it lasted."""


class LifetimeMove(NamedTuple):
    """What a customer's first subscription was, and what a change made of it."""

    clock_ms: int
    """The partition's clock when the change was applied."""
    before: SubscriptionSpell
    after: SubscriptionSpell


class LifeTable:
    """The numbers as they stood at the beginning of a day; not changed once made.

    >>> lives = LifeTable({}).with_moves({("pro", RUNNING, 660): 2}, 19_830)
    >>> lives.with_moves({("pro", RUNNING, 660): -1, ("pro", ENDED, 1): 1}, 19_850).counts
    {('pro', 0, 660): 1, ('pro', 1, 1): 1}
    """

    def __init__(self, counts: Mapping[Place, int]) -> None:
        self.counts = dict(counts)

    def with_moves(self, moves: Mapping[Place, int], day: int) -> LifeTable:
        """After the changes of a day."""
        oldest = day // PERIOD_DAYS - PERIODS_MAX
        found: defaultdict[Place, int] = defaultdict(int)
        for counts in (self.counts, moves):
            for (plan, kind, at), number in counts.items():
                found[plan, kind, max(at, oldest) if kind == RUNNING else at] += number
        return LifeTable({place: number for place, number in sorted(found.items()) if number})

    @cached_property
    def data(self) -> list[Any]:
        """For `msgpack`; `read` gives the same numbers."""
        return _data(self.counts)

    @classmethod
    def read(cls, data: list[Any]) -> LifeTable:
        """From what `data` was."""
        return cls(_read(data))


class DailyLifeTables(NamedTuple):
    """The numbers of a batch's days."""

    first: list[int]
    """The days from which on each of the following holds."""
    life_tables: list[LifeTable]

    def place(self, clock_ms: int) -> int:
        """Which of them holds as of the beginning of the day that a clock shows."""
        return bisect_right(self.first, clock_ms // DAY_MS) - 1


class LifeTableBuilder:
    """A partition's numbers, from day to day.

    Subscriptions that began before `since_day` are not counted: of a partition that is older than these numbers nobody
    knows how many there are.
    """

    def __init__(self, since_day: int = 0) -> None:
        self.since_day = since_day
        self._before, self._day = LifeTable({}), 0  # as of the beginning of the day of the newest change
        self._open: dict[Place, int] = {}  # changes of that day, which count from the next one on
        self._after = self._before

    def apply_batch(self, changes: Iterable[LifetimeMove]) -> DailyLifeTables:
        """Takes in a batch's changes, in any order; answers for the days in it and after it."""
        days = DailyLifeTables([-1, self._day + 1], [self._before, self._after])
        by_day: dict[int, dict[Place, int]] = {}
        for change in changes:
            moves = by_day.setdefault(change.clock_ms // DAY_MS, {})
            for spell, sign in ((change.before, -1), (change.after, 1)):
                place = self._place(spell)
                if place is not None:
                    moves[place] = moves.get(place, 0) + sign
        for day in sorted(by_day):
            moves = by_day[day]
            if day > self._day:
                self._before, self._day, self._open = self._after, day, moves
            else:
                self._open = {at: self._open.get(at, 0) + moves.get(at, 0) for at in self._open.keys() | moves.keys()}
                days.first.pop()
                days.life_tables.pop()
            self._after = self._before.with_moves(self._open, self._day)
            days.first.append(self._day + 1)
            days.life_tables.append(self._after)
        return days

    def _place(self, spell: SubscriptionSpell) -> Place | None:
        if spell.start < self.since_day or spell.start < 0:
            return None
        if spell.end < 0:
            return spell.plan, RUNNING, spell.start // PERIOD_DAYS
        return spell.plan, ENDED, min((spell.end - spell.start) // PERIOD_DAYS, PERIODS_MAX)

    def state(self) -> list[Any]:
        """As data; `restore` goes on from it. The same changes in any batches give the same."""
        return [self.since_day, self._day, self._before.data, _data(self._open)]

    def restore(self, state: list[Any]) -> None:
        """Continues from what `state` returned."""
        self.since_day, self._day, before, open_ = state
        self._before, self._open = LifeTable.read(before), _read(open_)
        self._after = self._before.with_moves(self._open, self._day)


def _data(counts: Mapping[Place, int]) -> list[Any]:
    """By plan, the counts of who runs and of who ended."""
    plans: dict[str, list[dict[int, int]]] = {}
    for (plan, kind, at), number in sorted(counts.items()):
        if number:
            plans.setdefault(plan, [{}, {}])[kind][at] = number
    return [[plan, *kinds] for plan, kinds in plans.items()]


def _read(data: list[Any]) -> dict[Place, int]:
    return {
        (plan, kind, at): number
        for plan, *kinds in data
        for kind, counts in enumerate(kinds)
        for at, number in counts.items()
    }
