"""Rows of a batch before they become arrays: the values that features read, copied from each profile once.

Reading thousands of profiles again for each feature would cost more than computing the features, because each small
object would be loaded from main memory again.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from models.features.section_values import READERS
from models.profile.schema import NEVER_MS, Profile
from models.profile.subscription_change import STARTED

PLAIN: Final = 9  # numbers per row in `RowBuffer.plain`
_PLAIN: Final = Struct(f"={PLAIN}q")


class SectionColumn:
    """One section of all profiles: the rows that have it, and its values, read once for all rows that share it.

    Attributes:
        rows: Rows that have the section.
        indexes: For each of these rows, the index of its section in `sections`.
        sections: The sections themselves, for values that depend on the scoring time.
        values: The values of each section (`models.features.section_values`), one section after the other.
        width: Number of values per section.
    """

    __slots__ = ("_read", "indexes", "rows", "sections", "values", "width")

    def __init__(self, name: str) -> None:
        self.width, self._read = READERS[name]
        self.rows: list[int] = []
        self.indexes: list[int] = []
        self.sections: list[Any] = []
        self.values: list[float] = []

    def add(self, row: int, section: Any) -> None:
        """Add a row's section. Rows of one customer are consecutive, and most share one section."""
        sections = self.sections
        if not sections or sections[-1] is not section:
            sections.append(section)
            self.values += self._read(section)
        self.rows.append(row)
        self.indexes.append(len(sections) - 1)


class RowBuffer:
    """Rows in the order in which they were added.

    Attributes:
        n: Number of rows.
        plain: Nine int64 per row: scoring time, newest, engaged, first and first engaged event; start of a subscription
            with no other data, else NEVER_MS; number of entries in `bins`, `totals` and `used`.
        days: The bitmap of active days of each row.
        counters, bins: Number and bins of each counter with bins.
        totalled, totals: Number and total of each counter with a total.
        used: Days of last use of product features.
        sections: Rows and values of each section by name. The added sections must not change any more.
    """

    __slots__ = ("bins", "counters", "days", "n", "plain", "sections", "totalled", "totals", "used")

    def __init__(self) -> None:
        self.n = 0
        self.plain = bytearray()
        self.days = bytearray()
        self.counters: list[int] = []
        self.bins = bytearray()
        self.totalled: list[int] = []
        self.totals: list[int] = []
        self.used: list[int] = []
        self.sections = {name: SectionColumn(name) for name in READERS}

    def add(self, profile: Profile, now_ms: int) -> None:
        """Add a row: the profile as it is now, scored as of `now_ms`."""
        p, row = profile, self.n
        self.n = row + 1
        bins, totals, used = p.bins, p.totals, p.used
        if bins:
            self.counters += bins
            self.bins += b"".join(bins.values())
        if totals:
            self.totalled += totals
            self.totals += totals.values()
        if used:
            self.used += used.values()
        self.days += p.days
        started_ms = NEVER_MS
        subscription = p.subscription
        if subscription is not None:
            log = subscription.log
            if (
                len(log) == 1
                and log[0][2] == STARTED
                and not subscription.objects
                and subscription.renewed_ms >= log[0][0]
                and subscription.mrr
                is subscription.period_end
                is subscription.trial_end
                is subscription.renewal_due
                is None
            ):
                started_ms = log[0][0]
            else:
                self.sections["subscription"].add(row, subscription)
        identity = p.identity
        if identity is not None and (identity.referred or identity.subscribed is not None):
            self.sections["identity"].add(row, identity)
        if p.journey is not None:
            self.sections["journey"].add(row, p.journey)
        if p.commerce is not None:
            self.sections["commerce"].add(row, p.commerce)
        if p.payments is not None:
            self.sections["payments"].add(row, p.payments)
        if p.feedback is not None:
            self.sections["feedback"].add(row, p.feedback)
        self.plain += _PLAIN.pack(
            now_ms,
            p.newest_ms,
            p.engaged_ms,
            p.first_ms,
            p.first_engaged_ms,
            started_ms,
            len(bins),
            len(totals),
            len(used),
        )
