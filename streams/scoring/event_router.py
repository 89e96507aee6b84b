"""Decode the records of a partition and decide where each one goes.

record ── decode ──┬─ rejected ──────────────► dead letters, byte for byte
                   ├─ unauthorized control ──► dead letters, byte for byte
                   ├─ of another partition ──► the events topic again, once, with forwarding headers
                   └─ of this partition ─────► applied (`streams.scoring.event_processor`)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from models.events.event import Event, decode
from models.events.rejection import Rejected
from models.events.taxonomy import CONTROL_EVENTS
from models.pipeline.effects import OffsetEvent
from streams.engine import batch_metrics as outcomes
from streams.engine.contract import Output, Record
from streams.kafka.control_signature import UNAUTHORIZED_CONTROL
from streams.kafka.partitioner import partition_of
from streams.logs import error_location, get_logger
from streams.scoring.dead_letters import MISROUTED, PROCESSING_ERROR, dead_letter
from streams.scoring.processor_context import ProcessorContext

log = get_logger(__name__)

# Headers of a forwarded event: where it was published first, and the timestamp of that record. The forwarded record's
# own timestamp is that of writing.
FORWARDED: Final = "churn.forwarded"
TIMESTAMP: Final = "churn.timestamp"

# murmur2 in pure Python costs 5 us a key: cache the partitions of this many customers, some 100 bytes each.
CACHED_PARTITIONS_MAX: Final = 200_000


class Accepted(NamedTuple):
    """The events to apply, and the row of each one's record in the batch (0 is its first record)."""

    entries: list[OffsetEvent]
    rows: list[int]


class Routed(NamedTuple):
    """A record that is not applied here: its row, and what is written instead."""

    row: int
    output: Output
    outcome: str
    reason: str = ""  # of a dead letter


class DecodedBatch(NamedTuple):
    """A decoded batch: the offset of its first record, its number of records, and where they go."""

    offset: int
    size: int
    accepted: Accepted
    routed: list[Routed]

    def rest(self, offset: int, consumed: int) -> DecodedBatch:
        """Return what is left of the batch after `consumed` records; `offset` is that of the next one."""
        (entries, rows), routed = self.accepted, self.routed
        first_accepted = bisect_left(rows, consumed)
        first_routed = bisect_left(routed, consumed, key=_row_of)
        accepted = Accepted(entries[first_accepted:], [row - consumed for row in rows[first_accepted:]])
        later = [Routed(record.row - consumed, *record[1:]) for record in routed[first_routed:]]
        return DecodedBatch(offset, self.size - consumed, accepted, later)


def _row_of(record: Routed) -> int:
    return record.row


class EventRouter:
    """Decodes the records of one partition."""

    def __init__(self, context: ProcessorContext, partition: int) -> None:
        self._context = context
        self._partition = partition
        self._partitions: dict[str, int] = {}

    def decode(self, records: Sequence[Record]) -> DecodedBatch:
        """Decode a batch and route every record in it."""
        accepted = entries, rows = Accepted([], [])
        routed: list[Routed] = []
        received_ms = self._context.wall_ms()
        partitions, own, control = self._partitions, self._partition, self._context.control
        names = self._context.definition.names
        for row, record in enumerate(records):
            headers = record.headers
            mark = dict(headers).get(FORWARDED) if headers else None
            timestamp_ms = record.timestamp if mark is None else _first_timestamp(record)
            event = decode(record.value, headers, timestamp_ms, received_ms, names)
            if isinstance(event, Rejected):
                dead = self._dead_letter(record, event.reason, event.message, "Rejected")
                routed.append(Routed(row, dead, outcomes.REJECTED, event.reason))
            elif event.name in CONTROL_EVENTS and not control.accepts(record.value, headers):
                dead = self._dead_letter(record, UNAUTHORIZED_CONTROL, control.refusal(event.name), "Unauthorized")
                routed.append(Routed(row, dead, outcomes.REJECTED, UNAUTHORIZED_CONTROL))
            elif partitions.get(event.customer) == own or (partition := self._partition_of(event)) == own:
                entries.append(OffsetEvent(record.offset, event))
                rows.append(row)
            elif mark is None and _size(record) <= self._context.forward_bytes:
                routed.append(Routed(row, self._forwarded(record, partition), outcomes.FORWARDED))
            else:
                dead = self._dead_letter(record, MISROUTED, _wrong_partition(mark, partition), "Misrouted")
                routed.append(Routed(row, dead, outcomes.REJECTED, MISROUTED))
        return DecodedBatch(records[0].offset if records else 0, len(records), accepted, routed)

    def failed(self, row: int, record: Record, error: Exception) -> Routed:
        """Turn a record that cannot be applied into a dead letter, and log it."""
        kind = type(error)
        # The error's message may quote the event, so only the dead letter, which holds the event anyway, carries it.
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
        dead = self._dead_letter(record, PROCESSING_ERROR, str(error), name)
        return Routed(row, dead, outcomes.FAILED, PROCESSING_ERROR)

    def _partition_of(self, event: Event) -> int:
        partition = partition_of(event.customer.encode(), self._context.partitions)
        if len(self._partitions) >= CACHED_PARTITIONS_MAX:
            self._partitions.clear()
        self._partitions[event.customer] = partition
        return partition

    def _forwarded(self, record: Record, partition: int) -> Output:
        mark = [
            (FORWARDED, f"{record.partition}@{record.offset}".encode()),
            (TIMESTAMP, str(record.timestamp).encode()),
        ]
        return Output(self._context.events, partition, record.key, record.value, [*record.headers, *mark])

    def _dead_letter(self, record: Record, reason: str, message: str, exception: str) -> Output:
        return dead_letter(self._context.dead_letters, record, reason, message, exception)


def _size(record: Record) -> int:
    headers = sum(len(name) * 4 + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


def _wrong_partition(mark: bytes | None, partition: int) -> str:
    if mark is None:
        return f"belongs to partition {partition} and is too large to be forwarded: key it by its customer's id."
    origin = mark.decode("ascii", "replace")
    return f"was forwarded from {origin}, but belongs to partition {partition}: do all workers see the same partitions?"


def _first_timestamp(record: Record) -> int:
    text: Any = dict(record.headers).get(TIMESTAMP) or b""  # a header's value may be null
    try:
        return int(text)
    except ValueError:
        return record.timestamp
