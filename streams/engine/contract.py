"""The interface between engine and product: a `Processor` per partition turns records into effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streams.engine.batch_metrics import BatchMetrics
from streams.engine.record_batch import EncodedBatch
from streams.health import Check
from streams.kafka.topic_identity import TopicIdentity

Headers = Sequence[tuple[str, bytes]]

# Length of the due time in front of a value; NEVER_DUE_MS sorts after every real one.
DUE_PREFIX_BYTES = 8
NEVER_DUE_MS = 2**63 - 1
# First bytes of the keys that the store treats specially; the same as in `models.profile.keys`.
PROFILE_KEYS = b"c"
SNAPSHOT_KEYS = b"s"
# Values under these keys start with their due time: 8 bytes, big endian.
TIMED_KEYS = (b"a", PROFILE_KEYS)


class Record(Protocol):
    """A consumed record, such as aiokafka's `ConsumerRecord`."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Output(NamedTuple):
    """One record to write in the batch's transaction.

    Attributes:
        partition: explicit, so that no key is hashed.
        timestamp_ms: of a record that keeps its original timestamp; None for the wall time of writing.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


class Deferred(Protocol):
    """Outputs for one partition that another process encodes while the transaction is open.

    `BatchEffects.outputs` has no output for that partition.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...

    @property
    def count(self) -> int:
        """Number of records."""
        ...

    @property
    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold it from before the transaction begins until it ends: it limits how many open transactions wait."""
        ...

    async def batches(self) -> Sequence[EncodedBatch]:
        """Wait for the encoded records.

        Raises:
            DeferredOutputsLost: there are none; abort the transaction and call `Processor.reprocess`.
        """
        ...


@dataclass(slots=True)
class BatchEffects:
    """All effects of a batch, which become visible together with its position, or not at all.

    Attributes:
        outputs: records for any topic, in the order in which they are written.
        changes: store key -> new value, None for a tombstone. Keys must not start with a zero byte.
        state: opaque to the engine; passed to the factory of the partition's next processor.
        consumed: how many of the records were applied, None for all. The others are passed to the next `process`:
            this is how a processor bounds the due work of one transaction.
        tally: counts for metrics.
        deferred: outputs that another process encodes; None for none.
    """

    outputs: list[Output] = field(default_factory=list)
    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    state: bytes = b""
    consumed: int | None = None
    tally: BatchMetrics = field(default_factory=BatchMetrics)
    deferred: Deferred | None = None


class StateStore(Protocol):
    """What a processor reads: the partition's committed state."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys, None for a missing one."""

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Return at most `limit` pairs (due_ms, key) with due_ms <= until_ms, ordered by (due_ms, hash of key)."""

    def next_due_ms(self) -> int | None:
        """Return the earliest due time, None if nothing is due at any time."""


class Processor(Protocol):
    """The product's logic for one partition: created after recovery, discarded on failure.

    A class that inherits from this protocol buffers nothing and defers nothing unless it overrides the methods that
    have a body here.

    Attributes:
        newest_event_ms: time of the newest event, from which the engine decides whether the input is live; None if
            not known yet.
    """

    newest_event_ms: int | None

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Apply records. Pure CPU, synchronous; an exception stops the worker.

        Args:
            records: in offset order. Empty when a deadline or a flush is due.
            now_ms: wall clock if the input is live and read to its end, else None.
        """
        ...

    def reprocess(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Process the records of the last `process` again, from the last commit, and defer no outputs.

        Called after `DeferredOutputsLost`.
        """
        return self.process(records, now_ms)

    def next_due_ms(self) -> int | None:
        """When to call `process` without records while the input is live; None for never."""
        ...

    def next_flush_ms(self) -> int | None:
        """When to call `process` without records, on the wall clock and also in a replay, to flush what is buffered.

        None if nothing is buffered.
        """
        return None

    def committed(self) -> None:
        """Note that the effects of the last `process` are durable and in the store."""


class SideInput(Protocol):
    """An input that every worker reads in full, besides the partitions that it owns."""

    async def read_to_end(self) -> object:
        """Read what there is now; called once, before the first takeover."""
        ...

    async def follow(self) -> None:
        """Read what is added, until cancelled; an error ends the worker."""
        ...

    async def stop(self) -> None:
        """Close the connections."""
        ...

    def checks(self) -> list[Check]:
        """Readiness: whether `read_to_end` is done."""
        ...


ProcessorFactory = Callable[[int, StateStore, bytes | None], Processor]
"""(partition, store, state of the last committed effects or None) -> a processor."""


@dataclass(slots=True, eq=False)
class Batch:
    """Records of one partition, with the offsets it continues from and ends before.

    Attributes:
        start, next: the batch contains every record of [start, next). Transaction markers and compacted records
            leave gaps between offsets within a batch, never between two batches.
        end: the partition's last stable offset at the time of the fetch; next >= end means read to the end.
        delivered: passed to the partition's runner, which releases it with `Inputs.finished`.
    """

    topic: str
    partition: int
    start: int
    next: int
    end: int
    records: Sequence[Record]
    delivered: bool = False


class Inputs(Protocol):
    """Where a partition's batches come from (the group's consumer)."""

    async def seek(self, partition: int, offset: int) -> None:
        """Deliver from this offset on; what was fetched before is dropped."""

    def finished(self, batch: Batch) -> None:
        """Release a batch, so that another one can be fetched."""


class GroupInputs(Inputs, Protocol):
    """The group's consumer, as ownership needs it."""

    async def bounds(self, partitions: set[int]) -> dict[int, tuple[int, int]]:
        """Return the first offset that the broker still has, and the offset after the last one."""
        ...

    async def identity(self) -> TopicIdentity | None:
        """Return the input topic as the brokers know it now; None if it does not exist."""
        ...

    async def commit(self, positions: Mapping[int, int]) -> bool:
        """Commit group offsets; returns False if the group no longer takes this member for the owner."""
        ...


Changes = Mapping[bytes, bytes | None]
"""Store key -> new value, None for a tombstone."""
