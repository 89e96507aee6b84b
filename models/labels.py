"""Labels: which events answer a churn definition, who can still churn, and what came of a snapshot."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from models.definition import ChurnDefinition, EventDefinition, matches
from models.effects import SubscriptionState
from models.event import Event
from models.primitives import DAY_MS
from models.profile import Path, Pending, Profile

UNSUBSCRIBED_WINDOW_MS: Final = 90 * DAY_MS  # who never subscribed is at risk only so long after the last event


class Release(NamedTuple):
    """A snapshot whose label is known."""

    key: bytes
    pending: Pending
    labels: dict[str, int]  # by definition
    label: int
    churned_ms: int  # when the label became 1, 0 for never


class Labels:
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

    def match(self, profile: Profile, path: Path, event: Event, engaged: bool) -> bool:
        """Notes for each definition that its event came: at the latest ever, and first after each snapshot.

        Returns whether the event is churn by a primary definition.
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
                churned |= bool(self.primary_mask >> i & 1)
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
        gone by a primary event.
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
                    gone |= not alive and bool(self.primary_mask >> i & 1)
                else:
                    alive = not last and at_ms - profile.newest_ms < UNSUBSCRIBED_WINDOW_MS
                    gone |= last > 0 and bool(self.primary_mask >> i & 1)
            else:
                alive = last > 0 and at_ms - last <= definition.if_active_in_ms
            mask |= alive << i
        # who has cancelled cannot fall silent too: silence after the end is no second churn
        return mask & ~self.primary_mask if gone else mask

    def can_churn(self, profile: Profile, at_ms: int) -> bool:
        """Whether any primary definition can still come true of the customer."""
        return bool(self.eligible(profile, at_ms) & self.primary_mask)

    def release(self, key: bytes, pending: Pending) -> Release:
        """What came of a snapshot, once horizon and grace are over."""
        labels, churned = {}, 0
        for i, definition in enumerate(self._definitions):
            if not pending.eligible >> i & 1:
                continue
            first = pending.since[i]
            if isinstance(definition, EventDefinition):
                hit = first <= pending.snapshot_ms + self.definition.horizon_ms
                when = first
            else:
                hit = first > pending.snapshot_ms + definition.for_ms
                when = pending.snapshot_ms + definition.for_ms
            labels[definition.name] = int(hit)
            if hit and self.primary_mask >> i & 1:
                churned = min(churned or when, when)
        return Release(key, pending, labels, int(churned > 0), churned)
