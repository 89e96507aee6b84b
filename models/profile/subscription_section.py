"""Add changes to a profile's section of subscriptions, and keep its lists bounded."""

from __future__ import annotations

from bisect import insort

from models.profile.mergeable import newest
from models.profile.schema import (
    OBJECT_CHANGES,
    SUBSCRIPTION_LOG,
    LoggedChange,
    ObjectChange,
    Subscription,
    SubscriptionObject,
)
from models.profile.subscription_change import (
    CANCELLED,
    DOWNGRADED,
    RANK,
    RENEWED,
    STARTED,
    UNSTATED,
    UPGRADED,
    SubscriptionChange,
)
from models.profile.subscription_object import apply_object_change, merge_objects, with_change

_PRICE_KINDS = frozenset({STARTED, UPGRADED, DOWNGRADED, CANCELLED})


def record_change(section: Subscription, change: SubscriptionChange) -> None:
    """Add a change to the subscription that it names, or to the one of events without an id."""
    at, kind = change.at_ms, change.kind
    if change.key:
        section.rest = apply_object_change(section.objects, section.rest, change)
        if kind in _PRICE_KINDS:
            insort(section.changes, (at, change.key, kind, change.price), key=object_order)
            del section.changes[:-OBJECT_CHANGES]
        return
    if kind == RENEWED:
        section.renewed_ms = min(section.renewed_ms, at)
    else:
        insort(section.log, (at, change.rank, kind, change.price, change.plan), key=change_order)
        if len(section.log) > SUBSCRIPTION_LOG or section.earlier is not None:
            bound_log(section)
    if change.price >= 0:
        section.mrr = newest(section.mrr, (at, change.price_rank, change.price))
    if change.currency:
        section.currency = newest(section.currency, (at, change.price_rank, change.currency))
    if change.period_end_ms:
        section.period_end = newest(section.period_end, (at, change.price_rank, change.period_end_ms))


def bound_log(section: Subscription) -> None:
    """Move the oldest changes of a log that is too long to `earlier`: whole times, because ties are ordered together.

    A change is kept if no more than the limit are as new, so the result does not depend on the order of arrival.
    """
    log, earlier = section.log, section.earlier
    floor = 0 if earlier is None else earlier.last_ms
    if len(log) > SUBSCRIPTION_LOG:
        floor = max(floor, log[-SUBSCRIPTION_LOG - 1][0])
    while log and log[0][0] <= floor:
        at, _, kind, _, plan = log.pop(0)
        earlier = with_change(earlier or SubscriptionObject(), SubscriptionChange(at, 0, kind, -1, plan, UNSTATED))
    section.earlier = earlier


def bound_objects(section: Subscription, later: Subscription) -> None:
    """Merge the subscriptions with ids of a later part of the log, whose `rest` is already part of this section's."""
    section.objects, section.rest = merge_objects(section.objects, later.objects, section.rest)


def change_order(entry: LoggedChange) -> tuple[int, int]:
    """Order of the log: time, place in the life cycle, then the position in the log of events."""
    return entry[0], RANK[entry[2]]


def object_order(entry: ObjectChange) -> tuple[int, int, int]:
    """Order of the changes of subscriptions with ids: time, subscription, place in its life cycle."""
    return entry[0], entry[1], RANK[entry[2]]
