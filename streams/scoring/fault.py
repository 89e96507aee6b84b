"""Decide what is at fault when an event cannot be applied: the event, a stored record, the model, or this program.

Only an event that fails by itself is given up: applied to a customer without any record and scored by the prior, while
an ordinary event can be applied in the same way. Everything else is ours. The partition stops with a sentence that
names the record, and no event is rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.events.event import Event
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.pipeline.effects import OffsetEvent
from models.pipeline.ranking import RiskScorer
from models.pipeline.stored_record import read_stored
from models.profile.codec import ProfileError
from models.profile.keys import profile_key
from streams.engine.contract import StateStore
from streams.engine.damaged_record import damaged
from streams.errors import ChurnSignalsError
from streams.logs import error_location
from streams.scoring.fold import Fold
from streams.scoring.processor_context import ProcessorContext

NOT_THE_EVENT: Final = (ChurnSignalsError, MemoryError, OSError)
"""Errors that no event can cause."""

# Each takes a millisecond, and the heartbeats of this worker wait meanwhile.
_DEADLINES_TRIED: Final = 2_000

_ORDINARY: Final = OffsetEvent(0, Event("an ordinary customer", "page", 1_700_000_000_000, 1, {}, False, False))


class _NoRecords(StateStore):
    """The store of a new partition."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [None] * len(keys)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return []

    def next_due_ms(self) -> int | None:
        return None


class _NotedReads(StateStore):
    """A store that notes which keys were read."""

    def __init__(self, store: StateStore) -> None:
        self.keys: dict[bytes, None] = {}
        self._store = store

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.keys.update(dict.fromkeys(keys))
        return self._store.get_many(keys)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return self._store.due(until_ms, limit)

    def next_due_ms(self) -> int | None:
        return self._store.next_due_ms()


class _OneDue(_NotedReads):
    """A store in which the deadline of one key is due, and no other."""

    def __init__(self, store: StateStore, key: bytes, due_ms: int) -> None:
        super().__init__(store)
        self._due = [(due_ms, key)]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return self._due


class FaultFinder:
    """Finds what is at fault in one partition.

    Args:
        context: shared by the partitions of the worker.
        partition: its number.
        store: the partition's committed state.
    """

    def __init__(self, context: ProcessorContext, partition: int, store: StateStore) -> None:
        self._context, self._partition, self._store = context, partition, store

    def is_own_fault(self, entry: OffsetEvent) -> bool:
        """Whether an event fails by itself."""
        prior = Model(SPACE).scorer()
        return self._failure_of(_ORDINARY, prior) is None and self._failure_of(entry, prior) is not None

    def report(
        self, state: bytes | None, entries: Sequence[OffsetEvent], until_ms: int, error: Exception, *, at_event: bool
    ) -> ChurnSignalsError:
        """Return the error that stops the partition: the last of the events, or a deadline, fails for our fault.

        Args:
            state: the last committed `BatchEffects.state`.
            entries: events that cannot be applied.
            until_ms: deadlines up to here are handled.
            error: why they cannot.
            at_event: the last event fails; otherwise a deadline does.
        """
        topic, partition, kind = self._context.events, self._partition, type(error).__name__
        if record := self._damaged_record(state, entries, until_ms):
            key, why = record
            return damaged(self._context.changelog, partition, key, f"{why}; no event was rejected")
        model = self._context.scorer
        if self._failure_of(_ORDINARY, Model(SPACE).scorer()) is not None:
            what = "no event can be applied"
        elif self._failure_of(_ORDINARY, model) is not None:
            what = f"model {model.version} cannot score any event"
        elif at_event:
            offset, event = entries[-1]
            why = (
                f"{kind} in {error_location(error)} at {topic}/{partition}@{offset}, an event that can be applied to a"
                " customer without records and was not rejected"
            )
            return damaged(self._context.changelog, partition, profile_key(event.customer), why)
        elif due := self._failing_deadline(state, until_ms):
            why = f"{kind} in {error_location(error)} when its deadline is handled; no event was rejected"
            return damaged(self._context.changelog, partition, due, why)
        else:
            what = "a deadline cannot be handled"
        where = f"{kind} in {error_location(error)}; no event was rejected"
        return ChurnSignalsError(f"{topic}/{partition}: {what}: {where}", topic=topic, partition=partition)

    def _failure_of(self, entry: OffsetEvent, scorer: RiskScorer) -> Exception | None:
        """Apply one event to a new partition; returns why that fails."""
        try:
            Fold(self._context, self._partition, _NoRecords(), None, scorer).apply([entry], entry.event.time_ms)
        except NOT_THE_EVENT:
            raise
        except Exception as error:
            return error
        return None

    def _failing_deadline(self, state: bytes | None, until_ms: int) -> bytes | None:
        """Return the first key whose deadline cannot be handled by itself."""
        for due_ms, key in self._store.due(until_ms, _DEADLINES_TRIED):
            try:
                store = _OneDue(self._store, key, due_ms)
                Fold(self._context, self._partition, store, state).apply((), until_ms)
            except NOT_THE_EVENT:
                raise
            except Exception:
                return key
        return None

    def _damaged_record(
        self, state: bytes | None, entries: Sequence[OffsetEvent], until_ms: int
    ) -> tuple[bytes, str] | None:
        """Return a record that was read for these events and cannot be decoded: its key, and why."""
        noted = _NotedReads(self._store)
        try:
            Fold(self._context, self._partition, noted, state).apply(entries, until_ms)
        except NOT_THE_EVENT:
            raise
        except Exception:
            for key in noted.keys:
                [record] = self._store.get_many([key])
                try:
                    if record is not None:
                        read_stored(key, record)
                except ProfileError as damage:
                    return key, str(damage)
        return None
