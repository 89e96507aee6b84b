"""The retention accounting of one partition: what its customers did in a batch, as changes of its sums.

A customer is looked at twice in a batch, before their first event and after their last, and the difference of what
they contribute is added (`models.retention.activity_flows`). Changes of subscriptions are collected, and taken in at the end
(`models.retention.subscription_flows`). All that is kept stands in the partition's store: the sums in blocks, what is still to be
added to them, a record for each customer who ever had a subscription, and the segments that are told apart.

A batch of a hundred events touches some thirty blocks, of which each would be read, written and told. So what it adds
may stay pending, as one record, until somebody says that it is time (`finish`): the blocks then are what they would
have been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from models.events.coercion import text
from models.events.event import Event
from models.profile.keys import SUMS, contract_key
from models.profile.schema import Profile
from models.retention.activity_flows import ActivityView, move
from models.retention.aggregates import Parts, SegmentRegistry, Sums, changed_blocks, put, read_parts, write_parts
from models.retention.life_table import LifetimeMove
from models.retention.subscription_flows import Change, SubscriptionSpell, change_of, forgotten, revise

SUBSCRIPTION: Final = "subscription"
EFFECTS: Final = frozenset({SUBSCRIPTION, "traits", "signed_up"})
"""Effects of events that the accounting wants to see; see `models.events.taxonomy`."""

GROUPS_KEY: Final = SUMS
PENDING_KEY: Final = SUMS + b"p"
PENDING_BLOCKS: Final = 256  # of which something may be pending, some 100 bytes each

Load = Callable[[Sequence[bytes]], list[bytes | None]]


class RetentionAccounts:
    """Made anew with its partition; what a batch changes is not kept here but returned.

    Args:
        load: Reads committed records.
        new: Nothing was ever applied before. A partition that was there before there was an accounting has
            none: half of a history would be counted wrongly.
    """

    def __init__(self, load: Load, *, new: bool) -> None:
        self._load = load
        self._new = new
        self._groups: SegmentRegistry | None = None
        self._parts: Parts | None = None
        self.begin()

    def begin(self) -> None:
        """A new batch."""
        self._sums = Sums(int)
        self._named: list[tuple[int, str, str]] = []
        self._moves: list[tuple[ActivityView, ActivityView]] = []
        self._changes: dict[bytes, list[Change]] = {}
        self._clocks: dict[bytes, list[int]] = {}  # the partition's at each change
        self.life_tables: list[LifetimeMove] = []
        """What `finish` has changed of first subscriptions, in no order."""
        self._sources: dict[bytes, list[str]] = {}  # of each life of a customer; who is forgotten begins another

    def event(self, place: int, key: bytes, event: Event, effect: str, clock_ms: int = 0) -> None:
        """An event that may name a plan or a source or change a subscription; no duplicate.

        Args:
            place: Of the event in the batch; batches are worked on customer by customer.
            key: The customer's profile key.
            effect: The event's, one of `EFFECTS`.
            clock_ms: The partition's clock, for who asks for `life_tables`.
        """
        properties = event.properties
        plan, source = text(properties.get("plan"), 64), text(properties.get("source"), 64)
        if plan or source:
            self._named.append((place, plan or "", source or ""))
        if effect == SUBSCRIPTION:
            self._changes.setdefault(key, []).append(change_of(event))
            self._clocks.setdefault(key, []).append(clock_ms)

    def moved(self, key: bytes, before: ActivityView, profile: Profile) -> None:
        """What a batch made of a customer who stood as `before`."""
        after = ActivityView.of(profile)
        if after != before:
            self._moves.append((before, after))
            if before.source != after.source and profile.subscription is not None:
                self._changes.setdefault(key, [])
        if key in self._changes:
            self._sources.setdefault(key, [""])[-1] = after.source

    def forgotten(self, key: bytes, before: ActivityView, profile: Profile, at_ms: int) -> None:
        """Nothing is kept of a customer any more: what was counted stays, a subscription that runs has ended then."""
        if profile.subscription is not None:
            self._changes.setdefault(key, []).append(forgotten(at_ms))
            self._clocks.setdefault(key, []).append(at_ms)
        self.moved(key, before, profile)
        if key in self._changes:
            self._sources[key].append("")

    @property
    def groups(self) -> SegmentRegistry | None:
        """The segments that are told apart, None where nothing is counted."""
        if self._groups is None:
            [record] = self._load([GROUPS_KEY])
            if record is not None or self._new:
                self._groups = SegmentRegistry.read(record)
        return self._groups

    def count(self) -> None:
        """Takes what was told so far into the sums; needed between `begin` and `finish` only to save memory."""
        groups = self.groups
        if groups is None:
            return
        sums = self._sums
        self._named.sort()
        for _, plan, source in self._named:
            groups.name(plan, source)
        for before, after in self._moves:
            move(sums, groups, before, after)
        self._named, self._moves = [], []

    @property
    def pending(self) -> bool:
        """Whether something is still to be added to the blocks."""
        return bool(self._pending())

    def _pending(self) -> Parts:
        if self._parts is None:
            [record] = self._load([PENDING_KEY])
            self._parts = read_parts(record)
        return self._parts

    def finish(self, *, settle: bool = True) -> dict[bytes, bytes | None]:
        """What the batch changes in the store; the caller commits it before the next batch, or throws this away.

        Args:
            settle: Blocks are brought up to date; else what the batch adds to them may stay pending.
        """
        groups = self.groups
        if groups is None:
            return {}
        self.count()
        sums = self._sums
        changes: dict[bytes, bytes | None] = {}
        keys = [contract_key(key) for key in self._changes]
        for key, name, record in zip(self._changes, keys, self._load(keys), strict=True):
            spells: list[tuple[int, SubscriptionSpell, SubscriptionSpell]] = []
            revised = revise(sums, groups, record, self._changes[key], self._sources[key], spells)
            for number, before, after in spells:
                before, after = (replace(spell, plan=groups.plan(spell.plan)) for spell in (before, after))
                self.life_tables.append(LifetimeMove(self._clocks[key][number], before, after))
            if revised is not None or record is not None:
                changes[name] = revised
        changes.update(self._settle() if settle or len(self._pending()) > PENDING_BLOCKS else self._postpone())
        if groups.grown:
            changes[GROUPS_KEY] = groups.record()
            groups.grown = False
        return changes

    def _settle(self) -> dict[bytes, bytes | None]:
        parts = self._pending()
        stored: dict[bytes, bytes | None] = {PENDING_KEY: None} if parts else {}
        put(parts, self._sums)
        self._parts = {}
        return stored | changed_blocks(parts, self._load)

    def _postpone(self) -> dict[bytes, bytes | None]:
        parts = self._pending()
        put(parts, self._sums)
        return {PENDING_KEY: write_parts(parts)} if parts else {}
