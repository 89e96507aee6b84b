"""Orders with an id as objects: a bounded set of the newest ones. What leaves it is added to sums.

An order is merged from its events: the first completion places it, the newest amount counts, and partial refunds add
up. So an order that is completed twice, or refunded in four parts, is one order. Above `ORDERS_KEPT` orders, the one
whose newest event is the oldest is added to the sums of the section. The order of events does not matter while a
customer has no more than that many orders that are newer than a late event about one of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from models.profile.mergeable import BITMAP_DAYS, DAY_MS, add_sums, days_add, merge_sums, newest
from models.profile.schema import (
    CURRENCIES_KEPT,
    NEVER_MS,
    ORDERS_KEPT,
    SUM_LIMIT,
    Commerce,
    OrderObject,
    OrderSum,
    StampedMoney,
)


class OrderParts(NamedTuple):
    """What an order adds to the sums of a customer."""

    placed_ms: int
    """When it was placed; NEVER_MS for an order that only its refunds show."""
    returned: bool
    sums: list[OrderSum]


def add_order(section: Commerce, event: OrderObject) -> None:
    """Merge an event about an order, as an object of this event alone, into the set."""
    if _add(section.objects, event):
        _bound(section)


def merge_orders(section: Commerce, later: Commerce) -> None:
    """Merge the orders of a later part of the log into the section, which already has the other sums of both parts."""
    section.sums, dropped = merge_sums(section.sums, later.sums, CURRENCIES_KEPT)
    section.uncounted += dropped
    section.objects = list(section.objects)
    for order in later.objects:
        _add(section.objects, order)
    _bound(section)


def _add(objects: list[OrderObject], order: OrderObject) -> bool:
    """Combine an order with what is known of it, or insert it; returns whether it is new."""
    index = _index(objects, order.key)
    if index < len(objects) and objects[index].key == order.key:
        objects[index] = combine_orders(objects[index], order)
        return False
    objects.insert(index, order)
    return True


def combine_orders(a: OrderObject, b: OrderObject) -> OrderObject:
    """Combine what two parts of a log show of one order; `b` is the later part."""
    refunded = merge_sums(a.refunded, b.refunded, CURRENCIES_KEPT)[0] if a.refunded and b.refunded else None
    return OrderObject(
        a.key,
        max(a.newest_ms, b.newest_ms),
        min(a.placed_ms, b.placed_ms),
        min(a.shown_ms, b.shown_ms),
        newest(a.amount, b.amount),
        refunded if refunded is not None else a.refunded or b.refunded,
        a.reversed or b.reversed,
        a.returned or b.returned,
    )


def parts_of(order: OrderObject) -> OrderParts:
    """Compute what an order adds to the sums. No more is refunded of an order than its amount."""
    placed_ms = _placed_ms(order)
    seen, amount = placed_ms < NEVER_MS, order.amount
    sums: list[OrderSum] = []
    if amount is None:
        sums += [_refund(code, count, total, seen) for code, count, total in order.refunded]
        return OrderParts(placed_ms, order.returned, sums)
    value, currency = amount[2], amount[3]
    own = sum([total for code, _, total in order.refunded if code in (currency, "")])
    back = value if order.reversed else min(own, value)
    if seen:
        sums.append((currency, 1, 1, value, back, 0))
    elif back:
        sums.append((currency, 1, 0, 0, 0, back))
    sums += [_refund(code, n, total, seen) for code, n, total in order.refunded if code not in (currency, "")]
    return OrderParts(placed_ms, order.returned, sums)


def _placed_ms(order: OrderObject) -> int:
    return order.placed_ms if order.placed_ms < NEVER_MS else order.shown_ms


def _refund(code: str, count: int, total: int, seen: bool) -> OrderSum:
    return (code, count, 0, 0, total, 0) if seen else (code, count, 0, 0, 0, total)


def _index(objects: list[OrderObject], key: int) -> int:
    return bisect_left(objects, key, key=_key)


def _key(order: OrderObject) -> int:
    return order.key


def _age(order: OrderObject) -> tuple[int, int]:
    return order.newest_ms, order.key


def _bound(section: Commerce) -> None:
    objects = section.objects
    while len(objects) > ORDERS_KEPT:
        order = min(objects, key=_age)
        objects.remove(order)
        _settle(section, order)


def _settle(section: Commerce, order: OrderObject) -> None:
    """Add an order that leaves the set to the sums."""
    placed_ms, returned, sums = parts_of(order)
    for entry in sums:
        section.uncounted += add_sums(section.sums, entry, CURRENCIES_KEPT)
    if placed_ms == NEVER_MS:
        section.unseen += returned
        return
    section.settled += 1
    section.orders += 1
    section.refunds += returned
    place(section, placed_ms, section.objects)
    if order.amount is not None:
        section.latest = newer_money(section.latest, (placed_ms, 0, *order.amount[2:]))


def place(section: Commerce, placed_ms: int, kept: Sequence[OrderObject] = ()) -> None:
    """Mark the day of an order in the bitmap.

    Args:
        section: Its `newest_day` is that of the profile.
        placed_ms: Time of the order.
        kept: The orders that stay in the set. The last order of a day beyond the bitmap counts the day.
    """
    day = placed_ms // DAY_MS
    age = section.newest_day - day
    if age < BITMAP_DAYS:
        section.days = days_add(section.days, max(age, 0))
    elif kept and all(_placed_ms(order) // DAY_MS != day for order in kept):
        section.older_days = min(section.older_days + 1, SUM_LIMIT)
    section.first_ms = min(section.first_ms, placed_ms)
    section.last_ms = max(section.last_ms, placed_ms)


def newer_money(a: StampedMoney | None, b: StampedMoney | None) -> StampedMoney | None:
    """Return the newer amount; of one time, the larger one, in any order."""
    return b if a is None else a if b is None else max(a, b)


def order_money(at_ms: int, rank: int, amount: int | None, currency: str) -> StampedMoney | None:
    """The amount of an order as state keeps it; None if it is unknown or zero."""
    return None if not amount or amount < 0 else (at_ms, rank, amount, currency)
