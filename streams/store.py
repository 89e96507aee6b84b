"""A partition's local store: RocksDB as a cache of the changelog, with the deadlines in order beside the values."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import xxhash
from rocksdict import DBCompressionType, Options, Rdict, WriteBatch

from models.store import PROFILE, SNAPSHOT
from streams.deadlines import Deadlines
from streams.errors import ChurnSignalsError
from streams.logs import get_logger
from streams.processing import DUE_PREFIX_BYTES, NEVER_DUE_MS, TIMED_KEYS, Changes

log = get_logger(__name__)

# Layout: one letter in front of every key tells what it is.
_DATA, _INDEX, _META = b"d", b"i", b"m"
_ENTRY_KEY_START = DUE_PREFIX_BYTES + 8  # of an index's entry: due time and hash come first

# Four memtables of 16 MiB per partition at most: the store is a cache, memory belongs to the batches.
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_REBUILD_BATCH = 20_000
# Due times of records that were lately read or written, some 200 bytes each: they move without being read again.
_DUES_KEPT = 50_000


class Counts(msgspec.Struct, array_like=True):
    """How much the store holds."""

    profiles: int = 0
    pending: int = 0  # training snapshots: keys that are written once and removed once


class Meta(msgspec.Struct, array_like=True):
    """What the store stands for.

    Attributes:
        changelog_offset: the changelog is contained up to here (exclusive); the record before it is a position.
        written_ms: wall time of the last write; older than the changelog keeps tombstones means rebuild.
        counts: of what it holds; None in a store of an earlier release.
    """

    changelog_offset: int
    written_ms: int
    counts: Counts | None = None


class StoreInUse(ChurnSignalsError):
    """Another process, perhaps a stopped one, holds the directory."""


class StoreFull(ChurnSignalsError):
    """The disk takes no more. What was committed stands in the changelog, so nothing is lost by ending here."""


class StoreDamaged(ChurnSignalsError):
    """The disk gives back something else than was written; the owner empties the store and takes over anew."""


class PartitionStore:
    """Committed state of one partition, in a directory of its own.

    Not safe for two threads at once; a second process on the same directory is refused by RocksDB's lock.

    Raises:
        StoreInUse: another process has the directory open.
        StoreFull: there is no room for it; what is there stays.
        ChurnSignalsError: the directory cannot be made (no right to).
    """

    _counts: Counts | None

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys."""
        try:
            values: list[bytes | None] = self._db.get([_DATA + key for key in keys])
        except Exception as failure:
            raise StoreDamaged(
                f"the store {self.directory} cannot be read ({failure}): it is emptied and read anew from the changelog"
            ) from failure
        for key, value in zip(keys, values, strict=True):
            if key[:1] in TIMED_KEYS:
                self._seen_due[key] = value[:DUE_PREFIX_BYTES] if value is not None else None
        return values

    def get(self, key: bytes) -> bytes | None:
        """One value."""
        return self._db.get(_DATA + key)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """The first deadlines up to a time, in the order (due time, hash of the key)."""
        entries = self._deadlines.until(_due_bytes(until_ms + 1), limit) if limit > 0 else []
        return [(int.from_bytes(entry[:DUE_PREFIX_BYTES], "big"), entry[_ENTRY_KEY_START:]) for entry in entries]

    def next_due_ms(self) -> int | None:
        """The earliest deadline."""
        first = self._deadlines.first()
        return None if first is None else int.from_bytes(first[:DUE_PREFIX_BYTES], "big")

    def write(self, changes: Changes, changelog_offset: int) -> None:
        """Values, deadlines and the changelog offset they stand for, in one write batch."""
        old_due = self._old_due([key for key in changes if key[:1] in TIMED_KEYS])
        batch = WriteBatch(raw_mode=True)
        self._count_changes(changes, old_due)
        left, came, dues = [], [], {}
        for key, value in changes.items():
            if key[:1] in TIMED_KEYS:
                due = value[:DUE_PREFIX_BYTES] if value is not None else None
                if due != (old := old_due[key]):
                    if old is not None and old != _NEVER:
                        left.append(_entry(old, key))
                    if due is not None and due != _NEVER:
                        came.append(_entry(due, key))
                    dues[key] = due
            if value is None:
                batch.delete(_DATA + key)
            else:
                batch.put(_DATA + key, value)
        for entry in left:
            batch.delete(_INDEX + entry)
        for entry in came:
            batch.put(_INDEX + entry, b"")
        self._write_meta(batch, changelog_offset)
        self._commit(batch)
        for entry in left:
            self._deadlines.remove(entry)
        for entry in came:
            self._deadlines.add(entry)
        self._seen_due.update(dues)
        if len(self._seen_due) > _DUES_KEPT:
            self._seen_due.clear()

    @property
    def counts(self) -> Counts:
        """How much it holds, always the same object; counted once in a store that does not say so."""
        if self._counts is None:
            meta = self.meta
            self._counts = meta.counts if meta is not None and meta.counts is not None else self._count()
        return self._counts

    @property
    def meta(self) -> Meta | None:
        """None for a store that is new, or whose recovery did not end."""
        value = self._db.get(_META)
        return msgspec.msgpack.decode(value, type=Meta) if value is not None else None

    def load(self, changes: Changes) -> None:
        """Part of a full recovery: values only; `finish_load` makes the store valid."""
        batch = WriteBatch(raw_mode=True)
        batch.delete(_META)
        self._seen_due.clear()
        for key, value in changes.items():
            if value is None:
                batch.delete(_DATA + key)
            else:
                batch.put(_DATA + key, value)
        self._commit(batch)

    def finish_load(self, changelog_offset: int) -> None:
        """Build the deadlines from the values' prefixes, nothing else of a value is decoded; then mark as valid."""
        batch, count = WriteBatch(raw_mode=True), 0
        for first in TIMED_KEYS:
            timed = _DATA + first
            for stored, value in self._db.items(from_key=timed):
                if stored[:2] != timed:
                    break
                due = value[:DUE_PREFIX_BYTES]
                if due != _NEVER:
                    batch.put(_INDEX + _entry(due, stored[1:]), b"")
                    count += 1
                if count == _REBUILD_BATCH:
                    self._commit(batch)
                    batch, count = WriteBatch(raw_mode=True), 0
        self._counts = self._count()
        self._write_meta(batch, changelog_offset)
        self._commit(batch)
        self._seen_due.clear()
        self._deadlines = Deadlines(self._scan)

    def clear(self) -> None:
        """Throw everything away: the changelog has it all."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._open()

    def close(self) -> None:
        """Release the directory's lock. What cannot be written at the end (full disk) is in the changelog."""
        try:
            self._db.close()
        except Exception as failure:
            log.warning("the store %s was not closed cleanly: %s", self.directory, str(failure))

    def _open(self) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(self.directory), options)
        except Exception as failure:
            if "lock" in str(failure).lower():
                raise StoreInUse(f"the store {self.directory} is in use by another worker") from failure
            if _says_full(failure):
                raise self._full(failure) from failure
            # Truncated or from another program: a cache is rebuilt, not repaired.
            log.warning("the store %s cannot be opened and is made anew: %s", self.directory, str(failure))
            shutil.rmtree(self.directory, ignore_errors=True)
            try:
                self._db = Rdict(str(self.directory), options)
            except Exception as again:
                if _says_full(again):
                    raise self._full(again) from again
                raise ChurnSignalsError(f"the store {self.directory} cannot be made: {again}") from again
        self._seen_due: dict[bytes, bytes | None] = {}
        self._deadlines = Deadlines(self._scan)
        self._counts = None

    def _old_due(self, keys: list[bytes]) -> dict[bytes, bytes | None]:
        unseen = [key for key in keys if key not in self._seen_due]
        if unseen:
            self.get_many(unseen)
        return self._seen_due

    def _count_changes(self, changes: Changes, old_due: Mapping[bytes, bytes | None]) -> None:
        counts, gone = self.counts, []
        for key, value in changes.items():
            if key[:1] == PROFILE:
                counts.profiles += (value is not None) - (old_due[key] is not None)
            elif key[:1] == SNAPSHOT:
                if value is None:
                    gone.append(key)
                else:
                    counts.pending += 1
        if gone:  # one that came and went within the batch was never here
            counts.pending -= sum(value is not None for value in self.get_many(gone))

    def _count(self) -> Counts:
        """By a walk over the keys, half a second a million."""
        return Counts(*(self._count_of(_DATA + first) for first in (PROFILE, SNAPSHOT)))

    def _count_of(self, prefix: bytes) -> int:
        count = 0
        for key in self._db.keys(from_key=prefix):
            if key[: len(prefix)] != prefix:
                break
            count += 1
        return count

    def _scan(self, start: bytes) -> Iterator[bytes]:
        """The index's entries from one on."""
        for entry in self._db.keys(from_key=_INDEX + start):
            if entry[:1] != _INDEX:
                return
            yield entry[1:]

    def _write_meta(self, batch: WriteBatch, changelog_offset: int) -> None:
        meta = Meta(changelog_offset, int(time.time() * 1000), self.counts)
        batch.put(_META, msgspec.msgpack.encode(meta))

    def _commit(self, batch: WriteBatch) -> None:
        try:
            self._db.write(batch)
        except Exception as failure:
            if _says_full(failure):
                raise self._full(failure) from failure
            raise ChurnSignalsError(f"the store {self.directory} cannot be written: {failure}") from failure

    def _full(self, failure: Exception) -> StoreFull:
        return StoreFull(
            f"the disk of the store {self.directory} is full: make room and start again, it goes on exactly ({failure})"
        )


_NEVER = NEVER_DUE_MS.to_bytes(DUE_PREFIX_BYTES, "big")


def _says_full(failure: Exception) -> bool:
    """RocksDB's binding has one exception for everything: what the system said is in its words."""
    return any(os.strerror(code) in str(failure) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def _due_bytes(due_ms: int) -> bytes:
    return max(due_ms, 0).to_bytes(DUE_PREFIX_BYTES, "big")


def _entry(due: bytes, key: bytes) -> bytes:
    return due + xxhash.xxh3_64_digest(key) + key
