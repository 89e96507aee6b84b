"""A customer's subscriptions with ids, taken together: the customer is subscribed while one of them runs.

Money of different currencies is never added. The sum has the currency of the subscription that has run longest, which
changes least; an amount without a currency counts as being in it. `elsewhere` counts the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from models.profile.schema import ObjectChange, SubscriptionObject, SubscriptionRest
from models.profile.subscription_change import CANCELLED, UNSTATED
from models.profile.subscription_object import (
    is_paused,
    is_running,
    is_scheduled_to_end,
    number_of,
    runs_at,
    since_ms,
    text_of,
)

_NO_REST: Final = SubscriptionRest()


class Holdings:
    """What the subscriptions of a customer add up to.

    Attributes:
        objects: The known subscriptions.
        running: Those that run.
        rest: The sum of those that are not kept.
    """

    def __init__(self, objects: Sequence[SubscriptionObject], rest: SubscriptionRest | None) -> None:
        self.objects = objects
        self.running = [held for held in objects if is_running(held)]
        self.rest = rest or _NO_REST

    @property
    def active(self) -> bool:
        """Whether at least one runs."""
        return bool(self.running) or self.rest.running > 0

    @property
    def paused(self) -> bool:
        """Whether all that run are paused."""
        return bool(self.running) and not self.rest.running and all(map(is_paused, self.running))

    @property
    def cancel_scheduled(self) -> bool:
        """Whether the cancellation of all that run is scheduled."""
        return bool(self.running) and not self.rest.running and all(map(is_scheduled_to_end, self.running))

    @cached_property
    def currency(self) -> str:
        """Currency of `price` and `mrr`, empty if unknown."""
        if not self.running:
            return self.rest.currency if self.rest.running or self.main is None else text_of(self.main.currency)
        known = [held for held in self.running if held.currency is not None]
        return text_of(min(known, key=_oldest_first).currency) if known else self.rest.currency

    @property
    def main(self) -> SubscriptionObject | None:
        """The running subscription with the highest price, the oldest of equals; after the end, the last that ended."""
        if self.running:
            code = self.currency
            return max(
                self.running,
                key=lambda held: (_code(held, code) == code, number_of(held.price), -since_ms(held), -held.key),
            )
        return self.last_ended

    @property
    def last_ended(self) -> SubscriptionObject | None:
        """The subscription that ended last; None if none did."""
        ended = [held for held in self.objects if held.end is not None and not is_running(held)]
        return max(ended, key=lambda held: (held.end, held.key), default=None)

    @property
    def price(self) -> int | None:
        """Price a month of all that run, in minor units; after the end, of the last that ended. None if unknown."""
        if not self.active:
            return None if self.main is None or self.main.price is None else self.main.price[2]
        known = [held for held in self.running if held.price is not None]
        if not known and not self.rest.running:
            return None
        return self._sum(known)

    @property
    def mrr(self) -> int | None:
        """MRR in minor units: the price of all that run and are not paused. None if no price is known."""
        if not self.active:
            return 0 if self.price is not None else None
        return None if self.price is None else self._sum([held for held in self.running if not is_paused(held)])

    def _sum(self, chosen: Sequence[SubscriptionObject]) -> int:
        code = self.currency
        rest = self.rest.price if self.rest.currency in ("", code) else 0
        return rest + sum(number_of(held.price) for held in chosen if _code(held, code) == code)

    @property
    def elsewhere(self) -> int:
        """Number of those that run and are not paused in other currencies, which `price` and `mrr` leave out."""
        code = self.currency
        return sum(_code(held, code) != code and not is_paused(held) for held in self.running)

    @property
    def since_ms(self) -> int:
        """Since when at least one has been running without a gap, 0 if none runs."""
        if not self.active:
            return 0
        since = min((since_ms(held) for held in self.running or self.objects), default=0)
        for _ in self.objects:
            since = min([since, *(since_ms(held) for held in self.objects if runs_at(held, since - 1))])
        return since

    @property
    def period_end_ms(self) -> int:
        """The next end of a paid period among those that run, 0 if unknown. Periods that are over do not count."""
        ends = [held.period_end[2] for held in self.running if held.period_end is not None]
        newest_ms = max((held.last_ms for held in self.objects), default=0)
        return min((end for end in ends if end >= newest_ms), default=max(ends, default=0))

    @property
    def ended_ms(self) -> int:
        """Time of the newest end, 0 for none."""
        return max((held.end[0] for held in self.objects if held.end is not None), default=0)

    @property
    def cause(self) -> int:
        """Cause of the newest end, see `models.profile.subscription_change.CAUSES`."""
        last = self.last_ended
        return UNSTATED if last is None or last.end is None else last.end[2]

    def runs_at(self, at_ms: int) -> bool:
        """Whether a subscription ran at a time and after it."""
        return self.rest.running > 0 or any(runs_at(held, at_ms) for held in self.objects)

    def gap_after(self, at_ms: int) -> int:
        """The first time, not before `at_ms`, at which no subscription ran; 0 if one has run ever since."""
        if self.rest.running:
            return 0
        for _ in range(len(self.objects) + 1):
            at_time = [held for held in self.objects if runs_at(held, at_ms)]
            if not at_time:
                return at_ms
            if any(map(is_running, at_time)):
                return 0
            at_ms = max(held.end[0] for held in at_time if held.end is not None)
        return at_ms


def price_at(held: Holdings, changes: Sequence[ObjectChange], at_ms: int) -> int | None:
    """The price of all that ran at an earlier time, as far as it is known: the oldest known price holds before it.

    Args:
        held: The subscriptions.
        changes: Their newest changes, in order of time.
        at_ms: The time.
    """
    if held.price is None:
        return None
    code, total = held.currency, held.rest.price if held.rest.currency in ("", held.currency) else 0
    for one in held.objects:
        if not runs_at(one, at_ms) or _code(one, code) != code:
            continue
        prices = [
            (at, price) for at, key, kind, price in changes if key == one.key and price >= 0 and kind != CANCELLED
        ]
        before = [price for at, price in prices if at <= at_ms]
        total += before[-1] if before else prices[0][1] if prices else number_of(one.price)
    return total


def _code(held: SubscriptionObject, default: str) -> str:
    return text_of(held.currency) or default


def _oldest_first(held: SubscriptionObject) -> tuple[int, int]:
    return since_ms(held), held.key
