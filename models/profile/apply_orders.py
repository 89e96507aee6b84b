"""Effects of orders, refunds and cancellations on the profile.

With an id an order is an object (`models.profile.order_object`). Without one, every completion is an order, and every
refund or cancellation is that of another order.
"""

from __future__ import annotations

from models.events.event import Event
from models.events.object_ids import order_key
from models.events.order_amount import REFUND_AMOUNTS, order_amount
from models.events.unreadable import unreadable
from models.profile import sections
from models.profile.mergeable import DAY_MS, add_sums
from models.profile.order_object import add_order, newer_money, order_money, place
from models.profile.schema import CURRENCIES_KEPT, Commerce, OrderObject, Profile

_COMPLETED, _UPDATED = range(2)  # places of an amount in the life cycle of an order


def order_completed(profile: Profile, event: Event) -> None:
    """Place an order. A negative amount is a refund, as cash registers record it."""
    section, at = _section(profile), event.time_ms
    found = order_amount(event.properties)
    _note(event, found.unreadable)
    key = order_key(event.properties, own_id=True)
    if found.amount is not None and found.amount < 0:
        _refund(section, at, key, -found.amount, found.currency)
        return
    amount = order_money(at, _COMPLETED, found.amount, found.currency)
    if key:
        add_order(section, OrderObject(key, at, placed_ms=at, amount=amount))
        return
    section.orders += 1
    place(section, at)
    if amount is not None:
        _add(section, found.currency, 1, amount[2], 0)
        section.latest = newer_money(section.latest, amount)


def order_updated(profile: Profile, event: Event) -> None:
    """Take the new amount of an order; without an id it is unknown which order has changed."""
    key = order_key(event.properties, own_id=True)
    if key:
        found, at = order_amount(event.properties), event.time_ms
        _note(event, found.unreadable)
        amount = order_money(at, _UPDATED, found.amount, found.currency)
        add_order(_section(profile), OrderObject(key, at, shown_ms=at, amount=amount))


def order_refunded(profile: Profile, event: Event) -> None:
    """Refund a part of an order, or all of it if the event names the order and no amount."""
    section, at = _section(profile), event.time_ms
    found = order_amount(event.properties, REFUND_AMOUNTS)
    _note(event, found.unreadable)
    key = order_key(event.properties)
    if key and found.amount is None and found.unreadable is None:
        add_order(section, OrderObject(key, at, reversed=True, returned=True))
        return
    _refund(section, at, key, abs(found.amount or 0), found.currency)


def order_cancelled(profile: Profile, event: Event) -> None:
    """Reverse an order. The amount that the event states is that of the whole order."""
    section, at = _section(profile), event.time_ms
    found = order_amount(event.properties)
    _note(event, found.unreadable)
    key = order_key(event.properties, own_id=True)
    amount = abs(found.amount or 0)
    if key:  # any amount that an earlier event states is that of the order
        stated = order_money(0, _COMPLETED, amount, found.currency)
        add_order(section, OrderObject(key, at, amount=stated, reversed=True, returned=True))
        return
    _refund(section, at, 0, amount, found.currency)


def _refund(section: Commerce, at: int, key: int, amount: int, currency: str) -> None:
    if key:
        refunded = [(currency, 1, amount)] if amount else []
        add_order(section, OrderObject(key, at, refunded=refunded, returned=True))
        return
    section.refunds += 1
    if amount:
        _add(section, currency, 0, 0, amount)


def _add(section: Commerce, currency: str, valued: int, revenue: int, refunded: int) -> None:
    entry = (currency, 1, valued, revenue, refunded, 0)
    section.uncounted += add_sums(section.sums, entry, CURRENCIES_KEPT)


def _section(profile: Profile) -> Commerce:
    section = sections.commerce(profile)
    section.newest_day = profile.newest_ms // DAY_MS
    return section


def _note(event: Event, name: str | None) -> None:
    if name is not None:
        unreadable(event, name)


__all__ = ["order_cancelled", "order_completed", "order_refunded", "order_updated"]
