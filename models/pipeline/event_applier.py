"""Applies one event to one customer, and captures a scoring point if the event triggers a score."""

from __future__ import annotations

from typing import Final

from models.alerts.alert_action import action_of
from models.definition.churn_definition import ChurnDefinition
from models.definition.goals import Goals
from models.events.event import Event, meaning_of
from models.events.taxonomy import LIGHT_EFFECTS, Meaning
from models.experience.aggregates import goal_additions
from models.features.scoring_point import DECISIVE, EVENT, event_position
from models.labels.labeller import Labeller
from models.pipeline.batch import CustomerAction, FoldBatch, WorkingCustomer
from models.pipeline.deadlines import Deadlines
from models.pipeline.effects import OffsetEvent
from models.profile.apply import apply, is_new_event
from models.profile.codec import VISITOR
from models.profile.keys import snapshot_key
from models.profile.mergeable import HOUR_MS
from models.profile.order_totals import order_totals
from models.profile.schema import NEVER_MS, Commerce, ProcessingState
from models.retention.accounts import EFFECTS, RetentionAccounts
from models.value.bg_nbd import PurchaseHistory
from models.value.gamma_gamma import SpendHistory
from models.value.purchase_counts import ORDER_EFFECTS, PurchaseDelta

DECISIVE_MAX: Final = 20  # per customer and hour; 20,000 answers of one customer would cost 118 MB of scores


class EventApplier:
    """Applies events in log order; see `apply`."""

    def __init__(
        self,
        definition: ChurnDefinition,
        labeller: Labeller,
        goals: Goals,
        accounts: RetentionAccounts,
        deadlines: Deadlines,
    ) -> None:
        self._labeller, self._goals, self._accounts, self._deadlines = labeller, goals, accounts, deadlines
        self._score_every_ms = definition.score_every_ms

    def apply(self, batch: FoldBatch, customer: WorkingCustomer, entry: OffsetEvent, index: int, clock_ms: int) -> None:
        """Apply an event: the profile, the accounting, labels, deadlines, and a scoring point if one is due.

        Args:
            batch: Collects what the event causes.
            customer: Whose event it is; all deadlines up to `clock_ms` are handled.
            entry: The event.
            index: Of the event in the batch.
            clock_ms: The partition's clock, this event included.
        """
        event = entry.event
        meaning = meaning_of(event)
        effect = meaning.effect
        if effect == "alert":
            self._handle_alert(batch, customer, event, index, clock_ms)
        elif effect == "deletion":
            self._delete(batch, customer, index, clock_ms)
        elif self._fold(batch, customer, event, meaning, index, clock_ms):
            if effect in EFFECTS or event.traits is not None:
                self._accounts.record_event(index, customer.key, event, effect, clock_ms)
            self._follow_up(batch, customer, entry, meaning, index, clock_ms)
            if event.unreadable is not None:
                batch.unreadable.add(event, entry.offset)
        else:
            batch.duplicates += 1

    def _fold(
        self,
        batch: FoldBatch,
        customer: WorkingCustomer,
        event: Event,
        meaning: Meaning,
        index: int,
        clock_ms: int,
    ) -> bool:
        """Apply an event to the profile, purchases and goals; returns False for a duplicate."""
        profile, effect = customer.profile, meaning.effect
        customer.changed = True
        customer.profile_view = None
        if customer.shared and (effect not in LIGHT_EFFECTS or event.traits is not None):
            customer.unshare()
        is_order = effect in ORDER_EFFECTS
        if is_order:
            history, spend = _purchases(profile.commerce)
        moves_goals = bool(self._goals) and self._goals.may_change(profile, event, effect)
        contributions = self._goals.contributions(profile) if moves_goals else ()
        if not apply(profile, event, meaning):
            return False
        if is_order:
            after = _purchases(profile.commerce)
            if effect == "order_completed" or after != (history, spend):
                batch.purchases.append(PurchaseDelta(clock_ms, history, after[0], spend, after[1]))
        if moves_goals:
            if event.name in self._goals.event_names:
                customer.unshare()
                self._goals.record(profile, event)
            added = goal_additions(clock_ms, contributions, self._goals.contributions(profile))
            batch.goal_increments += [(event_position(index), increment) for increment in added]
        return True

    def _follow_up(
        self,
        batch: FoldBatch,
        customer: WorkingCustomer,
        entry: OffsetEvent,
        meaning: Meaning,
        index: int,
        clock_ms: int,
    ) -> None:
        """Update labels and deadlines after an applied event, and capture a scoring point."""
        event, profile, processing = entry.event, customer.profile, customer.processing
        at, labeller = event.time_ms, self._labeller
        if at < processing.oldest_new_ms:
            processing.oldest_new_ms = at
        engaged = meaning.engaged and not event.automated
        if (engaged and labeller.watches_activity) or event.name in labeller.watched:
            churned = labeller.match(profile, processing, event, engaged)
            if churned and not labeller.can_churn(profile, profile.newest_ms):
                batch.actions.append(CustomerAction(customer.key, event_position(index), clock_ms))
        # a customer who returns after a score for silence is scored at once
        came_back = engaged and processing.silence_step > 0 and at == profile.engaged_ms
        if customer.flags & VISITOR and not event.anonymous:
            customer.flags &= ~VISITOR
        moved = self._move_deadlines(customer, engaged and at == profile.engaged_ms, clock_ms)
        at_ms = max(at, profile.newest_ms)
        decisive = meaning.decisive and _may_be_scored_at_once(processing, at_ms)
        if decisive or came_back or at - processing.scored_ms >= self._score_every_ms:
            trigger = DECISIVE if decisive else EVENT
            point = batch.capture(customer, at_ms, trigger, event_position(index), clock_ms)
            point.offset, point.id_hash, point.event_ms = entry.offset, event.id_hash, at
            point.eligible = labeller.can_churn(profile, max(at_ms, clock_ms))
        if moved:
            customer.due_ms = self._deadlines.next_due_ms(processing)

    def _move_deadlines(self, customer: WorkingCustomer, newest_activity: bool, clock_ms: int) -> bool:
        """Reschedule deadlines after an event; returns whether any changed."""
        processing, moved = customer.processing, False
        if processing.next_snapshot_ms == NEVER_MS:  # a new customer, or one who had no deadline left
            self._deadlines.schedule_snapshot(customer, clock_ms)
            self._deadlines.schedule_silence(customer, clock_ms)
            moved = True
        # the first silence deadline is near: it is not moved until it is due
        if newest_activity and (processing.silence_step or processing.next_silence_ms == NEVER_MS):
            processing.silence_step = 0
            self._deadlines.schedule_silence(customer, clock_ms)
            moved = True
        return moved

    def _handle_alert(
        self, batch: FoldBatch, customer: WorkingCustomer, event: Event, index: int, clock_ms: int
    ) -> None:
        """Record a person's action on an alert. In the profile, it changes only the duplicate guard."""
        if customer.profile.first_ms == NEVER_MS:
            return  # an action does not create a customer
        if event.id_hash and not is_new_event(customer.profile, event.id_hash, event.time_ms):
            batch.duplicates += 1
            return
        customer.changed |= bool(event.id_hash)
        batch.actions.append(CustomerAction(customer.key, event_position(index), clock_ms, action_of(event)))

    def _delete(self, batch: FoldBatch, customer: WorkingCustomer, index: int, clock_ms: int) -> None:
        """Apply a deletion request: pending labels never mature, and an alert ends without a cooldown."""
        if customer.profile.first_ms == NEVER_MS:
            return
        batch.dropped_snapshots += [snapshot_key(customer.key, p.snapshot_ms) for p in customer.processing.pending]
        batch.alerted.add(customer.key)
        batch.delete(customer, event_position(index), clock_ms, "deleted")


def _purchases(commerce: Commerce | None) -> tuple[PurchaseHistory | None, SpendHistory | None]:
    """Summarize a customer's orders for both models of purchases."""
    if commerce is None:
        return None, None
    totals = order_totals(commerce)
    return PurchaseHistory.from_totals(totals), SpendHistory.from_totals(totals)


def _may_be_scored_at_once(processing: ProcessingState, at_ms: int) -> bool:
    """Count a decisive event; whether it is one of the first of its hour. Any other is scored as an ordinary event.

    The hour is that of the customer's newest event, which never moves back, so the answer is a function of the log.
    """
    hour = at_ms // HOUR_MS
    if hour != processing.decisive_hour:
        processing.decisive_hour, processing.decisive = hour, 0
    if processing.decisive == DECISIVE_MAX:
        return False
    processing.decisive += 1
    return True


__all__ = ["DECISIVE_MAX", "EventApplier"]
