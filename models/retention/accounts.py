"""The retention accounting of one partition: turn the events of a batch into changes of the partition's sums.

Each customer is read twice in a batch, before their first event and after their last one. The difference of their
contributions is added to the sums (`models.retention.activity_flows`). Subscription changes are collected and applied
at the end of the batch (`models.retention.subscription_flows`). All state is in the partition's store: the sums in
blocks, the pending additions, a record per customer who ever had a subscription, and the segments.

A batch of a hundred events changes some thirty blocks, and each would be read, written and published. So the additions
may stay pending in one record until the caller asks to add them (`finish`). The blocks are then the same as without
delay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from models.events.event import Event
from models.events.money import hundredths
from models.profile.customer_attributes import customer_plan, customer_source
from models.profile.keys import SUMS, contract_key
from models.profile.schema import Profile
from models.profile.subscription_change import SubscriptionChange, change_of
from models.retention.activity_flows import ActivityView, move
from models.retention.aggregates import Parts, SegmentRegistry, Sums, changed_blocks, put, read_parts, write_parts
from models.retention.life_table import LifetimeMove
from models.retention.subscription_flows import SubscriptionSpell, apply_changes, deletion_at

SUBSCRIPTION: Final = "subscription"
EFFECTS: Final = frozenset({SUBSCRIPTION, "traits", "signed_up"})
"""The effects of events that the accounting needs; see `models.events.taxonomy`."""

GROUPS_KEY: Final = SUMS
PENDING_KEY: Final = SUMS + b"p"
PENDING_BLOCKS: Final = 256  # blocks that may have pending additions, some 100 bytes each

Load = Callable[[Sequence[bytes]], list[bytes | None]]


class RetentionAccounts:
    """The retention accounting of a partition. The changes of a batch are returned, not kept.

    Args:
        load: Reads committed records.
        new: True if the partition has never applied an event. A partition that is older than its accounting is not
            counted, because sums over half of a history would be wrong.
    """

    def __init__(self, load: Load, *, new: bool) -> None:
        self._load = load
        self._new = new
        self._groups: SegmentRegistry | None = None
        self._parts: Parts | None = None
        self.begin()

    def begin(self) -> None:
        """Start a batch."""
        self._sums = Sums(int)
        self._names: list[tuple[int, str, str]] = []
        self._moves: list[tuple[ActivityView, ActivityView]] = []
        self._changes: dict[bytes, list[SubscriptionChange]] = {}
        self._clocks: dict[bytes, list[int]] = {}  # the partition's clock at each change
        self.life_tables: list[LifetimeMove] = []
        """Changes of first subscriptions that `finish` applied, in no particular order."""
        self._sources: dict[bytes, list[str]] = {}  # one per life of a customer; a deletion begins another life

    def record_event(self, index: int, key: bytes, event: Event, effect: str, clock_ms: int = 0) -> None:
        """Record an event that may name a plan or a source, or change a subscription. Duplicates are excluded.

        Events of other effects than `EFFECTS` may name them in their context.

        Args:
            index: Index of the event in the batch, because batches are processed customer by customer.
            key: The customer's profile key.
            event: The event.
            effect: The event's effect.
            clock_ms: The partition's clock, for `life_tables`.
        """
        own = effect in EFFECTS
        plan, source = customer_plan(event, own=own), customer_source(event, own=own)
        if plan or source:
            self._names.append((index, plan or "", source or ""))
        if effect == SUBSCRIPTION:
            change = change_of(event)
            if change.price > 0:  # sums of a partition have one unit, whatever decimals a currency has
                change = replace(change, price=hundredths(change.price, change.currency))
            self._changes.setdefault(key, []).append(change)
            self._clocks.setdefault(key, []).append(clock_ms)

    def record_activity(self, key: bytes, before: ActivityView, profile: Profile) -> None:
        """Record the profile of a customer after a batch, given the view before it."""
        after = ActivityView.of(profile)
        if after != before:
            self._moves.append((before, after))
            if before.source != after.source and profile.subscription is not None:
                self._changes.setdefault(key, [])
        if key in self._changes:
            self._sources.setdefault(key, [""])[-1] = after.source

    def record_deletion(self, key: bytes, before: ActivityView, profile: Profile, at_ms: int) -> None:
        """Record that a customer is deleted. Their counts remain, and a running subscription ends at this time."""
        if profile.subscription is not None:
            self._changes.setdefault(key, []).append(deletion_at(at_ms))
            self._clocks.setdefault(key, []).append(at_ms)
        self.record_activity(key, before, profile)
        if key in self._changes:
            self._sources[key].append("")

    @property
    def groups(self) -> SegmentRegistry | None:
        """The segments of the partition; None if the partition is not counted."""
        if self._groups is None:
            [record] = self._load([GROUPS_KEY])
            if record is not None or self._new:
                self._groups = SegmentRegistry.read(record)
        return self._groups

    def count(self) -> None:
        """Add what was recorded so far to the sums. Call it between `begin` and `finish` only to save memory."""
        groups = self.groups
        if groups is None:
            return
        sums = self._sums
        self._names.sort()
        for _, plan, source in self._names:
            groups.add(plan, source)
        for before, after in self._moves:
            move(sums, groups, before, after)
        self._names, self._moves = [], []

    @property
    def pending(self) -> bool:
        """Whether additions to the blocks are pending."""
        return bool(self._pending())

    def _pending(self) -> Parts:
        if self._parts is None:
            [record] = self._load([PENDING_KEY])
            self._parts = read_parts(record)
        return self._parts

    def finish(self, *, flush: bool = True) -> dict[bytes, bytes | None]:
        """Return the batch's changes of the store. The caller commits them before the next batch.

        Args:
            flush: True to add everything to the blocks; False to let the batch's additions stay pending.
        """
        groups = self.groups
        if groups is None:
            return {}
        self.count()
        sums = self._sums
        changes: dict[bytes, bytes | None] = {}
        keys = [contract_key(key) for key in self._changes]
        for key, record_key, record in zip(self._changes, keys, self._load(keys), strict=True):
            spells: list[tuple[int, SubscriptionSpell, SubscriptionSpell]] = []
            changed = apply_changes(sums, groups, record, self._changes[key], self._sources[key], spells)
            for number, before, after in spells:
                before, after = (replace(spell, plan=groups.plan(spell.plan)) for spell in (before, after))
                self.life_tables.append(LifetimeMove(self._clocks[key][number], before, after))
            if changed is not None or record is not None:
                changes[record_key] = changed
        changes.update(self._flush() if flush or len(self._pending()) > PENDING_BLOCKS else self._postpone())
        if groups.grown:
            changes[GROUPS_KEY] = groups.record()
            groups.grown = False
        return changes

    def _flush(self) -> dict[bytes, bytes | None]:
        parts = self._pending()
        stored: dict[bytes, bytes | None] = {PENDING_KEY: None} if parts else {}
        put(parts, self._sums)
        self._parts = {}
        return stored | changed_blocks(parts, self._load)

    def _postpone(self) -> dict[bytes, bytes | None]:
        parts = self._pending()
        put(parts, self._sums)
        return {PENDING_KEY: write_parts(parts)} if parts else {}
