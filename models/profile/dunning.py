"""How a customer's payments stand: dunning, since when, and how often a failed payment came in after all.

The beginning of dunning is the first failed payment after the last one that settled, to the day: it is read off the
bins in which failures are counted anyway, so that applying events in another order changes nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.duration import rfc3339
from models.events.taxonomy import COUNTER_INDEX
from models.profile.mergeable import DAY_BINS, DAY_MS
from models.profile.schema import Profile

FAILED: Final = COUNTER_INDEX["payment_failed"]
RECOVERED: Final = COUNTER_INDEX["payment_recovered"]


class Dunning(msgspec.Struct, gc=False, frozen=True):
    """What a profile_view keeps of payments."""

    newest_ms: int  # the present that the bins are relative to
    settled_ms: int
    failed_ms: int
    card_expires_ms: int | None
    days: bytes  # failed payments in the bins of days, empty for none in reach
    failed: int
    recovered: int

    @classmethod
    def of(cls, profile: Profile) -> Dunning | None:
        """As the profile is now; None for somebody without a payment or card."""
        part = profile.payments
        if part is None:
            return None
        days, totals = profile.bins.get(FAILED), profile.totals
        return cls(
            profile.newest_ms,
            part.settled_ms,
            part.failed_ms,
            None if part.card_expires is None else part.card_expires[2],
            b"" if days is None else bytes(days[:DAY_BINS]),
            totals.get(FAILED, 0),
            totals.get(RECOVERED, 0),
        )


class PaymentFacts(msgspec.Struct, gc=False, frozen=True):
    """How payments stand, for those who read a score."""

    dunning_since: str | None  # None: the last payment did not fail
    dunning_days: int | None
    failed: int
    recovered: int
    recovered_rate: float | None
    card_expires_in_days: float | None


def payment_facts(dunning: Dunning | None, at_ms: int) -> PaymentFacts | None:
    """As of a time; None where nothing is known of payments."""
    if dunning is None:
        return None
    since = _since_day(dunning)
    expires = dunning.card_expires_ms
    return PaymentFacts(
        None if since is None else rfc3339(since * DAY_MS)[:10],
        None if since is None else max(at_ms // DAY_MS - since, 0),
        dunning.failed,
        dunning.recovered,
        round(min(dunning.recovered / dunning.failed, 1.0), 4) if dunning.failed else None,
        None if expires is None else round((expires - at_ms) / DAY_MS, 2),
    )


def unpaid_days(dunning: Dunning | None, at_ms: int) -> float:
    """Days since the first failure of the payment that is unpaid, as of a time; NaN where none is."""
    since = None if dunning is None else _since_day(dunning)
    return float("nan") if since is None else float(max(at_ms // DAY_MS - since, 0))


def _since_day(dunning: Dunning) -> int | None:
    """The day (since 1970) of the first failure after the last settled payment; None while nothing is open.

    A failure on the very day on which a payment settled may have come before it, and counts only if it is the newest.
    """
    if dunning.failed_ms <= dunning.settled_ms:
        return None
    today, settled = dunning.newest_ms // DAY_MS, dunning.settled_ms // DAY_MS
    first = dunning.failed_ms // DAY_MS
    days = dunning.days
    if days:
        for day in range(max(settled + 1, today - DAY_BINS + 1), first):
            if days[day % DAY_BINS]:
                return day
    return first
