"""Count what a log of events contains: names, customers, ids and times, with the line where each first occurs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from models.duration import DAY_MS
from models.events.coercion import text
from models.events.event import Event, meaning_of
from models.events.money import read_money
from models.events.object_ids import order_key, subscription_key, ticket_key
from models.events.rejection import Rejected
from models.events.taxonomy import MEANINGS
from models.profile.schema import NEVER_MS

NAMES_MAX: Final = 1_000
"""Unknown names that are counted separately. A log with more puts values into its names."""

IDS_REMEMBERED: Final = 1 << 20
"""Newest event ids in which duplicates are found, some 100 MB."""


REASONS_MAX: Final = 50
"""Reasons of cancellations that are counted separately."""

GAP_DAYS_MAX: Final = 400
"""Longest gap between active days that is counted separately."""

CURRENCIES_MAX: Final = 50
"""Currencies that are counted separately."""

_FAMILIES: Final = frozenset({"commerce", "subscription", "payment", "support"})
_AMOUNTS: Final = ("mrr", "revenue", "total", "amount", "value")
_OBJECT_KEYS: Final[dict[str, Callable[[dict[str, Any]], int]]] = {
    "Subscription": subscription_key,
    "Order": order_key,
    "Ticket": ticket_key,
}

CANCELLATION: Final = "Subscription Cancelled"


class Occurrence(NamedTuple):
    """How often something occurs, and the number of the first such line."""

    times: int
    line: int


class Tally(dict[str, Occurrence]):
    """Occurrences by key; keys above a limit are counted together under `OTHERS`.

    >>> tally = Tally(limit=1)
    >>> for line, key in enumerate("aaba", 1): tally.add(key, line)
    >>> dict(tally)
    {'a': Occurrence(times=3, line=1), '(others)': Occurrence(times=1, line=3)}
    """

    OTHERS: Final = "(others)"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def add(self, key: str, line: int) -> None:
        """Count one occurrence."""
        known = self.get(key)
        if known is None and len(self) >= self.limit:
            key = self.OTHERS
            known = self.get(key)
        self[key] = Occurrence(1, line) if known is None else Occurrence(known.times + 1, known.line)

    @property
    def total(self) -> int:
        """All occurrences."""
        return sum(each.times for each in self.values())

    def most_frequent(self, count: int) -> list[tuple[str, Occurrence]]:
        """The keys with most occurrences; of equal counts, the first in the log."""
        return sorted(self.items(), key=lambda item: (-item[1].times, item[1].line))[:count]


class LogCensus:
    """Counts of a log, line by line.

    Attributes:
        lines: Lines that are not empty.
        events: Lines that are valid events.
        rejected: Other lines by reason.
        known: Events of names that the taxonomy lists.
        passive: Events of other names that are not engagement.
        unknown: Events of other names, which count as engagement.
        customers, visitors: Number of different userIds and of different anonymousIds, as hashes.
        accounts: Different `groupId`s.
        first_ms, last_ms: Earliest and latest event time.
        without_id: Events without an id, which makes retries count twice.
        duplicates: Events with an id that one of the newest `IDS_REMEMBERED` had.
        objects: Events about a subscription, an order or a ticket, by that word.
        without_object: Those of them that do not state which one.
        currencies: Amounts by currency, "" if none is stated.
        reasons: Cancellations by the text of their `reason`, "" without one.
        gaps: Gaps between days with engagement of one customer, by length in days; the last counts all longer ones.
    """

    def __init__(self) -> None:
        self.lines = self.events = self.without_id = self.duplicates = 0
        self.rejected = Tally(100)
        self.known = Tally(len(MEANINGS))
        self.passive = Tally(NAMES_MAX)
        self.unknown = Tally(NAMES_MAX)
        self.first_ms, self.last_ms = NEVER_MS, 0
        self.objects = Tally(len(_OBJECT_KEYS))
        self.without_object = Tally(len(_OBJECT_KEYS))
        self.currencies = Tally(CURRENCIES_MAX)
        self.reasons = Tally(REASONS_MAX)
        self.gaps = [0] * (GAP_DAYS_MAX + 1)
        self._active_day: dict[int, int] = {}
        self._customers: set[int] = set()
        self._visitors: set[int] = set()
        self._accounts: set[int] = set()
        self._ids: set[tuple[int, str]] = set()
        self._newest_ids: deque[tuple[int, str]] = deque()

    def add(self, line: int, found: Event | Rejected) -> None:
        """Count a decoded line."""
        self.lines += 1
        if isinstance(found, Rejected):
            self.rejected.add(found.reason, line)
            return
        self.events += 1
        name, at = found.name, found.time_ms
        self.first_ms, self.last_ms = min(self.first_ms, at), max(self.last_ms, at)
        engaged = meaning_of(found).engaged
        if name in MEANINGS:
            self.known.add(name, line)
        else:
            (self.unknown if engaged else self.passive).add(name, line)
        if engaged and not found.automated:
            self._count_gap(hash(found.customer), at // DAY_MS)
        self._count_object(found, line)
        if name == CANCELLATION:
            self.reasons.add(text(found.properties.get("reason"), 100) or "", line)
        (self._visitors if found.anonymous else self._customers).add(hash(found.customer))
        if found.group is not None:
            self._accounts.add(hash(found.group))
        self._count_id(found)

    def _count_object(self, event: Event, line: int) -> None:
        if event.name not in MEANINGS or MEANINGS[event.name].family not in _FAMILIES:
            return
        key_of = _OBJECT_KEYS.get(kind := event.name.split(" ", 1)[0])
        if key_of is not None:
            self.objects.add(kind, line)
            if not key_of(event.properties):
                self.without_object.add(kind, line)
        money = read_money(event.properties, _AMOUNTS)
        if money.amount is not None:
            self.currencies.add(money.currency, line)

    def _count_gap(self, customer: int, day: int) -> None:
        before = self._active_day.get(customer)
        if before is None or day > before:
            self._active_day[customer] = day
            if before is not None:
                self.gaps[min(day - before, GAP_DAYS_MAX)] += 1

    def _count_id(self, event: Event) -> None:
        if not event.id_hash:
            self.without_id += 1
            return
        key = event.id_hash, event.customer
        if key in self._ids:
            self.duplicates += 1
            return
        self._ids.add(key)
        self._newest_ids.append(key)
        if len(self._newest_ids) > IDS_REMEMBERED:
            self._ids.discard(self._newest_ids.popleft())

    @property
    def customers(self) -> int:
        """Number of different userIds."""
        return len(self._customers)

    @property
    def visitors(self) -> int:
        """Number of different anonymousIds of events without a userId."""
        return len(self._visitors)

    @property
    def accounts(self) -> int:
        """Number of different groupIds."""
        return len(self._accounts)
