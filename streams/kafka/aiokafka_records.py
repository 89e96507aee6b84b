"""Decode fetched records although the name of a header is not UTF-8, which aiokafka refuses.

Brokers accept such records, and other clients write them. aiokafka raises `UnicodeDecodeError` from every fetch of the
record's batch: one record would stop every reader of its partition for good. Private parts of aiokafka that concern
record batches are used in this module only. Tested by tests/streams/kafka/test_aiokafka_records.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, SupportsIndex, overload

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

# First offset of a batch, and the size of what follows (https://kafka.apache.org/documentation/#recordbatch).
_BATCH_HEAD: Final = struct.Struct(">qi")


class TolerantRecords:
    """The record batches of a fetch, with the interface of `aiokafka.record.memory_records.MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Return the size of all batches."""
        return self._records.size_in_bytes()

    def has_next(self) -> bool:
        """Return whether there is another batch."""
        return self._records.has_next()

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._records.next_batch()
        return None if batch is None else _TolerantBatch(batch, self._data)


class _TolerantBatch:
    """One batch. Its records are decoded by aiokafka's extension in C, and in Python only if that fails."""

    __slots__ = ("_batch", "_data")

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        decoded = 0
        try:
            for record in self._batch:
                yield record
                decoded += 1
        except UnicodeDecodeError:
            yield from _decoded_in_python(self._data, self._batch.base_offset)[decoded:]

    def __next__(self) -> Any:
        return next(self._batch)


class _Text(bytearray):
    def decode(self, *_: Any) -> str:
        return super().decode("utf-8", "replace")


class _TolerantBuffer(bytearray):
    """A slice of it decodes to text in any case. Keys and values are copied from slices as bytes."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytearray: ...
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found if isinstance(found, int) else _Text(found)


def _decoded_in_python(data: bytes, base_offset: int) -> list[Any]:
    """Return the records of the batch at an offset, with replacement characters in the names of headers."""
    at = 0
    while True:
        offset, size = _BATCH_HEAD.unpack_from(data, at)
        end = at + _BATCH_HEAD.size + size
        if offset == base_offset:
            break
        at = end
    batch: Any = _DefaultRecordBatchPy(data[at:end])
    batch._maybe_uncompress()
    batch._buffer = _TolerantBuffer(batch._buffer)
    return list(batch)


def install() -> None:
    """Let all consumers of this process decode such records."""
    fetcher.MemoryRecords = TolerantRecords
