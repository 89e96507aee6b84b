"""Kinds of subscription changes, and the state of a subscription after them."""

from __future__ import annotations

from typing import Final

from models.profile.schema import Subscription, SubscriptionChange

# Kinds of subscription change
STARTED, UPGRADED, DOWNGRADED, PAUSED, RESUMED, CANCEL_SCHEDULED, CANCEL_WITHDRAWN, CANCELLED = range(8)
RENEWED = 8  # updates price and period only; monthly renewals would push the other changes out of the log
CHANGES: Final = {
    "Subscription Started": STARTED,
    "Subscription Renewed": RENEWED,
    "Subscription Upgraded": UPGRADED,
    "Subscription Downgraded": DOWNGRADED,
    "Subscription Paused": PAUSED,
    "Subscription Resumed": RESUMED,
    "Subscription Cancel Scheduled": CANCEL_SCHEDULED,
    "Subscription Cancel Withdrawn": CANCEL_WITHDRAWN,
    "Subscription Cancelled": CANCELLED,
}

_NO_LOG: Final[list[SubscriptionChange]] = []


class SubscriptionState:
    """The state of a subscription, computed from its newest changes.

    A start while the subscription is active changes nothing. After an end, only a start reopens it; activity does not.
    """

    __slots__ = ("active", "cancel_scheduled", "ended_ms", "paused", "since_ms", "started")

    def __init__(self, section: Subscription | None) -> None:
        log = _NO_LOG if section is None else section.log
        if len(log) == 1 and log[0][2] == STARTED:  # fast path for most subscriptions
            self.started = self.active = True
            self.paused = self.cancel_scheduled = False
            self.since_ms, self.ended_ms = log[0][0], 0
            return
        self.started = self.active = self.paused = self.cancel_scheduled = False
        self.since_ms = self.ended_ms = 0
        for at, _, kind, _, _ in log:
            if kind == CANCELLED:
                self.active, self.started, self.ended_ms = False, True, at
                self.paused = self.cancel_scheduled = False
            elif kind == STARTED or not self.started:
                if not self.active:
                    self.since_ms = at
                self.active = self.started = True
            if kind in (PAUSED, RESUMED):
                self.paused = kind == PAUSED and self.active
            elif kind in (CANCEL_SCHEDULED, CANCEL_WITHDRAWN):
                self.cancel_scheduled = kind == CANCEL_SCHEDULED and self.active
