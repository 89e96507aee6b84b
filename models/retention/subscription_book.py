"""A customer's subscriptions while their changes are applied in order of time: by the same rules as in the profile."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from models.profile.schema import SubscriptionObject, SubscriptionRest
from models.profile.subscription_change import (
    ALL,
    CANCELLED,
    PAUSED,
    RESUMED,
    STARTED,
    UNSTATED,
    SubscriptionChange,
    by_life_cycle,
)
from models.profile.subscription_holdings import Holdings
from models.profile.subscription_object import after_switch, apply_object_change, combined, text_of, with_change


class SubscriptionTerms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The terms of a subscription at one time."""

    started: bool = False
    """Whether any subscription event was ever applied."""
    running: bool = False
    paused: bool = False
    price: int = 0
    plan: str = ""
    cause: int = UNSTATED
    """Cause of the newest end."""

    @property
    def mrr(self) -> int:
        """Monthly recurring revenue in minor units; 0 while the subscription is paused."""
        return self.price if self.running and not self.paused else 0

    def after(self, change: SubscriptionChange) -> SubscriptionTerms:
        """Apply a change without an id: the rules of `models.profile.subscription`, plus price and plan."""
        kind, price, plan, cause = change.kind, change.price, change.plan, change.cause
        running, paused = self.running, self.paused
        if kind == CANCELLED:
            running = paused = False
        elif kind == STARTED or not self.started:
            running = True
        if kind in (PAUSED, RESUMED):
            paused = kind == PAUSED and running
        return SubscriptionTerms(
            True,
            running,
            paused,
            self.price if price < 0 else price,
            plan or self.plan,
            cause if kind == CANCELLED else self.cause,
        )


class SubscriptionBook:
    """A customer's subscriptions while their changes are applied in order of time.

    The rules are those of the profile: changes with an id by `models.profile.subscription_object`, those without by
    `SubscriptionTerms.after`.
    """

    def __init__(
        self,
        terms: SubscriptionTerms,
        nameless: SubscriptionObject | None,
        objects: list[SubscriptionObject],
        rest: SubscriptionRest | None,
    ) -> None:
        self.terms, self.nameless, self.objects, self.rest = terms, nameless, objects, rest

    def apply(self, changes: list[SubscriptionChange]) -> SubscriptionTerms:
        """Apply the changes of one time, and return the terms after them."""
        nameless = changes if len(changes) == 1 and not changes[0].key else [c for c in changes if c.key in (0, ALL)]
        if nameless:
            self._apply_nameless(nameless)
        for change in changes:
            if change.key:
                self.rest = apply_object_change(self.objects, self.rest, change)
        return self.summary()

    def _apply_nameless(self, changes: list[SubscriptionChange]) -> None:
        terms, held = self.terms, self.nameless or SubscriptionObject()
        for change in by_life_cycle(changes, terms.running):
            terms = terms.after(change)
            held = with_change(held, change)
        if len(changes) > 1:
            price, plan = self.terms.price, self.terms.plan
            for change in sorted(changes, key=lambda change: change.price_rank):
                price, plan = change.price if change.price >= 0 else price, change.plan or plan
            terms = replace(terms, price=price, plan=plan)
        self.terms, self.nameless = terms, after_switch(held) if terms.running else held

    def summary(self) -> SubscriptionTerms:
        """The terms of all subscriptions: they run while one does, and the price is the sum of those not paused."""
        objects = self.objects
        if not objects:
            return self.terms
        if len(objects) == 1 and self.nameless is not None and self.rest is None:
            objects = [combined(self.nameless, objects[0])]
        held = Holdings(objects, self.rest)
        plan = "" if held.main is None else text_of(held.main.plan)
        price = (held.mrr if held.active else held.price) or 0
        return SubscriptionTerms(True, held.active, False, price, plan or self.terms.plan, held.cause)
