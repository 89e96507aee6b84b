"""The retention accounting of a file: the same computation as in a partition, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.events.event import Event, meaning_of
from models.profile.apply import apply
from models.profile.keys import profile_key
from models.profile.schema import Profile
from models.retention.accounts import EFFECTS, RetentionAccounts
from models.retention.activity_flows import ActivityView
from models.retention.aggregates import Sums, add, is_sums, read_block

COUNT_EVERY: Final = 5_000  # events whose recorded activity is kept in memory, some 1 KB each


class RetentionLog:
    """Computes the retention sums of events in order of arrival. Duplicates do not count."""

    def __init__(self) -> None:
        self._profiles: dict[str, Profile] = {}
        self._records: dict[bytes, bytes | None] = {}
        self._events = 0
        self._accounts = RetentionAccounts(self._load, new=True)

    def add(self, event: Event) -> None:
        """Add an event."""
        row = meaning_of(event)
        if row.effect == "alert":
            return  # the handling of an alert is not an action of the customer
        profile = self._profiles.get(event.customer)
        if profile is None:
            profile = self._profiles[event.customer] = Profile()
        before = ActivityView.of(profile)
        if not apply(profile, event, row):
            return
        key = profile_key(event.customer)
        if row.effect in EFFECTS:
            self._accounts.record_event(self._events, key, event, row.effect)
        self._accounts.record_activity(key, before, profile)
        self._events += 1
        if self._events % COUNT_EVERY == 0:
            self._accounts.count()

    def sums(self) -> Sums:
        """Return the sums of all events so far."""
        self._records.update(self._accounts.finish())
        self._accounts.begin()
        total = Sums(int)
        for key, record in self._records.items():
            if record is not None and is_sums(key):
                add(total, read_block(key, record))
        return total

    def _load(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._records.get(key) for key in keys]
