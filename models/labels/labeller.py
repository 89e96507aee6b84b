"""Labels: which events answer a churn definition, who can still churn, and what came of a snapshot."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import EventDefinition, matches
from models.events.event import Event
from models.profile.apply import SubscriptionState
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, PendingSnapshot, ProcessingState, Profile

UNSUBSCRIBED_WINDOW_MS: Final = 90 * DAY_MS  # who never subscribed is at risk only so long after the last event


class MaturedLabel(NamedTuple):
    """A snapshot whose label is known."""

    key: bytes
    pending: PendingSnapshot
    labels: dict[str, int]  # by definition
    label: int
    churned_ms: int  # when the label became 1, 0 for never
    involuntary: int | None = None  # label of the losses by payment, None where they have none or could not come
    lost_ms: int = 0  # when that became 1, 0 for never


class Labeller:
    """The rules of one churn definition."""

    def __init__(self, definition: ChurnDefinition) -> None:
        self.definition = definition
        self._definitions = definition.definitions
        self._by_event: dict[str, list[tuple[int, EventDefinition]]] = {}
        self._named_activity: list[tuple[int, Any]] = []
        self._any_activity: list[int] = []
        for i, d in enumerate(self._definitions):
            if isinstance(d, EventDefinition):
                self._by_event.setdefault(d.event, []).append((i, d))
            elif d.any_activity:
                self._any_activity.append(i)
            else:
                self._named_activity.append((i, d))
        self.watched = {name for _, d in self._named_activity for name in d.not_performed} | set(self._by_event)
        """Names of events that answer some definition."""
        self.watches_activity = bool(self._any_activity)
        """Any activity of the customer's own doing answers one."""
        self.primary_mask = sum(1 << i for i, d in enumerate(self._definitions) if d.name in definition.primary)
        """Bit per definition that makes label 1."""
        second = definition.involuntary
        names = () if second is None else second.definitions
        self.involuntary_mask = sum(1 << i for i, d in enumerate(self._definitions) if d.name in names)
        """Bit per definition of a loss by payment, where these have a label of their own."""
        self._lost_mask = self.primary_mask | self.involuntary_mask
        self._horizons_ms = [
            definition.horizon_ms if second is None or d.name not in names else second.horizon_ms
            for d in self._definitions
        ]

    def match(self, profile: Profile, path: ProcessingState, event: Event, engaged: bool) -> bool:
        """Notes for each definition that its event came: at the latest ever, and first after each snapshot.

        Returns whether the event is churn by a definition of either label.
        """
        at, matched = event.time_ms, profile.matched
        hits: list[int] = []
        if engaged:
            hits += self._any_activity
        for i, inactivity in self._named_activity:
            if event.name in inactivity.not_performed:
                hits.append(i)
        churned = False
        for i, definition in self._by_event.get(event.name, ()):
            if matches(definition, event.name, event.properties):
                hits.append(i)
                churned |= bool(self._lost_mask >> i & 1)
        for i in hits:
            if at > matched[i]:
                matched[i] = at
            for pending in path.pending:
                if pending.snapshot_ms <= at < pending.since[i]:  # the snapshot itself saw what lies before it
                    pending.since[i] = at
        return churned

    def eligible(self, profile: Profile, at_ms: int) -> int:
        """Bit mask of the definitions under which the customer can still churn.

        By an event: whose subscription runs and who has not already gone; who never had a subscription, as long as
        something was heard of them lately. By inactivity: who was active within the definition's window, and has not
        gone by an event of either label.
        """
        state = None
        mask, gone = 0, False
        for i, definition in enumerate(self._definitions):
            last = profile.matched[i]
            if isinstance(definition, EventDefinition):
                if state is None:
                    state = SubscriptionState(profile.subscription)
                if state.started:
                    alive = state.active and last <= max(state.since_ms, 0)
                    gone |= not alive and bool(self._lost_mask >> i & 1)
                else:
                    alive = not last and at_ms - profile.newest_ms < UNSUBSCRIBED_WINDOW_MS
                    gone |= last > 0 and bool(self._lost_mask >> i & 1)
            else:
                alive = last > 0 and at_ms - last <= definition.if_active_in_ms
            mask |= alive << i
        # who has cancelled cannot fall silent too: silence after the end is no second churn
        return mask & ~self._lost_mask if gone else mask

    def can_churn(self, profile: Profile, at_ms: int) -> bool:
        """Whether any primary definition can still come true of the customer."""
        return bool(self.eligible(profile, at_ms) & self.primary_mask)

    def release(self, key: bytes, pending: PendingSnapshot) -> MaturedLabel:
        """What came of a snapshot, once horizon and grace are over.

        With a label of losses by payment a customer is lost once, by what came first; an event that answers both is a
        loss by payment, which says more. The other label is then 0: see `models.definition.competing_risks`.
        """
        labels, churned, by_payment_ms = {}, 0, 0
        firsts = [NEVER_MS, NEVER_MS]  # of either label, within its horizon or not
        for i, definition in enumerate(self._definitions):
            if not pending.eligible >> i & 1:
                continue
            first, horizon_ms = pending.since[i], self._horizons_ms[i]
            if isinstance(definition, EventDefinition):
                hit = first <= pending.snapshot_ms + horizon_ms
                when = first
            else:
                hit = first > pending.snapshot_ms + definition.for_ms
                when = pending.snapshot_ms + definition.for_ms if hit else NEVER_MS
            labels[definition.name] = int(hit)
            by_payment = self.involuntary_mask >> i & 1
            if hit and self.primary_mask >> i & 1:
                churned = min(churned or when, when)
            elif hit and by_payment:
                by_payment_ms = min(by_payment_ms or when, when)
            if self._lost_mask >> i & 1:
                firsts[by_payment] = min(firsts[by_payment], when)
        if not pending.eligible & self.involuntary_mask:
            return MaturedLabel(key, pending, labels, int(churned > 0), churned)
        if firsts[1] <= firsts[0]:
            churned = 0
        else:
            by_payment_ms = 0
        return MaturedLabel(key, pending, labels, int(churned > 0), churned, int(by_payment_ms > 0), by_payment_ms)
