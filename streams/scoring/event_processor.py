"""Process the events of one partition: decode, apply, score, and return all effects of one transaction.

The customers are folded by pure code (`models.pipeline.partition`), which this module surrounds with

- a bound on the deadlines of one transaction,
- a search for the event at fault when that code fails: it becomes a dead letter, and all others are applied. If no
  event is at fault by itself, the partition stops (`streams.scoring.fault`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from models.pipeline.effects import OffsetEvent
from streams.engine.batch_metrics import BatchMetrics, Stopwatch, timestamps
from streams.engine.contract import BatchEffects, Processor, ProcessorFactory, Record, StateStore
from streams.errors import ChurnSignalsError
from streams.logs import error_location, get_logger
from streams.scoring.event_router import DecodedBatch, EventRouter, Routed
from streams.scoring.explain_protocol import ExplainClient
from streams.scoring.fault import NOT_THE_EVENT, FaultFinder
from streams.scoring.fold import Fold
from streams.scoring.late_events import LateEventsLog
from streams.scoring.processor_context import ProcessorContext

log = get_logger(__name__)

# Deadlines of one transaction: some 0.3 s of scoring, far below the transaction timeout.
DUE_MAX: Final = 5_000
# More failures in a row are a fault of this program, not of single records: stop instead of rejecting everything.
ERRORS_IN_A_ROW_MAX: Final = 10
# The accounting's figures are per day: flush them at this interval instead of with every transaction.
FLUSH_EVERY_MS: Final = 2_000


class EventProcessor(Processor):
    """The processor of one partition; see `streams.engine.contract.Processor`.

    Args:
        context: shared by the partitions of the worker.
        partition: its number.
        store: the partition's committed state.
        state: the last committed `BatchEffects.state`, None for a new partition.

    Raises:
        ConfigurationError: the state was written by another release or built under another churn definition.
    """

    def __init__(self, context: ProcessorContext, partition: int, store: StateStore, state: bytes | None) -> None:
        self.newest_event_ms: int | None = None
        self._context = context
        self._partition = partition
        self._store = store
        self._committed_state = self._computed_state = state
        self._router = EventRouter(context, partition)
        self._errors_in_a_row = 0
        self._flush_at_ms = self._idle_at_ms = self._received_ms = 0
        self._late_log = LateEventsLog(context.definition.grace_ms)
        self._undone: DecodedBatch | None = None  # what the last transaction left of its batch
        self._fold = self._committed_fold()

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Decode, route, apply, score and render."""
        explainer = self._context.explainer
        available = explainer is not None and explainer.available()
        return self._process(records, now_ms, explainer=explainer if available else None)

    def reprocess(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Do the same from the last commit, and render every score here."""
        self._fold = self._committed_fold()
        self._flush_at_ms = 0  # a flush that was lost is repeated
        return self._process(records, now_ms, explainer=None)

    def next_due_ms(self) -> int | None:
        """The earliest deadline of any customer."""
        return self._store.next_due_ms()

    def next_flush_ms(self) -> int | None:
        """When to flush the accounting, if it has changed, or to apply events that wait for others."""
        if self._fold.waits:
            return self._idle_at_ms
        return self._flush_at_ms if self._fold.unflushed else None

    def committed(self) -> None:
        """Take the state of the last effects as the one to restart from."""
        self._committed_state = self._computed_state

    def _process(
        self, records: Sequence[Record], now_ms: int | None, *, explainer: ExplainClient | None
    ) -> BatchEffects:
        tally = BatchMetrics()
        watch = Stopwatch(tally)
        batch = self._decoded(records)
        (entries, rows), routed = batch.accepted, list(batch.routed)
        watch("decode")
        self._received_ms = now_ms or 0
        count, until_ms = self._within_bounds(entries, self._received_ms, tally)
        flush = self._flush_is_due(records)
        idle_ms = self._idle_ms(records)
        try:
            effects = self._fold.apply(
                entries[:count],
                until_ms,
                tally,
                watch,
                flush=flush,
                explainer=explainer,
                idle_ms=idle_ms,
                received_ms=self._received_ms,
            )
        except NOT_THE_EVENT:
            raise
        except Exception as error:
            count, effects, fault = self._isolate(entries[:count], until_ms, error, tally)
            routed.append(self._router.failed(rows[count], records[rows[count]], fault))
            consumed = rows[count] + 1
        else:
            consumed = rows[count] if count < len(rows) else len(records)
            self._errors_in_a_row = 0 if count else self._errors_in_a_row
        self._undone = batch.rest(records[consumed].offset, consumed) if consumed < len(records) else None
        _add_routed(effects, [record for record in routed if record.row < consumed], tally)
        effects.consumed = consumed
        tally.counts["events_clamped",] += sum([event.clamped for _, event in entries[:count]])
        self._context.evidence.observe(entries[:count], tally)
        tally.arrived_ms = timestamps(records, tally.causes)
        effects.tally = tally
        self._report_late(tally.counts["events_late",], count)
        watch("encode")
        self.newest_event_ms = self._fold.newest_event_ms
        self._computed_state = effects.state
        return effects

    def _decoded(self, records: Sequence[Record]) -> DecodedBatch:
        """Decode the records, unless they are what the last transaction left of its batch."""
        undone = self._undone
        if undone is None or not records or (undone.offset, undone.size) != (records[0].offset, len(records)):
            return self._router.decode(records)
        return undone

    def _flush_is_due(self, records: Sequence[Record]) -> bool:
        """Without records always, otherwise at an interval."""
        now_ms = self._context.wall_ms()
        # A longer wait than the interval means that the clock was set back.
        if records and 0 < self._flush_at_ms - now_ms <= FLUSH_EVERY_MS:
            return False
        self._flush_at_ms = now_ms + FLUSH_EVERY_MS
        return True

    def _report_late(self, late: int, events: int) -> None:
        message = self._late_log.observe(late, events, self._fold.clock_ms, self._context.wall_ms())
        if message is not None:
            topic, number = self._context.events, self._partition
            log.warning("%s/%d: %s", topic, number, message, topic=topic, partition=number)

    def _idle_ms(self, records: Sequence[Record]) -> int:
        """The wall clock if events wait for others and none has arrived for a while, else 0."""
        now_ms = self._context.wall_ms()
        if records:
            self._idle_at_ms = now_ms + FLUSH_EVERY_MS
            return 0
        return now_ms if self._fold.waits and now_ms >= self._idle_at_ms else 0

    # Bounds ----------------------------------------------------------------------------------------------------------

    def _within_bounds(self, entries: Sequence[OffsetEvent], until_ms: int, tally: BatchMetrics) -> tuple[int, int]:
        """Bound a transaction to about `DUE_MAX` deadlines: how many events to apply, and up to which time.

        Deadlines up to a time are handled before the first event of that time or later, so a transaction can end there
        without changing any result.
        """
        first, times = self._fold.times(entries, until_ms)
        end_ms = max(until_ms, max(times, default=0))
        due = self._store.due(end_ms, DUE_MAX + 1)
        tally.due, tally.due_since_ms = len(due), due[0][0] if due else None
        # A key is due repeatedly, and keys of new customers are not in the store yet: bound the time as well. If
        # nothing is due yet, nothing is due before the first event either: it is applied, whatever the other times.
        begin_ms = due[0][0] if due else next((time_ms for time_ms in times if time_ms), end_ms)
        limit_ms = max(self._fold.clock_ms, begin_ms) + self._context.definition.snapshot_every_ms // 2
        if len(due) > DUE_MAX:
            limit_ms = min(limit_ms, due[DUE_MAX - 1][0])
        if limit_ms >= end_ms:
            return len(entries), until_ms
        for count, time_ms in enumerate(first):
            if time_ms >= limit_ms:
                return count, limit_ms
        return len(entries), limit_ms

    # A record at fault -----------------------------------------------------------------------------------------------

    def _committed_fold(self) -> Fold:
        """The fold as of the last commit, without what an exception left half done."""
        return Fold(self._context, self._partition, self._store, self._committed_state)

    def _isolate(
        self, entries: Sequence[OffsetEvent], until_ms: int, error: Exception, tally: BatchMetrics
    ) -> tuple[int, BatchEffects, Exception]:
        """Find the first event that cannot be applied; returns its index, the effects of all before it, and its error.

        Raises:
            ChurnSignalsError: no event is at fault by itself, or too many in a row are.
        """
        finder, state = FaultFinder(self._context, self._partition, self._store), self._committed_state
        # Invariant: the first `good` events can be applied, the first `bad` cannot (beyond the last: the deadlines).
        good, bad = 0, len(entries) + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            if (failure := self._failure_of(entries[:middle], 0)) is None:
                good = middle
            else:
                bad, error = middle, failure
        if good == len(entries):  # every event can be applied: a deadline after them fails
            raise finder.report(state, entries, until_ms, error, at_event=False) from error
        fault = entries[good]
        if (failure := self._failure_of(entries[:good], fault.event.time_ms)) is not None:  # a deadline before it
            until_ms = fault.event.time_ms
            raise finder.report(state, entries[:good], until_ms, failure, at_event=False) from failure
        if not finder.is_own_fault(fault):
            raise finder.report(state, entries[: good + 1], 0, error, at_event=True) from error
        self._count_fault(fault.offset, error, first=good > 0)
        self._fold = self._committed_fold()
        return good, self._fold.apply(entries[:good], 0, tally, received_ms=self._received_ms), error

    def _failure_of(self, entries: Sequence[OffsetEvent], until_ms: int) -> Exception | None:
        """Apply events, and the deadlines up to a time, from the last commit; returns why that fails."""
        try:
            self._committed_fold().apply(entries, until_ms, received_ms=max(until_ms, self._received_ms))
        except NOT_THE_EVENT:
            raise
        except Exception as error:
            return error
        return None

    def _count_fault(self, offset: int, error: Exception, *, first: bool) -> None:
        self._errors_in_a_row = 1 if first else self._errors_in_a_row + 1
        if self._errors_in_a_row <= ERRORS_IN_A_ROW_MAX:
            return
        topic, partition = self._context.events, self._partition
        raise ChurnSignalsError(
            f"{topic}/{partition}: {self._errors_in_a_row} events in a row cannot be applied,"
            f" the last at offset {offset}: {type(error).__name__} in {error_location(error)}"
            " (see their dead letters)",
            topic=topic,
            partition=partition,
            offset=offset,
        ) from error


def _add_routed(effects: BatchEffects, routed: Sequence[Routed], tally: BatchMetrics) -> None:
    """Put dead letters and forwarded events in front of the outputs, and count them."""
    effects.outputs[:0] = [record.output for record in routed]
    for record in routed:
        tally.counts["events", record.outcome] += 1
        if record.reason:
            tally.counts["dead_letters", record.reason] += 1


def processor_factory(context: ProcessorContext) -> ProcessorFactory:
    """Return the factory of a worker's processors."""

    def create(partition: int, store: StateStore, state: bytes | None) -> Processor:
        return EventProcessor(context, partition, store, state)

    return create
