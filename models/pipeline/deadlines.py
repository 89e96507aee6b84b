"""Deadlines of one customer: labels mature, snapshots are taken, silent customers are scored, old profiles expire.

Each customer has one next deadline. It is handled as of its due time and before any later event of the customer.
"""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64_intdigest

from models.definition.churn_definition import ChurnDefinition
from models.features.scoring_point import SILENCE, SNAPSHOT, LogPosition
from models.labels.labeller import Labeller
from models.pipeline.batch import CustomerAction, FoldBatch, WorkingCustomer
from models.profile.codec import VISITOR
from models.profile.keys import order_hash
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, PendingSnapshot, ProcessingState, Profile

SILENCE_STEPS: Final = 3  # a silent customer is scored after 2, 4 and 8 usual gaps, and at every snapshot
SILENCE_MIN_MS: Final = 2 * DAY_MS  # a free weekend is not silence

_NINETY_DAYS: Final = (1 << 90) - 1


class Deadlines:
    """Computes and handles the deadlines of a partition's customers.

    Args:
        definition: What churn means; snapshot interval, release of labels, expiry of profiles.
        labeller: Decides who is eligible for a snapshot, and builds the labels that mature.
        alert_over_ms: How long after a customer's newest score an alert and its cooldown are over for certain.
    """

    def __init__(self, definition: ChurnDefinition, labeller: Labeller, alert_over_ms: int) -> None:
        self._definition = definition
        self._labeller = labeller
        self._alert_over_ms = alert_over_ms
        self._release_after_ms = definition.release_after_ms
        self._expires_after_least_ms = min(definition.anonymous_after_ms, definition.profile_after_ms)
        self._definitions = len(definition.definitions)

    def schedule_snapshot(self, customer: WorkingCustomer, clock_ms: int) -> None:
        """Schedule the next snapshot on a grid whose phase differs by customer, which spreads the work over time."""
        every = self._definition.snapshot_every_ms
        phase = xxh3_64_intdigest(customer.key) % every
        customer.processing.next_snapshot_ms = (clock_ms - phase) // every * every + every + phase

    def schedule_silence(self, customer: WorkingCustomer, clock_ms: int) -> None:
        """Schedule the next score of the customer after `clock_ms` if no more events arrive."""
        processing = customer.processing
        processing.next_silence_ms = max(_silence_due_ms(customer.profile, processing), clock_ms + 1)

    def next_due_ms(self, processing: ProcessingState) -> int:
        """The customer's next deadline."""
        due = processing.next_snapshot_ms
        if processing.next_silence_ms < due:
            due = processing.next_silence_ms
        if processing.pending and processing.pending[0].snapshot_ms + self._release_after_ms < due:
            due = processing.pending[0].snapshot_ms + self._release_after_ms
        return due

    def handle_due(self, batch: FoldBatch, customer: WorkingCustomer, until_ms: int) -> None:
        """Process all deadlines up to `until_ms` in order, each at its due time."""
        processing, order = customer.processing, order_hash(customer.key)
        customer.changed = True
        at = customer.due_ms
        while at <= until_ms:
            # the same position as if all deadlines were checked whenever the clock advances
            position = batch.clock.position_of(at, order)
            if not _is_idle(processing):
                self._handle(batch, customer, at, position)
            due = self.next_due_ms(processing)
            if _is_idle(processing):
                processing.next_silence_ms = NEVER_MS  # no label can follow, so the customer is no longer scored
                due = max(self._expires_ms(customer), processing.scored_ms + self._alert_over_ms)
                if due <= at:
                    batch.delete(customer, position, at, "not_scored")
                    return
            at = due
        customer.due_ms = at

    def _handle(self, batch: FoldBatch, customer: WorkingCustomer, at_ms: int, position: LogPosition) -> None:
        profile, processing = customer.profile, customer.processing
        while processing.pending and processing.pending[0].snapshot_ms + self._release_after_ms <= at_ms:
            batch.matured.append((position, self._labeller.mature(customer.key, processing.pending.pop(0))))
        expires = at_ms >= profile.newest_ms + self._expires_after_least_ms and at_ms >= self._expires_ms(customer)
        if expires:
            processing.next_snapshot_ms = NEVER_MS  # no new snapshot
        if processing.next_snapshot_ms <= at_ms:
            self._take_snapshot(batch, customer, at_ms, position)
        if processing.next_silence_ms <= at_ms:
            self._check_silence(batch, customer, at_ms, position)

    def _take_snapshot(self, batch: FoldBatch, customer: WorkingCustomer, at_ms: int, position: LogPosition) -> None:
        processing = customer.processing
        eligible = self._labeller.eligible(customer.profile, at_ms)
        if eligible & self._labeller.primary_mask:
            batch.capture(customer, at_ms, SNAPSHOT, position, at_ms)
            processing.pending.append(PendingSnapshot(at_ms, eligible, [NEVER_MS] * self._definitions))
        else:
            batch.actions.append(CustomerAction(customer.key, position, at_ms))  # churned by inactivity
        processing.next_snapshot_ms = at_ms + self._definition.snapshot_every_ms if eligible else NEVER_MS

    def _check_silence(self, batch: FoldBatch, customer: WorkingCustomer, at_ms: int, position: LogPosition) -> None:
        profile, processing = customer.profile, customer.processing
        due = _silence_due_ms(profile, processing)
        if due <= at_ms:  # otherwise later activity has postponed the deadline
            if processing.scored_ms < at_ms and (eligible := self._labeller.eligible(profile, at_ms)):
                point = batch.capture(customer, at_ms, SILENCE, position, at_ms)
                point.eligible = bool(eligible & self._labeller.primary_mask)
            processing.silence_step += 1
            due = _silence_due_ms(profile, processing)
        processing.next_silence_ms = max(due, at_ms + 1)

    def _expires_ms(self, customer: WorkingCustomer) -> int:
        definition = self._definition
        after_ms = definition.anonymous_after_ms if customer.flags & VISITOR else definition.profile_after_ms
        return customer.profile.newest_ms + after_ms


def _silence_due_ms(profile: Profile, processing: ProcessingState) -> int:
    """The time of the next score of an inactive customer, by the customer's own rhythm.

    The usual gap is the span of the active days of the last 90 days divided by their number.
    """
    if processing.silence_step >= SILENCE_STEPS or not profile.engaged_ms:
        return NEVER_MS
    recent = (int.from_bytes(profile.days[:12], "little") & _NINETY_DAYS).bit_count() or 1
    span = min(90, (profile.newest_ms - profile.first_engaged_ms) // DAY_MS + 1)
    wait = max(SILENCE_MIN_MS, 2 * DAY_MS * span // recent) << processing.silence_step
    return profile.engaged_ms + wait


def _is_idle(processing: ProcessingState) -> bool:
    """Whether no snapshot and no label is due until another event arrives."""
    return processing.next_snapshot_ms == NEVER_MS and not processing.pending


__all__ = ["SILENCE_MIN_MS", "SILENCE_STEPS", "Deadlines"]
