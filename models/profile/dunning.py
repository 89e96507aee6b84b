"""Payment state of a customer: whether dunning is open, since which day, and how many failed payments recovered.

Dunning starts with the first failed payment after the last settled payment, at the resolution of a day. The day is read
from the day bins of the failure counter, so the order of events does not matter.
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
    """The payment state that a `ProfileView` captures."""

    newest_ms: int  # time that the bins are relative to
    settled_ms: int
    failed_ms: int
    card_expires_ms: int | None
    days: bytes  # day bins of failed payments, empty for none
    failed: int
    recovered: int

    @classmethod
    def of(cls, profile: Profile) -> Dunning | None:
        """Capture the payment state of a profile; None for a customer without a payment or card."""
        payments = profile.payments
        if payments is None:
            return None
        days, totals = profile.bins.get(FAILED), profile.totals
        return cls(
            newest_ms=profile.newest_ms,
            settled_ms=payments.settled_ms,
            failed_ms=payments.failed_ms,
            card_expires_ms=None if payments.card_expires is None else payments.card_expires[2],
            days=b"" if days is None else bytes(days[:DAY_BINS]),
            failed=totals.get(FAILED, 0),
            recovered=totals.get(RECOVERED, 0),
        )


class PaymentFacts(msgspec.Struct, gc=False, frozen=True):
    """The payment state as published with a score."""

    dunning_since: str | None  # None: the last payment did not fail
    dunning_days: int | None
    failed: int
    recovered: int
    recovered_rate: float | None
    card_expires_in_days: float | None


def payment_facts(dunning: Dunning | None, at_ms: int) -> PaymentFacts | None:
    """Return the payment state as of a time; None if no payment data exists."""
    if dunning is None:
        return None
    since = _since_day(dunning)
    expires = dunning.card_expires_ms
    return PaymentFacts(
        dunning_since=None if since is None else rfc3339(since * DAY_MS)[:10],
        dunning_days=None if since is None else max(at_ms // DAY_MS - since, 0),
        failed=dunning.failed,
        recovered=dunning.recovered,
        recovered_rate=round(min(dunning.recovered / dunning.failed, 1.0), 4) if dunning.failed else None,
        card_expires_in_days=None if expires is None else round((expires - at_ms) / DAY_MS, 2),
    )


def unpaid_days(dunning: Dunning | None, at_ms: int) -> float:
    """Days since the first failure of the payment that is unpaid, as of a time; NaN where none is."""
    since = None if dunning is None else _since_day(dunning)
    return float("nan") if since is None else float(max(at_ms // DAY_MS - since, 0))


def _since_day(dunning: Dunning) -> int | None:
    """Return the day (since 1970) of the first failure after the last settled payment; None if dunning is not open.

    A failure on the day of a settled payment may precede it, and counts only if it is the newest failure.
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
