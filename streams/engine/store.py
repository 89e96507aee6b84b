"""A partition's local store: RocksDB as a cache of the changelog, with an index of deadlines.

Tested by tests/streams/engine/test_store.py and tests/streams/engine/test_damaged_store.py.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import xxhash
from rocksdict import DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from streams.engine.contract import DUE_PREFIX_BYTES, NEVER_DUE_MS, PROFILE_KEYS, SNAPSHOT_KEYS, TIMED_KEYS, Changes
from streams.engine.deadline_index import DeadlineIndex
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.logs import get_logger
from streams.private_files import private_directory

log = get_logger(__name__)

# Layout: the first letter of every key is its kind.
_DATA, _INDEX, _META = b"d", b"i", b"m"
_ENTRY_KEY_START = DUE_PREFIX_BYTES + 8  # of an index entry: due time and hash come first

# Two memtables of 16 MiB per partition at most: the store is a cache, and batches need the memory.
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_WRITE_BUFFERS = 2
# During a full recovery: 250,000 profiles of 1.4 kB make 6 files instead of 23, which every read searches until they
# are merged.
_LOAD_BUFFER_BYTES = 64 * 1024 * 1024
# Three of them may wait for a slow disk: 256 MiB at most, for one partition at a time.
_LOAD_BUFFERS = 4
# RocksDB blocks writes when compaction lags by this many files (20 and 36 by default). Its binding holds Python's lock
# meanwhile, which stops heartbeats. A loaded store of 10,000,000 profiles has 230 files, merged within a minute.
_MOST_FILES = 1_000
# Cached due times of recently read or written records, some 200 bytes each: updates do not read them again.
_DUES_KEPT = 50_000


class StoreCounts(msgspec.Struct, array_like=True):
    """Numbers of records in the store."""

    profiles: int = 0
    pending: int = 0  # training snapshots; their keys are written once and removed once


class Meta(msgspec.Struct, array_like=True):
    """The state of the changelog that the store contains.

    Attributes:
        changelog_offset: the store contains the changelog up to here (exclusive); the record before it is a position.
        written_ms: wall time of the last write; see `streams.engine.recovery.STALE_AFTER_MS`.
        counts: records in the store; None in a store of an earlier release.
    """

    changelog_offset: int
    written_ms: int
    counts: StoreCounts | None = None


class StoreInUse(ChurnSignalsError):
    """Another process, perhaps a stopped one, has the directory open."""


class StoreFull(ChurnSignalsError):
    """The disk is full. Nothing is lost if the process ends: what was committed is in the changelog."""


class StoreDamaged(ChurnSignalsError):
    """The store cannot be read as it was written; the owner empties it and takes the partition over again."""


class MalformedRecord(ValueError):
    """A record that should start with its due time, and is shorter.

    Args:
        key: of the record.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__("it is too short for its due time")
        self.key = key


class PartitionStore:
    """Committed state of one partition, in a directory of its own.

    Not thread-safe. RocksDB's lock keeps a second process from opening the same directory.

    Raises:
        StoreInUse: another process has the directory open.
        StoreFull: the disk is full; the existing files stay.
        ConfigurationError: the directory belongs to another user.
        ChurnSignalsError: the directory cannot be created, for instance because of missing rights.
    """

    _loading: bool
    _counts: StoreCounts | None

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys, None for a missing one."""
        if not keys:
            return []
        try:
            values: list[bytes | None] = self._db.get([_DATA + key for key in keys])
        except Exception as failure:
            raise StoreDamaged(
                f"the store {self.directory} cannot be read ({failure}): it is emptied and rebuilt from the changelog"
            ) from failure
        for key, value in zip(keys, values, strict=True):
            if key[:1] in TIMED_KEYS:
                self._seen_due[key] = value[:DUE_PREFIX_BYTES] if value is not None else None
        return values

    def get(self, key: bytes) -> bytes | None:
        """Return one value."""
        return self._db.get(_DATA + key)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the first deadlines up to a time, in the order (due time, hash of the key)."""
        entries = self._deadlines.until(_due_bytes(until_ms + 1), limit) if limit > 0 else []
        return [(int.from_bytes(entry[:DUE_PREFIX_BYTES], "big"), entry[_ENTRY_KEY_START:]) for entry in entries]

    def next_due_ms(self) -> int | None:
        """Return the earliest deadline, None if there is none."""
        first = self._deadlines.first()
        return None if first is None else int.from_bytes(first[:DUE_PREFIX_BYTES], "big")

    def write(self, changes: Changes, changelog_offset: int) -> None:
        """Write values, deadlines and the changelog offset that the store then contains, in one write batch."""
        old_due = self._old_due([key for key in changes if key[:1] in TIMED_KEYS])
        batch = WriteBatch(raw_mode=True)
        self._count_changes(changes, old_due)
        removed, added, dues = [], [], {}
        for key, value in changes.items():
            if key[:1] in TIMED_KEYS:
                due = value[:DUE_PREFIX_BYTES] if value is not None else None
                if due != (old := old_due[key]):
                    if old is not None and old != _NEVER:
                        removed.append(_entry(old, key))
                    if due is not None and due != _NEVER:
                        if len(due) < DUE_PREFIX_BYTES:
                            raise MalformedRecord(key)
                        added.append(_entry(due, key))
                    dues[key] = due
            if value is None:
                batch.delete(_DATA + key)
            else:
                batch.put(_DATA + key, value)
        for entry in removed:
            batch.delete(_INDEX + entry)
        for entry in added:
            batch.put(_INDEX + entry, b"")
        self._write_meta(batch, changelog_offset)
        self._commit(batch)
        for entry in removed:
            self._deadlines.remove(entry)
        for entry in added:
            self._deadlines.add(entry)
        self._seen_due.update(dues)
        if len(self._seen_due) > _DUES_KEPT:
            self._seen_due.clear()

    @property
    def counts(self) -> StoreCounts:
        """Numbers of records, always the same object; counted once in a store that does not have them."""
        if self._counts is None:
            meta = self.meta
            self._counts = meta.counts if meta is not None and meta.counts is not None else self._count()
        return self._counts

    @property
    def meta(self) -> Meta | None:
        """The state that it contains; None in a new store, or if a recovery did not complete."""
        value = self._db.get(_META)
        return msgspec.msgpack.decode(value, type=Meta) if value is not None else None

    def load(self, changes: Changes) -> None:
        """Load part of a full recovery into an empty store; `finish_load` makes it valid.

        Args:
            changes: without keys of earlier calls, so that deadlines are written without reading old ones.
        """
        if not self._loading:
            self._begin_load()
        batch, counts = WriteBatch(raw_mode=True), self.counts
        for key, value in changes.items():
            if value is None:
                continue
            batch.put(_DATA + key, value)
            first = key[:1]
            if first in TIMED_KEYS and (due := value[:DUE_PREFIX_BYTES]) != _NEVER:
                if len(due) < DUE_PREFIX_BYTES:
                    raise MalformedRecord(key)
                batch.put(_INDEX + _entry(due, key), b"")
            counts.profiles += first == PROFILE_KEYS
            counts.pending += first == SNAPSHOT_KEYS
        self._commit(batch, _UNLOGGED)

    def finish_load(self, changelog_offset: int) -> None:
        """Mark what was loaded as valid. A crash between any two steps leaves a store without the mark:

        1. Flush to files what was loaded without RocksDB's write-ahead log.
        2. Restore the options of normal operation.
        3. Write the mark, with the log.
        """
        if not self._loading:
            self._begin_load()
        self._guarded(self._db.flush)  # 1.
        self._guarded(lambda: self._db.set_options(_RUNNING))  # 2.
        # 3.
        batch = WriteBatch(raw_mode=True)
        self._write_meta(batch, changelog_offset)
        self._commit(batch)
        self._loading = False
        self._deadlines = DeadlineIndex(self._scan)

    def clear(self) -> None:
        """Delete everything: the changelog has it."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._open()

    def close(self) -> None:
        """Release the directory's lock. If the last write fails (full disk), the changelog has what is missing."""
        try:
            self._db.close()
        except Exception as failure:
            log.warning("the store %s was not closed cleanly: %s", self.directory, str(failure))

    def _open(self) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(_WRITE_BUFFERS)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        options.set_level_zero_slowdown_writes_trigger(_MOST_FILES)
        options.set_level_zero_stop_writes_trigger(_MOST_FILES)

        def opened() -> Rdict:
            # Column families are named, because otherwise RocksDB uses the options on disk, whatever wrote them.
            return Rdict(str(self.directory), options, column_families={"default": options})

        try:
            private_directory(self.directory)
            self._db = opened()
        except ConfigurationError:
            raise
        except Exception as failure:
            if "lock" in str(failure).lower():
                raise StoreInUse(f"the store {self.directory} is in use by another worker") from failure
            if _is_disk_full(failure):
                raise self._full(failure) from failure
            # Truncated or written by another program: a cache is rebuilt, not repaired.
            log.warning("the store %s cannot be opened and is rebuilt: %s", self.directory, str(failure))
            shutil.rmtree(self.directory, ignore_errors=True)
            try:
                private_directory(self.directory)
                self._db = opened()
            except Exception as error:
                if _is_disk_full(error):
                    raise self._full(error) from error
                raise ChurnSignalsError(f"the store {self.directory} cannot be created: {error}") from error
        self._loading = False
        self._seen_due: dict[bytes, bytes | None] = {}
        self._deadlines = DeadlineIndex(self._scan)
        self._counts = None

    def _begin_load(self) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.delete(_META)
        self._commit(batch)
        self._guarded(lambda: self._db.set_options(_WHILE_LOADING))
        self._loading, self._counts = True, StoreCounts()
        self._seen_due.clear()

    def _old_due(self, keys: list[bytes]) -> dict[bytes, bytes | None]:
        unseen = [key for key in keys if key not in self._seen_due]
        if unseen:
            self.get_many(unseen)
        return self._seen_due

    def _count_changes(self, changes: Changes, old_due: Mapping[bytes, bytes | None]) -> None:
        counts, gone = self.counts, []
        for key, value in changes.items():
            if key[:1] == PROFILE_KEYS:
                counts.profiles += (value is not None) - (old_due[key] is not None)
            elif key[:1] == SNAPSHOT_KEYS:
                if value is None:
                    gone.append(key)
                else:
                    counts.pending += 1
        if gone:  # one that was added and removed within the batch was never stored
            counts.pending -= sum(value is not None for value in self.get_many(gone))

    def _count(self) -> StoreCounts:
        """Count by iterating over the keys: half a second per million."""
        return StoreCounts(*(self._count_of(_DATA + first) for first in (PROFILE_KEYS, SNAPSHOT_KEYS)))

    def _count_of(self, prefix: bytes) -> int:
        count = 0
        for key in self._db.keys(from_key=prefix):
            if key[: len(prefix)] != prefix:
                break
            count += 1
        return count

    def _scan(self, start: bytes) -> Iterator[bytes]:
        """Return the entries of the index from a given one on."""
        for entry in self._db.keys(from_key=_INDEX + start):
            if entry[:1] != _INDEX:
                return
            yield entry[1:]

    def _write_meta(self, batch: WriteBatch, changelog_offset: int) -> None:
        meta = Meta(changelog_offset, int(time.time() * 1000), self.counts)
        batch.put(_META, msgspec.msgpack.encode(meta))

    def _commit(self, batch: WriteBatch, options: WriteOptions | None = None) -> None:
        self._guarded(lambda: self._db.write(batch, options))

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as failure:
            if _is_disk_full(failure):
                raise self._full(failure) from failure
            raise ChurnSignalsError(f"the store {self.directory} cannot be written: {failure}") from failure

    def _full(self, failure: Exception) -> StoreFull:
        return StoreFull(
            f"the disk of the store {self.directory} is full: make room and start again, processing continues from the"
            f" last commit ({failure})"
        )


_NEVER = NEVER_DUE_MS.to_bytes(DUE_PREFIX_BYTES, "big")
# A partly loaded store is not valid, so loading needs no write-ahead log. Files are merged once, at the end.
_UNLOGGED = WriteOptions()
setattr(_UNLOGGED, "disable_wal", True)  # noqa: B010 - a property, which the binding's stubs take for a method
_WHILE_LOADING = {
    "disable_auto_compactions": "true",
    "write_buffer_size": str(_LOAD_BUFFER_BYTES),
    "max_write_buffer_number": str(_LOAD_BUFFERS),
}
_RUNNING = {
    "disable_auto_compactions": "false",
    "write_buffer_size": str(_WRITE_BUFFER_BYTES),
    "max_write_buffer_number": str(_WRITE_BUFFERS),
}


def _is_disk_full(failure: Exception) -> bool:
    """RocksDB's binding raises one type of exception for everything: the system's error is in its text."""
    return any(os.strerror(code) in str(failure) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def _due_bytes(due_ms: int) -> bytes:
    return max(due_ms, 0).to_bytes(DUE_PREFIX_BYTES, "big")


def _entry(due: bytes, key: bytes) -> bytes:
    return due + xxhash.xxh3_64_digest(key) + key
