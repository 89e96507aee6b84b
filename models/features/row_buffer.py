"""What features read of profiles, copied out of each while it is at hand: rows of a batch before they are arrays.

Going through thousands of profiles again, feature by feature, would cost more than computing the features: each of
their small parts would have to come from main memory once more.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from models.features.section_values import READERS
from models.profile.schema import NEVER_MS, Profile
from models.profile.subscription import STARTED

PLAIN: Final = 9  # numbers of a row in `RowBuffer.plain`
_PLAIN: Final = Struct(f"={PLAIN}q")


class SectionColumn:
    """One kind of part of a profile: which rows have it, and what it says, read once for all rows that it was seen in.

    Attributes:
        rows: Rows that have the part.
        places: For each of them, the place of its own among the parts.
        parts: The parts themselves, for what depends on the time as of which they are looked at.
        numbers: What `models.features.section_values` says of each part, one after the other.
        width: How many numbers that is of each.
    """

    __slots__ = ("_read", "numbers", "parts", "places", "rows", "width")

    def __init__(self, name: str) -> None:
        self.width, self._read = READERS[name]
        self.rows: list[int] = []
        self.places: list[int] = []
        self.parts: list[Any] = []
        self.numbers: list[float] = []

    def add(self, row: int, part: Any) -> None:
        """Takes a row's part. Rows of one customer come one after the other, and most have the same."""
        parts = self.parts
        if not parts or parts[-1] is not part:
            parts.append(part)
            self.numbers += self._read(part)
        self.rows.append(row)
        self.places.append(len(parts) - 1)


class RowBuffer:
    """Rows in the order in which they were added.

    Attributes:
        n: Number of rows.
        plain: Nine int64 a row: now, newest, engaged, first, first engaged; when the subscription started, if no more
            is known of it, else NEVER_MS; number of entries in `bins`, `totals` and `used`.
        days: The bitmap of active days of each row.
        counters, bins: Of each counter that a row has, the number and the bins.
        totalled, totals: Of each counter that a row ever had, the number and the count.
        used: Days of last use of product features.
        parts: For each other part that says anything of use of a profile, the rows and parts, which must no longer
            change.
    """

    __slots__ = ("bins", "counters", "days", "n", "parts", "plain", "totalled", "totals", "used")

    def __init__(self) -> None:
        self.n = 0
        self.plain = bytearray()
        self.days = bytearray()
        self.counters: list[int] = []
        self.bins = bytearray()
        self.totalled: list[int] = []
        self.totals: list[int] = []
        self.used: list[int] = []
        self.parts = {name: SectionColumn(name) for name in READERS}

    def add(self, profile: Profile, now_ms: int) -> None:
        """Takes a row: the profile as it is now, looked at as of `now_ms`."""
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
        part = p.subscription
        if part is not None:
            log = part.log
            if (
                len(log) == 1
                and log[0][2] == STARTED
                and part.mrr is part.period_end is part.trial_end is part.renewal_due is None
            ):
                started_ms = log[0][0]
            else:
                self.parts["subscription"].add(row, part)
        identity = p.identity
        if identity is not None and (identity.referred or identity.subscribed is not None):
            self.parts["identity"].add(row, identity)
        if p.journey is not None:
            self.parts["journey"].add(row, p.journey)
        if p.commerce is not None:
            self.parts["commerce"].add(row, p.commerce)
        if p.payments is not None:
            self.parts["payments"].add(row, p.payments)
        if p.feedback is not None:
            self.parts["feedback"].add(row, p.feedback)
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
