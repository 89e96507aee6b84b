"""What happens to the events of one partition, as one sentence: `EventProcessor.process`.

    record ── decode ──┬─ refused ───────────────► dead letters, byte for byte
                       ├─ of another partition ──► there, once, with a mark
                       └─ ours ── Partition ──┬──► alerts, scores, labels
                                              └──► changes of the store, the partition's state

All of it leaves as effects of one transaction. The folding of customers is pure (`models.pipeline.partition`); what breaks it is
one record, which is found, isolated and becomes a dead letter.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.events.rejection import Rejected
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.features.scoring_point import SNAPSHOT
from models.labels.codec import label_value
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model, ModelScorer
from models.learning.model_snapshot import ModelSnapshotError
from models.outputs.records import alert_headers
from models.pipeline.metric_records import metric_records
from models.pipeline.partition import OffsetEvent, PartitionFold
from models.pipeline.score_history import ScoreHistory
from models.profile.codec import ProfileError
from streams.engine import batch_metrics as outcomes
from streams.engine.batch_metrics import BatchMetrics, Stopwatch, timestamps
from streams.engine.contract import BatchEffects, Output, Processor, Record, StateStore
from streams.errors import ChurnSignalsError, ConfigurationError, FormatMismatch
from streams.kafka.model_reader import PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.logs import error_location, get_logger
from streams.scoring.dead_letters import MISROUTED, PROCESSING_ERROR, dead_letter
from streams.scoring.explain_protocol import ExplainJob
from streams.scoring.fold_metrics import count_fold
from streams.settings import Settings, variable
from streams.topics import ALERTS, DEAD_LETTERS, EVENTS, LABELS, METRICS, SCORES, name_of

log = get_logger(__name__)

SPACE = FeatureSpace(NAMES, RELATIVE, CATALOGUE)

# A forwarded event: where it first landed, and the timestamp that its first record had (ours is that of writing).
FORWARDED = "churn.forwarded"
TIMESTAMP = "churn.timestamp"

# Kafka's default for `max.message.bytes`.
KAFKA_LIMIT_BYTES = 1_048_588
# The mark, and what a batch adds to one record. What would not fit any more is refused: a record that the topic does
# not take would stop the worker, and every worker after it.
MARK_BYTES = 1_024

# Scores of a batch that are worth handing to another process: asking costs as much as saying ten, and some ms.
DEFERRED_MIN = 16
# Deadlines of one transaction: some 0.3 s of scoring, far from the transaction's timeout.
DUE_MAX = 5_000
# murmur2 in pure Python costs 5 us a key: customers that are known to be at home here, some 100 bytes each.
HOMES_MAX = 200_000
# So many in a row is not bad luck with a record but a fault of this program: better to stop than to refuse everything.
ERRORS_IN_A_ROW_MAX = 10

# The accounting's figures are of days: a worker tells them so often, and not with every transaction.
SUMS_EVERY_MS = 2_000

_STATE_VERSION = 2


class _State(msgspec.Struct, array_like=True):
    version: int
    definition: str
    newest_event_ms: int | None
    partition: bytes


_encode_state = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(_State).decode


def _wall_ms() -> int:
    return int(time.time() * 1000)


def _never() -> bool:
    return False


class ProcessorContext:
    """What the partitions of a worker have in common, the newest model's scorer among it.

    Args:
        settings: of the process.
        definition: what churn means.
        partitions: how many the events topic has.
        limit_bytes: the largest record that the events topic takes.
        wall_ms: the clock, which only tells when a record was received, and when to tell the accounting's sums.

    Attributes:
        explained_elsewhere: whether scores may be left to be explained by another process now.
        deferred_min: so many of a batch are.
    """

    def __init__(
        self,
        settings: Settings,
        definition: ChurnDefinition,
        partitions: int,
        limit_bytes: int = KAFKA_LIMIT_BYTES,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        self.definition = definition
        self.partitions = partitions
        self.forward_bytes = limit_bytes - MARK_BYTES
        self.wall_ms = wall_ms
        self.events = name_of(EVENTS, settings)
        self.dead_letters = name_of(DEAD_LETTERS, settings)
        self.alerts = name_of(ALERTS, settings)
        self.scores = name_of(SCORES, settings)
        self.scores_compression = settings.compression_of(self.scores)
        self.labels = name_of(LABELS, settings)
        self.metrics = name_of(METRICS, settings)
        self.model = settings.model_name
        self.explained_elsewhere: Callable[[], bool] = _never
        self.deferred_min = DEFERRED_MIN
        self.scorer: ModelScorer = Model(SPACE).scorer()  # answers until there is a snapshot
        self.snapshot: PublishedSnapshot | None = None

    def on_snapshot(self, snapshot: PublishedSnapshot) -> None:
        """Score with this model from the next batch on.

        Raises:
            ConfigurationError: this program cannot score with it.
        """
        try:
            self.scorer = Model.restore_scorer(snapshot.value, SPACE)
        except ModelSnapshotError as error:
            raise ConfigurationError(f"model {self.model}: {error}") from error
        self.snapshot = snapshot
        log.info("scoring with model %s, labels before %d", self.scorer.version, snapshot.labels_offset)

    def factory(self, partition: int, store: StateStore, state: bytes | None) -> Processor:
        """The processor of one partition."""
        return EventProcessor(self, partition, store, state)


class _Accepted(NamedTuple):
    """The events to apply, and the place of the record of each in the batch."""

    entries: list[OffsetEvent]
    places: list[int]


class _Routed(NamedTuple):
    place: int
    output: Output
    outcome: str
    reason: str = ""  # of a dead letter


class _DecodedBatch(NamedTuple):
    """Records that were read: the offset of the first, and how many they are."""

    offset: int
    size: int
    ours: _Accepted
    leaving: list[_Routed]

    def rest(self, offset: int, consumed: int) -> _DecodedBatch:
        """What is left when so many were applied, the next one's offset being this."""
        (entries, places), leaving = self.ours, self.leaving
        here, there = bisect_left(places, consumed), bisect_left(leaving, consumed, key=_place_of)
        ours = _Accepted(entries[here:], [place - consumed for place in places[here:]])
        later = [_Routed(one.place - consumed, *one[1:]) for one in leaving[there:]]
        return _DecodedBatch(offset, self.size - consumed, ours, later)


def _place_of(one: _Routed) -> int:
    return one.place


class EventProcessor:
    """The product's processor of one partition.

    Args:
        shared: with the worker's other partitions.
        partition: its number.
        store: the partition's committed state.
        state: what `BatchEffects.state` last was, None for a new partition.

    Raises:
        ConfigurationError: the state was made under another definition of churn.
    """

    def __init__(self, shared: ProcessorContext, partition: int, store: StateStore, state: bytes | None) -> None:
        self.newest_event_ms: int | None = None
        self._shared = shared
        self._partition = partition
        self._store = store
        self._committed = self._written = state
        self._homes: dict[str, int] = {}
        self._errors_in_a_row = 0
        self._settle_at_ms = 0
        self._ahead: _DecodedBatch | None = None  # what the last transaction left of its batch
        self._fold = self._fresh()

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Decode, refuse, forward, apply, score, tell; see `streams.engine.contract.Processor`."""
        return self._process(records, now_ms, defer=self._shared.explained_elsewhere())

    def again(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """The same from where the last commit ended, and nothing is left to others."""
        self._fold = self._fresh()
        self._settle_at_ms = 0  # what was to be told is told now
        return self._process(records, now_ms, defer=False)

    def _process(self, records: Sequence[Record], now_ms: int | None, *, defer: bool) -> BatchEffects:
        tally = BatchMetrics()
        watch = Stopwatch(tally)
        read = self._ahead
        if read is None or not records or (read.offset, read.size) != (records[0].offset, len(records)):
            read = _DecodedBatch(records[0].offset if records else 0, len(records), *self._read(records))
        ours, leaving = read.ours, list(read.leaving)
        watch("decode")
        count, until_ms = self._within_reach(ours.entries, now_ms or 0, tally)
        wait_ms = self._settle_at_ms - self._shared.wall_ms()
        if settle := not (records and 0 < wait_ms <= SUMS_EVERY_MS):  # more: the clock was set back
            self._settle_at_ms = self._shared.wall_ms() + SUMS_EVERY_MS
        try:
            effects = self._fold.apply(ours.entries[:count], until_ms, tally, watch, settle=settle, defer=defer)
        except (ChurnSignalsError, ProfileError):
            raise  # what was stored cannot be read, which is no event's fault
        except Exception as error:
            count, effects, broken = self._isolate(ours.entries[:count], error, tally)
            leaving.append(self._refused(ours.places[count], records, broken))
            consumed = ours.places[count] + 1
        else:
            consumed = ours.places[count] if count < len(ours.places) else len(records)
            self._errors_in_a_row = 0 if count else self._errors_in_a_row
        self._ahead = read.rest(records[consumed].offset, consumed) if consumed < len(records) else None
        gone = [one for one in leaving if one.place < consumed]
        effects.outputs[:0] = [one.output for one in gone]
        effects.consumed = consumed
        for one in gone:
            tally.counts["events", one.outcome] += 1
            if one.reason:
                tally.counts["dead_letters", one.reason] += 1
        tally.counts["events_clamped",] += sum([event.clamped for _, event in ours.entries[:count]])
        tally.arrived_ms = timestamps(records, tally.causes)
        effects.tally = tally
        watch("encode")
        self.newest_event_ms = self._fold.newest_event_ms
        self._written = effects.state
        return effects

    def next_due_ms(self) -> int | None:
        """The earliest deadline of any customer."""
        return self._store.next_due_ms()

    def unsettled_until_ms(self) -> int | None:
        """When the accounting's sums are to be told, if there is anything new in them."""
        return self._settle_at_ms if self._fold.unsettled else None

    def committed(self) -> None:
        """What was computed last is durable: that is what the next fold would be made from."""
        self._committed = self._written

    # Decode, refuse, forward -----------------------------------------------------------------------------------------

    def _read(self, records: Sequence[Record]) -> tuple[_Accepted, list[_Routed]]:
        ours = entries, places = _Accepted([], [])
        leaving: list[_Routed] = []
        received_ms = self._shared.wall_ms()
        homes, here = self._homes, self._partition
        for place, record in enumerate(records):
            headers = record.headers
            mark = dict(headers).get(FORWARDED) if headers else None
            timestamp_ms = record.timestamp if mark is None else _first_timestamp(record)
            event = decode(record.value, headers, timestamp_ms, received_ms)
            if isinstance(event, Rejected):
                dead = self._dead(record, event.reason, event.message, "Rejected")
                leaving.append(_Routed(place, dead, outcomes.REJECTED, event.reason))
            elif homes.get(event.customer) == here or (home := self._home(event)) == here:
                entries.append(OffsetEvent(record.offset, event))
                places.append(place)
            elif mark is None and _size(record) <= self._shared.forward_bytes:
                leaving.append(_Routed(place, self._forwarded(record, home), outcomes.FORWARDED))
            else:
                dead = self._dead(record, MISROUTED, _wrong_partition(mark, home), "Misrouted")
                leaving.append(_Routed(place, dead, outcomes.REJECTED, MISROUTED))
        return ours, leaving

    def _home(self, event: Event) -> int:
        home = partition_of(event.customer.encode(), self._shared.partitions)
        if len(self._homes) >= HOMES_MAX:
            self._homes.clear()
        self._homes[event.customer] = home
        return home

    def _forwarded(self, record: Record, home: int) -> Output:
        mark = [
            (FORWARDED, f"{record.partition}@{record.offset}".encode()),
            (TIMESTAMP, str(record.timestamp).encode()),
        ]
        return Output(self._shared.events, home, record.key, record.value, [*record.headers, *mark])

    def _dead(self, record: Record, reason: str, message: str, exception: str) -> Output:
        return dead_letter(self._shared.dead_letters, record, reason, message, exception)

    # Bounds ----------------------------------------------------------------------------------------------------------

    def _within_reach(self, entries: Sequence[OffsetEvent], until_ms: int, tally: BatchMetrics) -> tuple[int, int]:
        """How many events to apply, and up to which time, so that a transaction looks at `DUE_MAX` deadlines or so.

        Deadlines up to a time are handled before the first event of that time or later, so a transaction may end there
        without changing anything.
        """
        times = [event.time_ms for _, event in entries]
        end_ms = max(until_ms, max(times, default=0))
        due = self._store.due(end_ms, DUE_MAX + 1)
        tally.due, tally.due_since_ms = len(due), due[0][0] if due else None
        # A key is due again and again, and those of new customers are not there yet: time is bounded too. Where nothing
        # is due yet, nothing is before the first event either, whatever time the others have: it is applied.
        begins = due[0][0] if due else times[0] if times else end_ms
        limit_ms = max(self._fold.clock_ms, begins) + self._shared.definition.snapshot_every_ms // 2
        if len(due) > DUE_MAX:
            limit_ms = min(limit_ms, due[DUE_MAX - 1][0])
        if limit_ms >= end_ms:
            return len(entries), until_ms
        for count, time_ms in enumerate(times):
            if time_ms >= limit_ms:
                return count, limit_ms
        return len(entries), limit_ms

    # One bad record --------------------------------------------------------------------------------------------------

    def _fresh(self) -> _Fold:
        """The fold as of the last commit: what an exception left half done is forgotten."""
        return _Fold(self._shared, self._partition, self._store, self._committed)

    def _isolate(
        self, entries: Sequence[OffsetEvent], error: Exception, tally: BatchMetrics
    ) -> tuple[int, BatchEffects, Exception]:
        """Find the first record that cannot be applied; returns its place and the effects of all before it.

        Raises:
            Exception: it is not a record's fault, or too many in a row are at fault.
        """
        if not entries:
            raise error
        good, bad = 0, len(entries) + 1  # so many can be applied, so many cannot (all of them: the clock at least)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._fresh().apply(entries[:middle], 0)
            except Exception as found:
                bad, error = middle, found
            else:
                good = middle
        if good == len(entries):
            raise error  # every event is fine: a deadline after them is not
        self._fresh().apply(entries[:good], entries[good].event.time_ms)  # raises if it is a deadline before the event
        self._errors_in_a_row = self._errors_in_a_row + 1 if good == 0 else 1
        if self._errors_in_a_row > ERRORS_IN_A_ROW_MAX:
            raise ChurnSignalsError(
                f"{self._shared.events}/{self._partition}: {self._errors_in_a_row} events in a row cannot be applied,"
                f" the last at offset {entries[good].offset}: {type(error).__name__} in {error_location(error)}"
                " (its dead letters say more)",
                topic=self._shared.events,
                partition=self._partition,
                offset=entries[good].offset,
            ) from error
        self._fold = self._fresh()
        return good, self._fold.apply(entries[:good], 0, tally), error

    def _refused(self, place: int, records: Sequence[Record], error: Exception) -> _Routed:
        record, kind = records[place], type(error)
        # What the error says may quote the event: it stands in the dead letter, beside the event itself.
        log.error(
            "%s/%d@%d cannot be applied: %s in %s",
            record.topic,
            record.partition,
            record.offset,
            kind.__name__,
            error_location(error),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        dead = self._dead(record, PROCESSING_ERROR, str(error), name)
        return _Routed(place, dead, outcomes.FAILED, PROCESSING_ERROR)


class _Fold:
    """The pure part: the customers of one partition, as of a state."""

    def __init__(self, shared: ProcessorContext, number: int, store: StateStore, state: bytes | None) -> None:
        before = None if state is None else _read_state(state, shared.definition, number)
        self.newest_event_ms = None if before is None else before.newest_event_ms
        self._shared, self._number = shared, number
        inner = None if before is None else before.partition
        self._partition = PartitionFold(
            shared.definition, store, shared.scorer, inner, topic=shared.events, number=number
        )
        self._book = ScoreHistory(self._partition.context, store)

    @property
    def clock_ms(self) -> int:
        """The partition's clock."""
        return self._partition.clock_ms

    @property
    def unsettled(self) -> bool:
        """Something is still to be added to the accounting's blocks."""
        return self._partition.accounts.pending

    def apply(
        self,
        entries: Sequence[OffsetEvent],
        until_ms: int,
        tally: BatchMetrics | None = None,
        watch: Stopwatch | None = None,
        *,
        settle: bool = True,
        defer: bool = False,
    ) -> BatchEffects:
        shared, number = self._shared, self._number
        self._partition.scorer = shared.scorer
        if watch is not None:
            self._partition.stage_ended = watch
        found = self._partition.process(entries, until_ms, settle=settle)
        pages, deferred = self._book.prepare(found), None
        outputs = [
            Output(shared.alerts, number, a.customer, a.value, alert_headers(a.event, a.customer.decode()))
            for a in found.alerts
        ]
        if defer and len(found.told) >= shared.deferred_min:
            deferred = ExplainJob(pages, shared.scores, number, shared.scores_compression)
        else:
            values = [value for telling in pages.tellings for value in telling.values()]
            outputs += [Output(shared.scores, number, customer, value) for customer, value in pages.told(values)]
        outputs += [Output(shared.labels, 0, e.customer.encode(), label_value(e)) for e in found.examples]
        outputs += [Output(shared.metrics, number, key, value) for key, value in metric_records(number, found.changes)]
        outputs += [
            Output(shared.metrics, number, *record) for counted in found.counted for record in counted.records(number)
        ]
        if entries:
            newest_ms = max([event.time_ms for _, event in entries])
            self.newest_event_ms = max(newest_ms, self.newest_event_ms or 0)
        state = _State(_STATE_VERSION, shared.definition.state_hash, self.newest_event_ms, found.state)
        if tally is not None:
            count_fold(tally, found, len(entries))
            if tally.counts["scores", SNAPSHOT]:  # what moves the population's level
                tally.drift = shared.scorer.drift(found.m[-1])
        return BatchEffects(
            outputs, changes={**found.changes, **pages.histories}, state=_encode_state(state), deferred=deferred
        )


def _read_state(data: bytes, definition: ChurnDefinition, number: int) -> _State:
    """The version before all else: what follows it may have another layout.

    Raises:
        FormatMismatch: written by another release.
        ConfigurationError: built under another definition of churn.
    """
    what = f"the state of partition {number}"
    try:
        version = msgspec.msgpack.decode(data)[0]
        if version != _STATE_VERSION:
            raise FormatMismatch(what, version, _STATE_VERSION)
        state = _decode_state(data)
    except (msgspec.MsgspecError, TypeError, LookupError) as error:
        raise FormatMismatch(f"{what}, which cannot be read ({error}),", "unknown", _STATE_VERSION) from error
    if state.definition != definition.state_hash:
        raise ConfigurationError(
            f"partition {number} was built with the churn definitions {state.definition}, which are now"
            f" {definition.state_hash}: start a new group, from the log's beginning: {variable('kafka_group_id')}=NAME"
        )
    return state


def _size(record: Record) -> int:
    texts = sum(len(name) * 4 + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + texts


def _wrong_partition(mark: bytes | None, home: int) -> str:
    if mark is None:
        return f"belongs to partition {home} and is too large to be forwarded: key it by its customer's id."
    where = mark.decode("ascii", "replace")
    return f"was forwarded from {where}, but belongs to partition {home}: do all workers see the same partitions?"


def _first_timestamp(record: Record) -> int:
    said: Any = dict(record.headers).get(TIMESTAMP) or b""  # a header's value may be null
    try:
        return int(said)
    except ValueError:
        return record.timestamp
