"""What features read of profiles, copied out of each while it is at hand: rows of a batch before they are arrays.

Going through thousands of profiles again, feature by feature, would cost more than computing the features: each of
their small parts would have to come from main memory once more.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from models.effects import STARTED
from models.profile import Profile

_PLAIN = Struct("=6q")


class Gathered:
    """Rows in the order in which they were added.

    Attributes:
        n: Number of rows.
        plain: Six int64 a row: now, newest, first engaged ... see `add`.
        days: The bitmap of active days of each row.
        bins: For each counter, the rows that have it and their bins.
        started: Rows whose subscription started and no more is known of it, and when it did.
        parts: For each other part that says anything of use of a profile, rows and parts, which must no longer
            change.
        totals, used: Number of entries of each row, and the entries of all: counters, counts; days of last use.
    """

    __slots__ = ("bins", "days", "n", "parts", "plain", "started", "totals", "used")

    def __init__(self) -> None:
        self.n = 0
        self.plain = bytearray()
        self.days = bytearray()
        self.bins: dict[int, tuple[list[int], bytearray]] = {}
        self.parts: dict[str, tuple[list[int], list[Any]]] = {
            name: ([], []) for name in ("commerce", "subscription", "payments", "voice", "identity", "journey")
        }
        self.started: tuple[list[int], list[int]] = [], []
        self.totals: tuple[list[int], list[int], list[int]] = [], [], []
        self.used: tuple[list[int], list[int]] = [], []

    def add(self, profile: Profile, now_ms: int) -> None:
        """Takes a row: the profile as it is now, looked at as of `now_ms`."""
        p, row = profile, self.n
        self.n = row + 1
        self.plain += _PLAIN.pack(now_ms, p.newest_ms, p.engaged_ms, p.first_ms, p.first_engaged_ms, p.older_days)
        self.days += p.days
        bins = self.bins
        for counter, counts in p.bins.items():
            found = bins.get(counter)
            if found is None:
                found = bins[counter] = [], bytearray()
            rows, raw = found
            rows.append(row)
            raw += counts
        lengths, counters, values = self.totals
        lengths.append(len(p.totals))
        counters += p.totals
        values += p.totals.values()
        lengths, values = self.used
        lengths.append(len(p.used))
        values += p.used.values()
        part = p.subscription
        if part is not None:
            log = part.log
            if (
                len(log) == 1
                and log[0][2] == STARTED
                and part.mrr is part.period_end is part.trial_end is part.renewal_due is None
            ):
                self.started[0].append(row)
                self.started[1].append(log[0][0])
            else:
                self._part("subscription", row, part)
        if p.identity is not None and (p.identity.referred or p.identity.subscribed is not None):
            self._part("identity", row, p.identity)
        if p.journey is not None:
            self._part("journey", row, p.journey)
        if p.commerce is not None:
            self._part("commerce", row, p.commerce)
        if p.payments is not None:
            self._part("payments", row, p.payments)
        if p.voice is not None:
            self._part("voice", row, p.voice)

    def _part(self, name: str, row: int, part: Any) -> None:
        rows, parts = self.parts[name]
        rows.append(row)
        parts.append(part)
