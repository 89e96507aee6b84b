"""The state of a customer's subscriptions after their changes.

There are two rules:

without ids   A customer has one subscription, and its changes are applied in order of time. A start while it is active
              changes nothing. After an end, only a start reopens it.
with ids      Each subscription is an object (`models.profile.subscription_object`). The customer is subscribed while
              one of them runs; see `models.profile.subscription_holdings`.

A customer with events of both kinds has the subscriptions with ids. If there is exactly one, events without an id are
about it; if there are several, it is unknown which one they are about, and they change none.
"""

from __future__ import annotations

from msgspec.structs import replace

from models.profile.schema import NEVER_MS, Identity, Subscription, SubscriptionObject
from models.profile.subscription_change import (
    CANCEL_SCHEDULED,
    CANCEL_WITHDRAWN,
    CANCELLED,
    DOWNGRADED,
    PAUSED,
    RANK,
    RESUMED,
    STARTED,
    UNSTATED,
    SubscriptionChange,
)
from models.profile.subscription_holdings import Holdings, price_at
from models.profile.subscription_object import (
    after_switch,
    combined,
    is_paused,
    is_running,
    is_scheduled_to_end,
    since_ms,
    with_change,
)


class SubscriptionState:
    """The state of a customer's subscriptions.

    Attributes:
        started: Whether any event showed a subscription.
        active: Whether at least one runs.
        paused: Whether all that run are paused.
        cancel_scheduled: Whether the cancellation of all that run is scheduled.
        since_ms: Since when at least one has been running without a gap.
        ended_ms: Time of the newest end.
    """

    __slots__ = ("active", "cancel_scheduled", "ended_ms", "paused", "since_ms", "started")

    def __init__(self, section: Subscription | None) -> None:
        self.started = self.active = self.paused = self.cancel_scheduled = False
        self.since_ms = self.ended_ms = 0
        if section is None:
            return
        log = section.log
        if section.objects:
            held = _only(section)
            if held is not None:
                self._of_object(held)
            else:
                self._of_holdings(holdings_of(section))
        elif len(log) == 1 and log[0][2] == STARTED and section.renewed_ms >= log[0][0]:  # most subscriptions
            self.started = self.active = True
            self.since_ms = log[0][0]
        else:
            self._of_log(section)

    def _of_object(self, held: SubscriptionObject) -> None:
        self.started, self.active = True, is_running(held)
        self.paused, self.cancel_scheduled = is_paused(held), is_scheduled_to_end(held)
        self.since_ms = since_ms(held) if self.active else 0
        self.ended_ms = 0 if held.end is None else held.end[0]

    def _of_holdings(self, held: Holdings) -> None:
        self.started, self.active = True, held.active
        self.paused, self.cancel_scheduled = held.paused, held.cancel_scheduled
        self.since_ms, self.ended_ms = held.since_ms, held.ended_ms

    def _of_log(self, section: Subscription) -> None:
        log = section.log
        self._begin(section.earlier, section.renewed_ms if not log or section.renewed_ms < log[0][0] else NEVER_MS)
        start, end = 0, len(log)
        while start < end:
            at, stop = log[start][0], start + 1
            if stop == end or log[stop][0] != at:
                self._change(at, log[start][2])
                start = stop
                continue
            while stop < end and log[stop][0] == at:
                stop += 1
            running = self.active
            kinds = [entry[2] for entry in log[start:stop]]
            for kind in sorted(kinds, key=lambda kind: 0 if running and kind == CANCELLED else RANK[kind]):
                self._change(at, kind)
            start = stop

    def _begin(self, earlier: SubscriptionObject | None, renewed_ms: int) -> None:
        """Start from the changes that left the log, and from a renewal before it. After an end, no renewal counts."""
        if earlier is not None:
            self.started, self.active = True, is_running(earlier)
            self.since_ms = since_ms(earlier) if self.active else 0
            self.ended_ms = 0 if earlier.end is None else earlier.end[0]
            self.paused, self.cancel_scheduled = is_paused(earlier), is_scheduled_to_end(earlier)
        if renewed_ms < NEVER_MS and not self.ended_ms:
            self.started = self.active = True
            self.since_ms = min(self.since_ms or renewed_ms, renewed_ms)

    def _change(self, at: int, kind: int) -> None:
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


def holdings_of(section: Subscription) -> Holdings:
    """The subscriptions with ids of a customer who has at least one."""
    held = _only(section)
    return Holdings(section.objects if held is None else [held], section.rest)


def _only(section: Subscription) -> SubscriptionObject | None:
    """The subscription of a customer with exactly one id, with the events that carry no id; None for several ids."""
    if len(section.objects) != 1 or section.rest is not None:
        return None
    held = section.objects[0]
    if section.log or section.renewed_ms < NEVER_MS:
        return combined(_without_id(section), held)
    return held


def _without_id(section: Subscription) -> SubscriptionObject:
    """The subscription that events without an id are about, as an object."""
    held = section.earlier or SubscriptionObject()
    for at, _, kind, _, plan in section.log:
        held = with_change(held, SubscriptionChange(at, 0, kind, -1, plan, UNSTATED))
    held = replace(held, first_ms=min(held.first_ms, section.renewed_ms))
    state = SubscriptionState(Subscription(log=section.log, earlier=section.earlier, renewed_ms=section.renewed_ms))
    held = after_switch(held) if state.active else held
    return replace(held, price=section.mrr, currency=section.currency, period_end=section.period_end)


def plan_of(identity: Identity | None, section: Subscription | None) -> str:
    """The customer's plan, empty if unknown: of the subscription with the highest price, or a newer one of the traits.

    >>> plan_of(Identity(plan=(5, 0, "pro")), None)
    'pro'
    """
    stated = None if identity is None else identity.plan
    if section is None or not section.objects:
        return "" if stated is None else stated[2]
    main = _only(section) or holdings_of(section).main
    own = None if main is None else main.plan
    if own is None or (stated is not None and stated[:2] > own[:2]):
        return "" if stated is None else stated[2]
    return own[2]


def prices_of(section: Subscription | None) -> tuple[int | None, int | None]:
    """The price and the MRR of a customer's subscriptions in minor units a month; None if unknown.

    The price includes paused subscriptions, and is the newest known one after the end. The MRR is what the retention
    accounting counts: the sum of those that run and are not paused.
    """
    if section is not None and section.objects:
        only = _only(section)
        if only is not None:
            price = None if only.price is None else only.price[2]
            return price, price if price is None or (is_running(only) and not is_paused(only)) else 0
        held = holdings_of(section)
        return held.price, held.mrr
    if section is None or section.mrr is None:
        return None, None
    state = SubscriptionState(section)
    return section.mrr[2], section.mrr[2] if state.active and not state.paused else 0


def currency_code(section: Subscription) -> str:
    """The currency of `prices_of`, empty if unknown."""
    if section.objects:
        return holdings_of(section).currency
    return "" if section.currency is None else section.currency[2]


def other_currencies(section: Subscription) -> int:
    """Number of subscriptions that run in other currencies than `currency_code`, which `prices_of` leaves out."""
    return holdings_of(section).elsewhere if section.objects else 0


def contractions(section: Subscription) -> list[int]:
    """Times of the known downgrades, and of the ends of subscriptions while another one ran."""
    times = [at for at, _, kind, _, _ in section.log if kind == DOWNGRADED]
    if not section.objects:
        return times
    held = holdings_of(section)
    times += [at for at, _, kind, _ in section.changes if kind == DOWNGRADED]
    times += [at for at, _, kind, _ in section.changes if kind == CANCELLED and held.runs_at(at)]
    return times


def earlier_price(section: Subscription, at_ms: int) -> int | None:
    """The price of a customer's subscriptions with ids at a time, or when they began if that was later."""
    held = holdings_of(section)
    if not held.active:
        return held.price
    return price_at(held, section.changes, max(at_ms, held.since_ms))


def lost_at(section: Subscription | None, at_ms: int, kind: int) -> int:
    """When the customer was lost, for an event that has just been applied: an end, or a scheduled end; 0 if not lost.

    A customer is lost when the last of their subscriptions ends. An event without an id that ends the only one is a
    loss, unless another one starts at the same time.
    """
    if section is None or not section.objects:
        return 0 if section is not None and kind == CANCELLED and is_switch(section, at_ms) else at_ms
    held = holdings_of(section)
    if kind != CANCELLED:
        return at_ms if held.cancel_scheduled or not held.active else 0
    return held.gap_after(at_ms)


def is_switch(section: Subscription, at_ms: int) -> bool:
    """Whether events without an id ended a subscription and started another one at the same time."""
    if not any(entry[0] == at_ms and entry[2] == CANCELLED for entry in section.log):
        return False
    state = SubscriptionState(section)
    return state.active and state.since_ms == at_ms


def ran_at(section: Subscription, at_ms: int) -> bool:
    """Whether the customer had a subscription at a time and after it, as far as it is known now."""
    return holdings_of(section).runs_at(at_ms) if section.objects else is_switch(section, at_ms)


__all__ = [
    "SubscriptionState",
    "contractions",
    "currency_code",
    "earlier_price",
    "holdings_of",
    "is_switch",
    "lost_at",
    "other_currencies",
    "plan_of",
    "prices_of",
    "ran_at",
]
