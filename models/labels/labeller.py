"""Label snapshots: match events with churn definitions, find who can still churn, and mature labels.

A label passes through five stages:

    PendingSnapshot    a snapshot is taken; its label is unknown (`models.profile.schema`)
    frozen snapshot    its features and probability, stored until the label matures (`models.labels.training_example`)
    MaturedLabel       horizon and grace are over; the label is known
    TrainingExample    the matured label, joined with its frozen snapshot
    label record       the example as JSON on `churn-labels` (`models.labels.codec`)
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import EventDefinition, InactivityDefinition, matches
from models.events.event import Event
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, PendingSnapshot, ProcessingState, Profile
from models.profile.subscription import SubscriptionState, is_switch, lost_at, ran_at
from models.profile.subscription_change import CANCEL_SCHEDULED, CANCELLED, CHANGES, STARTED

UNSUBSCRIBED_WINDOW_MS: Final = 90 * DAY_MS  # a customer without a subscription is eligible this long after an event


_END: Final = "Subscription Cancelled"
_LOSS_KINDS: Final = frozenset({CANCELLED, CANCEL_SCHEDULED})
"""Changes that are a loss only if the customer keeps no other subscription."""


class MaturedLabel(NamedTuple):
    """A snapshot with a known label."""

    key: bytes
    pending: PendingSnapshot
    labels: dict[str, int]  # by definition
    label: int
    churned_ms: int  # when the label became 1, 0 for never
    involuntary: int | None = None  # label of involuntary churn, None if undefined or not possible at the snapshot
    lost_ms: int = 0  # when the involuntary label became 1, 0 for never


class Labeller:
    """The rules of one churn definition."""

    def __init__(self, definition: ChurnDefinition) -> None:
        self.definition = definition
        self._definitions = definition.definitions
        self._by_event: dict[str, list[tuple[int, EventDefinition]]] = {}
        self._named_activity: list[tuple[int, InactivityDefinition]] = []
        self._any_activity: list[int] = []
        for i, d in enumerate(self._definitions):
            if isinstance(d, EventDefinition):
                self._by_event.setdefault(d.event, []).append((i, d))
            elif d.any_activity:
                self._any_activity.append(i)
            else:
                self._named_activity.append((i, d))
        self.watched = {name for _, d in self._named_activity for name in d.not_performed} | set(self._by_event)
        """Names of events that match a definition, or that withdraw a match."""
        self._ends = [i for i, _ in self._by_event.get(_END, ())]
        if self._ends:
            self.watched |= set(CHANGES)
        self.watches_activity = bool(self._any_activity)
        """Whether any activity of the customer matches a definition."""
        self.primary_mask = sum(1 << i for i, d in enumerate(self._definitions) if d.name in definition.primary)
        """Bit per definition of the primary label."""
        involuntary = definition.involuntary
        names = () if involuntary is None else involuntary.definitions
        self.involuntary_mask = sum(1 << i for i, d in enumerate(self._definitions) if d.name in names)
        """Bit per definition of the involuntary label, 0 without one."""
        self._churn_mask = self.primary_mask | self.involuntary_mask
        self._horizons_ms = [
            definition.horizon_ms if involuntary is None or d.name not in names else involuntary.horizon_ms
            for d in self._definitions
        ]

    def match(self, profile: Profile, processing: ProcessingState, event: Event, engaged: bool) -> bool:
        """Record an event for each definition that it matches: the newest match, and the first after each snapshot.

        The end of a subscription counts only if the customer has no other one; see
        `models.profile.subscription.lost_at`. Return whether the event is churn by a definition of either label.
        """
        at = event.time_ms
        hits: list[int] = []
        if engaged:
            hits += self._any_activity
        for i, inactivity in self._named_activity:
            if event.name in inactivity.not_performed:
                hits.append(i)
        for i in hits:
            _record(profile, processing, i, at)
        churned = False
        change = CHANGES.get(event.name)
        for i, definition in self._by_event.get(event.name, ()):
            if matches(definition, event.name, event.properties):
                lost_ms = at if change not in _LOSS_KINDS else lost_at(profile.subscription, at, change)
                if lost_ms:
                    _record(profile, processing, i, lost_ms)
                    churned |= bool(self._churn_mask >> i & 1)
        if change is not None and change != CANCELLED and self._ends:
            self._withdraw(profile, processing, at, change)
        return churned

    def _withdraw(self, profile: Profile, processing: ProcessingState, at: int, change: int) -> None:
        """Withdraw matches of an end at which, as the event just applied shows, the customer had a subscription."""
        section = profile.subscription
        if section is None or (not section.objects and not (change == STARTED and is_switch(section, at))):
            return
        for i in self._ends:
            if profile.matched[i] and ran_at(section, profile.matched[i]):
                profile.matched[i] = 0
            for pending in processing.pending:
                match_ms = pending.first_match_ms[i]
                if match_ms < NEVER_MS and ran_at(section, match_ms):
                    pending.first_match_ms[i] = NEVER_MS

    def eligible(self, profile: Profile, at_ms: int) -> int:
        """Return the bit mask of the definitions under which the customer can still churn.

        By an event: a customer with an active subscription and no matching event since it started; or a customer who
        never had a subscription, without a matching event and with any event in the last 90 days. By inactivity: a
        customer who was active within the definition's window and has not churned by an event of either label.
        """
        subscription = None
        mask, churned = 0, False
        for i, definition in enumerate(self._definitions):
            last = profile.matched[i]
            if isinstance(definition, EventDefinition):
                if subscription is None:
                    subscription = SubscriptionState(profile.subscription)
                if subscription.started:
                    alive = subscription.active and last <= max(subscription.since_ms, 0)
                    churned |= not alive and bool(self._churn_mask >> i & 1)
                else:
                    alive = not last and at_ms - profile.newest_ms < UNSUBSCRIBED_WINDOW_MS
                    churned |= last > 0 and bool(self._churn_mask >> i & 1)
            else:
                alive = last > 0 and at_ms - last <= definition.if_active_in_ms
            mask |= alive << i
        # inactivity after a cancellation is not a second churn
        return mask & ~self._churn_mask if churned else mask

    def can_churn(self, profile: Profile, at_ms: int) -> bool:
        """Return whether the customer can still churn by a primary definition."""
        return bool(self.eligible(profile, at_ms) & self.primary_mask)

    def mature(self, key: bytes, pending: PendingSnapshot) -> MaturedLabel:
        """Compute the label of a snapshot after its horizon and grace.

        With an involuntary label, a customer churns once: the earlier cause counts, and the other label is 0. At equal
        times the involuntary cause counts, because it is more specific. See `models.definition.competing_risks`.
        """
        labels, churned_ms, involuntary_ms = {}, 0, 0
        first_ms = [
            NEVER_MS,
            NEVER_MS,
        ]  # earliest match of the primary and the involuntary label, within the horizon or not
        for i, definition in enumerate(self._definitions):
            if not pending.eligible >> i & 1:
                continue
            match_ms, horizon_ms = pending.first_match_ms[i], self._horizons_ms[i]
            if isinstance(definition, EventDefinition):
                hit = match_ms <= pending.snapshot_ms + horizon_ms
                at = match_ms
            else:
                hit = match_ms > pending.snapshot_ms + definition.for_ms
                at = pending.snapshot_ms + definition.for_ms if hit else NEVER_MS
            labels[definition.name] = int(hit)
            involuntary = self.involuntary_mask >> i & 1
            if hit and self.primary_mask >> i & 1:
                churned_ms = min(churned_ms or at, at)
            elif hit and involuntary:
                involuntary_ms = min(involuntary_ms or at, at)
            if self._churn_mask >> i & 1:
                first_ms[involuntary] = min(first_ms[involuntary], at)
        if not pending.eligible & self.involuntary_mask:
            return MaturedLabel(key, pending, labels, int(churned_ms > 0), churned_ms)
        if first_ms[1] <= first_ms[0]:
            churned_ms = 0
        else:
            involuntary_ms = 0
        return MaturedLabel(
            key=key,
            pending=pending,
            labels=labels,
            label=int(churned_ms > 0),
            churned_ms=churned_ms,
            involuntary=int(involuntary_ms > 0),
            lost_ms=involuntary_ms,
        )


def _record(profile: Profile, processing: ProcessingState, i: int, at: int) -> None:
    """Record a match of a definition."""
    if at > profile.matched[i]:
        profile.matched[i] = at
    for pending in processing.pending:
        if pending.snapshot_ms <= at < pending.first_match_ms[i]:  # earlier events are part of the snapshot
            pending.first_match_ms[i] = at
