"""The counts of unreadable properties of a partition: their record in the store, and its copy in `churn-metrics`.

The record is written with the batch that changes it. It is published only when the accounting is flushed, so that a
batch of a few events has no record more to publish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from models.events.unreadable import PAIRS_MAX, UnreadableCount, UnreadableCounts, UnreadableProperty
from models.profile.keys import UNREADABLE

METRIC_PREFIX: Final = b"unreadable/"
"""Prefix of the keys of the published records; the topic also holds other metrics."""

COUNT_MAX: Final = 1 << 62

_NAME_CHARS: Final = 128

Load = Callable[[Sequence[bytes]], list[bytes | None]]


class _StoredCount(msgspec.Struct, array_like=True):
    event: str
    property: str
    count: int
    first: int
    newest: int


class _Stored(msgspec.Struct, array_like=True):
    counts: list[_StoredCount] = []
    pending: bool = False  # whether the counts have changed since they were published


class _PublishedCount(msgspec.Struct):
    event: str
    property: str
    count: int
    first_offset: int
    newest_offset: int


class _Published(msgspec.Struct):
    partition: int
    properties: list[_PublishedCount]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode
_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(_Published).decode


class UnreadableRecord:
    """The counts of one partition.

    Args:
        load: Reads committed records.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._counts: UnreadableCounts | None = None
        self._pending = False

    @property
    def pending(self) -> bool:
        """Whether the counts have changed since they were published."""
        self._read()
        return self._pending

    def apply_batch(self, batch: UnreadableCounts, *, flush: bool) -> dict[bytes, bytes | None]:
        """Add the counts of a batch, and return the change of the store. The caller commits it before the next batch.

        Args:
            batch: The counts of the batch.
            flush: Whether to publish the counts.
        """
        counts = self._read()
        if not batch and not (flush and self._pending):
            return {}
        counts.merge(batch)
        self._pending = not flush
        stored = [_StoredCount(*pair, *count) for pair, count in counts.items()]
        return {UNREADABLE: _encode(_Stored(stored, self._pending))}

    def _read(self) -> UnreadableCounts:
        if self._counts is None:
            [record] = self._load([UNREADABLE])
            stored = _Stored() if record is None else _decode(record)
            self._counts, self._pending = _counts(stored), stored.pending
        return self._counts


def _counts(stored: _Stored) -> UnreadableCounts:
    return UnreadableCounts(
        (UnreadableProperty(row.event, row.property), UnreadableCount(row.count, row.first, row.newest))
        for row in stored.counts
    )


def metric_key(partition: int) -> bytes:
    """Return the key of a partition's published counts.

    >>> metric_key(3)
    b'unreadable/3'
    """
    return METRIC_PREFIX + str(partition).encode()


def metric_value(partition: int, record: bytes) -> bytes | None:
    """Encode a record for publishing; None if it is not to be published yet."""
    stored = _decode(record)
    if stored.pending:
        return None
    return _encode_value(
        _Published(partition, [_PublishedCount(*msgspec.structs.astuple(row)) for row in stored.counts])
    )


def read_metric(value: bytes, key: bytes) -> UnreadableCounts:
    """Decode published counts.

    Raises:
        msgspec.MsgspecError: No partition publishes such a record. The message does not quote it.
    """
    published = _decode_value(value)
    if key != metric_key(published.partition):
        raise msgspec.ValidationError("the key is not that of the counts")
    rows = published.properties
    if len(rows) > PAIRS_MAX + 1:
        raise msgspec.ValidationError("there are too many counts")
    if not all(len(row.event) <= _NAME_CHARS >= len(row.property) and 0 < row.count < COUNT_MAX for row in rows):
        raise msgspec.ValidationError("a name is too long or a count is out of range")
    return UnreadableCounts(
        (UnreadableProperty(row.event, row.property), UnreadableCount(row.count, row.first_offset, row.newest_offset))
        for row in rows
    )


__all__ = ["METRIC_PREFIX", "UnreadableRecord", "metric_key", "metric_value", "read_metric"]
