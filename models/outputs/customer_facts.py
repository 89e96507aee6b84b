"""The customer behind a score: identity, stage and recent activity."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from models.duration import DAY_MS, rfc3339
from models.profile.mergeable import DAY_BINS
from models.profile.schema import NEVER_MS
from models.profile.subscription import SubscriptionState, plan_of
from models.profile.view import ProfileView

STRIP_DAYS: Final = 90
ONBOARDING_DAYS: Final = 180  # a customer who skipped a step half a year ago is not onboarding any more

_NO_SUBSCRIPTION: Final = SubscriptionState(None)
_EMPTY_STRIP: Final = b"[" + b",".join([b"0"] * STRIP_DAYS) + b"]"
_MORE: Final = b"+"
_DIGITS: Final = b"0123456789" + _MORE * 246  # of each byte
_encode: Final = msgspec.json.Encoder().encode


class CustomerFacts(msgspec.Struct, gc=False, frozen=True):
    """The customer without personal data: ids and group names as published by the application."""

    id: str
    account: str | None
    segment: str | None
    plan: str | None
    stage: str
    tenure_days: float
    consent: bool | None = None


class Activity(msgspec.Struct, gc=False, frozen=True):
    """Engagement events per day for the last 90 days, oldest first; the last day is `until`."""

    until: str
    counts: msgspec.Raw


def stage(profile_view: ProfileView, at_ms: int) -> str:
    """The customer's stage: churned, cancelling, paused, trial, onboarding, active or lapsed."""
    part = profile_view.subscription
    state = _NO_SUBSCRIPTION if part is None else SubscriptionState(part)
    if state.started and not state.active:
        return "churned"
    if state.cancel_scheduled:
        return "cancelling"
    if state.paused:
        return "paused"
    if part is not None and part.trial_end is not None and part.trial_end[2] > at_ms:
        return "trial"
    journey = profile_view.journey
    new = at_ms - profile_view.first_ms <= ONBOARDING_DAYS * DAY_MS
    if new and journey is not None and journey.steps and journey.onboarded_ms == NEVER_MS:
        return "onboarding"
    return "active" if at_ms - profile_view.engaged_ms <= STRIP_DAYS * DAY_MS else "lapsed"


def customer_facts(customer: str, profile_view: ProfileView, at_ms: int) -> CustomerFacts:
    """The customer as of a time."""
    identity = profile_view.identity
    account = segment = consent = None
    plan = plan_of(identity, profile_view.subscription) or None
    if identity is not None:
        if identity.account is not None:
            account = identity.account[2]
        if identity.segment is not None:
            segment = identity.segment[2]
        if identity.consent is not None:
            consent = bool(identity.consent[2])
    tenure = max(at_ms - profile_view.first_ms, 0) / DAY_MS
    return CustomerFacts(customer, account, segment, plan, stage(profile_view, at_ms), round(tenure, 2), consent)


def activity(profile_view: ProfileView, at_ms: int) -> Activity:
    """The strip that ends on the day of `at_ms`, which must not lie before the profile's newest event."""
    today, newest = at_ms // DAY_MS, profile_view.newest_ms // DAY_MS
    row = profile_view.days
    ahead = today - newest
    if not row or ahead >= STRIP_DAYS:
        return Activity(_date(today), msgspec.Raw(_EMPTY_STRIP))
    start = (newest + 1) % DAY_BINS
    strip = (row[start:] + row[:start] + bytes(ahead))[-STRIP_DAYS:]
    carry = profile_view.carry
    if carry:
        high = (carry[start:] + carry[:start] + bytes(ahead))[-STRIP_DAYS:]
        return Activity(_date(today), msgspec.Raw(_encode([low + 256 * n for low, n in zip(strip, high, strict=True)])))
    digits = strip.translate(_DIGITS)
    if _MORE in digits:
        return Activity(_date(today), msgspec.Raw(_encode(list(strip))))
    # most days have fewer than ten events: their digits are inserted into a prepared text of brackets and commas
    text = bytearray(_EMPTY_STRIP)
    text[1::2] = digits
    return Activity(_date(today), msgspec.Raw(text))


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return rfc3339(day * DAY_MS)[:10]
