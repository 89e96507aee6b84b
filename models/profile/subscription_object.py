"""Subscriptions with an id: each is the newest value of each property, so the order of arrival does not matter.

A customer has a bounded set of them. A subscription that leaves the set is added to `SubscriptionRest`: one that has
ended first, else the running one with the lowest price. An event of an unknown subscription, other than a start, is
taken as one of the rest, with the mean price of the rest. This depends on the order of events, and only customers with
more than `SUBSCRIPTIONS_KEPT` subscriptions need it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from msgspec.structs import replace

from models.profile.mergeable import newest
from models.profile.schema import (
    SUBSCRIPTIONS_KEPT,
    SUM_LIMIT,
    StampedNumber,
    StampedText,
    SubscriptionObject,
    SubscriptionRest,
)
from models.profile.subscription_change import (
    ALL,
    CANCEL_SCHEDULED,
    CANCEL_WITHDRAWN,
    CANCELLED,
    PAUSED,
    RESUMED,
    STARTED,
    SubscriptionChange,
)

_NO_REST: Final = SubscriptionRest()


def with_change(held: SubscriptionObject, change: SubscriptionChange) -> SubscriptionObject:
    """Apply a change. The result does not depend on the order of changes of different times or ranks."""
    at, kind, rank, price_rank = change.at_ms, change.kind, change.rank, change.price_rank
    fields: dict[str, Any] = {"last_ms": max(held.last_ms, at)}
    if kind == CANCELLED:
        fields["end"] = newest(held.end, (at, rank, change.cause))
    else:
        fields["first_ms"] = min(held.first_ms, at)
    if kind != CANCELLED or not change.key:  # an end with an id ends its own price and plan
        if change.price >= 0:
            fields["price"] = newest(held.price, (at, price_rank, change.price))
        if change.currency:
            fields["currency"] = newest(held.currency, (at, price_rank, change.currency))
        if change.plan:
            fields["plan"] = newest(held.plan, (at, price_rank, change.plan))
    if kind == STARTED:
        fields["start"] = newest(held.start, (at, rank))
    if kind in (STARTED, PAUSED, RESUMED):
        fields["pause"] = newest(held.pause, (at, rank, int(kind == PAUSED)))
    if kind in (STARTED, CANCEL_SCHEDULED, CANCEL_WITHDRAWN):
        fields["cancel"] = newest(held.cancel, (at, rank, int(kind == CANCEL_SCHEDULED)))
    if change.period_end_ms:
        fields["period_end"] = newest(held.period_end, (at, rank, change.period_end_ms))
    return replace(held, **fields)


def combined(a: SubscriptionObject, b: SubscriptionObject) -> SubscriptionObject:
    """Combine what two parts of a log know of one subscription; `b` is the later part."""
    return SubscriptionObject(
        a.key or b.key,
        min(a.first_ms, b.first_ms),
        max(a.last_ms, b.last_ms),
        *(newest(getattr(a, name), getattr(b, name)) for name in SubscriptionObject.__struct_fields__[3:]),
    )


def is_running(held: SubscriptionObject) -> bool:
    """Whether it runs: it has never ended, or has started again after its end. Other changes do not reopen it.

    Without an id, an end and a start of one time are two subscriptions: the second one runs.
    """
    if held.end is None or held.start is None:
        return held.end is None
    return held.start > held.end[:2] or (not held.key and held.start[0] == held.end[0])


def after_switch(held: SubscriptionObject) -> SubscriptionObject:
    """Order the start of a subscription without an id after the end of the same time, as it has been found to run."""
    if held.start is None or held.end is None or held.start[0] != held.end[0]:
        return held
    return replace(held, start=(held.end[0], held.end[1] + 1))


def since_ms(held: SubscriptionObject) -> int:
    """Start of its newest run: the earliest evidence, or the newest start if it has ended."""
    return held.first_ms if held.end is None or held.start is None else held.start[0]


def is_paused(held: SubscriptionObject) -> bool:
    """Whether it runs and is paused. A start ends a pause."""
    return held.pause is not None and held.pause[2] > 0 and is_running(held)


def is_scheduled_to_end(held: SubscriptionObject) -> bool:
    """Whether it runs and its cancellation is scheduled. A start withdraws it."""
    return held.cancel is not None and held.cancel[2] > 0 and is_running(held)


def runs_at(held: SubscriptionObject, at_ms: int) -> bool:
    """Whether its newest run includes a time. An end does not belong to the run."""
    return since_ms(held) <= at_ms and (is_running(held) or (held.end is not None and at_ms < held.end[0]))


def apply_object_change(
    objects: list[SubscriptionObject], rest: SubscriptionRest | None, change: SubscriptionChange
) -> SubscriptionRest | None:
    """Apply a change to the set, which changes in place, and return the new sum of what left it."""
    if change.key == ALL:
        objects[:] = [with_change(held, change) if is_running(held) else held for held in objects]
        return None
    key = change.key
    index = bisect_left(objects, key, key=_key)
    if index < len(objects) and objects[index].key == key:
        objects[index] = with_change(objects[index], change)
        return rest
    if len(objects) < SUBSCRIPTIONS_KEPT:
        objects.insert(index, with_change(SubscriptionObject(key), change))
        return rest
    rest = rest or _NO_REST
    unseen = SubscriptionObject(key)
    if rest.running and change.kind != STARTED:
        share = rest.price // rest.running
        rest = replace(rest, running=rest.running - 1, price=rest.price - share)
        unseen = SubscriptionObject(key, price=(0, 0, share), currency=(0, 0, rest.currency) if rest.currency else None)
    if change.kind == CANCELLED:
        return replace(rest, ended=rest.ended + 1)
    objects.insert(index, with_change(unseen, change))
    return _shrink(objects, rest, key)


def merge_objects(
    a: list[SubscriptionObject], b: list[SubscriptionObject], rest: SubscriptionRest | None
) -> tuple[list[SubscriptionObject], SubscriptionRest | None]:
    """Merge the sets of two parts of a log; `b` is the later part, `rest` the sum of what left both."""
    merged = {held.key: held for held in a}
    for held in b:
        merged[held.key] = combined(merged[held.key], held) if held.key in merged else held
    objects = [merged[key] for key in sorted(merged)]
    while len(objects) > SUBSCRIPTIONS_KEPT:
        rest = _shrink(objects, rest or _NO_REST, ALL)
    return objects, rest


def merge_rest(a: SubscriptionRest | None, b: SubscriptionRest | None) -> SubscriptionRest | None:
    """Add up what left the sets of two parts of a log. Money in a second currency is not added."""
    if a is None or b is None:
        return b if a is None else a
    code = a.currency or b.currency
    price = a.price + (b.price if b.currency in ("", code) else 0)
    return SubscriptionRest(a.running + b.running, min(price, SUM_LIMIT), code, a.ended + b.ended)


def _shrink(objects: list[SubscriptionObject], rest: SubscriptionRest, newest_key: int) -> SubscriptionRest:
    """Remove one subscription of a full set and add it to the rest."""
    leaving = min((held for held in objects if held.key != newest_key), key=_leaves_first)
    objects.remove(leaving)
    if not is_running(leaving):
        return replace(rest, ended=rest.ended + 1)
    code = text_of(leaving.currency)
    price = 0 if leaving.price is None or is_paused(leaving) else leaving.price[2]
    if code and rest.currency and code != rest.currency:
        price = 0
    total = min(rest.price + price, SUM_LIMIT)
    return replace(rest, running=rest.running + 1, price=total, currency=rest.currency or code)


def _leaves_first(held: SubscriptionObject) -> tuple[bool, int, int, int]:
    if held.end is not None and not is_running(held):
        return False, held.end[0], 0, held.key
    return True, number_of(held.price), held.last_ms, held.key


def _key(held: SubscriptionObject) -> int:
    return held.key


def number_of(stamped: StampedNumber | None) -> int:
    """The number of a stamped value, 0 for none."""
    return 0 if stamped is None else stamped[2]


def text_of(stamped: StampedText | None) -> str:
    """The text of a stamped value, empty for none."""
    return "" if stamped is None else stamped[2]


__all__ = [
    "after_switch",
    "apply_object_change",
    "combined",
    "is_paused",
    "is_running",
    "is_scheduled_to_end",
    "merge_objects",
    "merge_rest",
    "number_of",
    "runs_at",
    "since_ms",
    "text_of",
    "with_change",
]
