"""What a customer's orders add up to: those with an id, and the sums of the others.

Money of different currencies is never added. Amounts are those of the customer's main currency, in which most of the
orders are; an amount without a currency is a currency of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from models.events.money import major_units
from models.profile.mergeable import BITMAP_DAYS, DAY_MS, add_sums
from models.profile.order_object import parts_of
from models.profile.schema import CURRENCIES_KEPT, NEVER_MS, Commerce, OrderSum, StampedMoney


class OrderTotals(NamedTuple):
    """Orders of a customer. Times are epoch ms; amounts are minor units of the main currency."""

    orders: int
    days: int
    """Days with an order."""
    first_ms: int
    last_ms: int
    returned: int
    """Orders that were refunded, in part or as a whole, or cancelled."""
    currency: str = ""
    valued: int = 0
    """Orders with an amount in the main currency."""
    revenue: int = 0
    """Of these orders, before refunds."""
    refunded: int = 0
    newest: int = 0
    """Amount of the newest of these orders."""
    others: int = 0
    """Orders with an amount in another currency."""

    @property
    def kept(self) -> int:
        """Revenue less refunds, never negative."""
        return max(self.revenue - self.refunded, 0)

    @property
    def mean(self) -> float:
        """Mean amount of an order in units of the currency; NaN without one."""
        return major_units(self.revenue / self.valued, self.currency) if self.valued else float("nan")


def order_totals(section: Commerce) -> OrderTotals:
    """Add up the orders of a section.

    A refund of an order that was never seen counts only if orders have left the bounded set, so that it may be one of
    them. Otherwise the log begins after that order, whose revenue is not counted either.
    """
    sums = section.sums[:] if section.objects or section.valued or section.refunded else section.sums
    if section.valued or section.refunded:  # of releases that stored no currency
        add_sums(sums, ("", 1, section.valued, section.revenue, section.refunded, 0), CURRENCIES_KEPT)
    newest = [] if section.latest is None else [section.latest]
    if section.recent:
        newest.append((section.recent[-1][0], 0, section.recent[-1][2], ""))
    days = int.from_bytes(section.days, "little").bit_count() + section.older_days
    if not section.objects and len(sums) == 1:  # most customers of a shop that sends no ids
        currency, _, valued, revenue, refunded, _ = sums[0]
        amount = max(newest)[2] if newest else 0
        found = OrderTotals(section.orders, days, section.first_ms, section.last_ms, section.refunds)
        return OrderTotals(*found[:5], currency, valued, revenue, refunded, amount, section.uncounted)
    if not section.objects:
        found = OrderTotals(section.orders, days, section.first_ms, section.last_ms, section.refunds)
        return _with_money(found, section, sums, newest)
    orders, first, last = section.orders, section.first_ms, section.last_ms
    returned, unseen = section.refunds, section.unseen
    own_days, bitmap = set(), int.from_bytes(section.days, "little")
    plain: dict[str, list[int]] = {}
    for order in section.objects:
        placed_ms, back = order.placed_ms, order.returned
        if back or placed_ms == NEVER_MS:
            placed_ms, back, parts = parts_of(order)
            for entry in parts:
                add_sums(sums, entry, CURRENCIES_KEPT)
            if placed_ms == NEVER_MS:
                unseen += back
                continue
        elif order.amount is not None:  # most orders: placed and kept
            known = plain.setdefault(order.amount[3], [0, 0])
            known[0] += 1
            known[1] += order.amount[2]
        orders, returned = orders + 1, returned + back
        first, last = min(first, placed_ms), max(last, placed_ms)
        day = placed_ms // DAY_MS
        age = max(section.newest_day - day, 0)
        if age >= BITMAP_DAYS or not bitmap >> age & 1:
            own_days.add(day)
        if order.amount is not None:
            newest.append((placed_ms, 0, order.amount[2], order.amount[3]))
    for code, (count, revenue) in plain.items():
        add_sums(sums, (code, count, count, revenue, 0, 0), CURRENCIES_KEPT)
    returned += unseen if section.settled else 0
    found = OrderTotals(orders, days + len(own_days), first, last, returned)
    return _with_money(found, section, sums, newest)


def _with_money(
    found: OrderTotals, section: Commerce, sums: list[OrderSum], amounts: list[StampedMoney]
) -> OrderTotals:
    if not sums:
        return found
    currency, _, valued, revenue, refunded, unseen = max(sums, key=_main)
    newest = max([entry for entry in amounts if entry[3] == currency], default=(0, 0, 0, ""))[2]
    others = section.uncounted + sum(entry[2] for entry in sums if entry[0] != currency)
    refunded += unseen if section.settled else 0
    return OrderTotals(*found[:5], currency, valued, revenue, refunded, newest, others)


def _main(entry: OrderSum) -> tuple[int, int, str]:
    """The main currency is the one of most orders; of refunds alone, the one of most amounts."""
    return entry[2], entry[1], entry[0]
