"""A partition's local store: RocksDB as a cache of the changelog, with the deadlines in order beside the values."""

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
from streams.engine.deadline_index import Deadlines
from streams.errors import ChurnSignalsError
from streams.logs import get_logger

log = get_logger(__name__)

# Layout: one letter in front of every key tells what it is.
_DATA, _INDEX, _META = b"d", b"i", b"m"
_ENTRY_KEY_START = DUE_PREFIX_BYTES + 8  # of an index's entry: due time and hash come first

# Two memtables of 16 MiB per partition at most: the store is a cache, memory belongs to the batches.
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_WRITE_BUFFERS = 2
# While everything is loaded: 250,000 profiles of 1.4 kB make 6 files instead of 23, which reads have to look through
# until they are merged.
_LOAD_BUFFER_BYTES = 64 * 1024 * 1024
# Three of them may wait for a disk that is slow for a moment; 256 MiB at most, of one partition at a time.
_LOAD_BUFFERS = 4
# RocksDB holds up a write when compaction lags by so many files (20 and 36 by default), and its binding holds Python's
# lock meanwhile, heartbeats included. A loaded store of 10,000,000 profiles has 230, merged within a minute.
_MOST_FILES = 1_000
# Due times of records that were lately read or written, some 200 bytes each: they move without being read again.
_DUES_KEPT = 50_000


class StoreCounts(msgspec.Struct, array_like=True):
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
    counts: StoreCounts | None = None


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

    _loading: bool
    _counts: StoreCounts | None

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys."""
        if not keys:
            return []
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
    def counts(self) -> StoreCounts:
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
        """Part of a full recovery into an emptied store; `finish_load` makes it valid.

        Args:
            changes: no key that an earlier call had, so that its deadline, the value's prefix, is written beside it
                and nothing is looked up.
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
                batch.put(_INDEX + _entry(due, key), b"")
            counts.profiles += first == PROFILE_KEYS
            counts.pending += first == SNAPSHOT_KEYS
        self._commit(batch, _UNLOGGED)

    def finish_load(self, changelog_offset: int) -> None:
        """Mark what was loaded as valid, in an order in which a death at any moment leaves a store without a mark:

        1. What was loaded without RocksDB's log goes from memory to files.
        2. The options of ordinary running come back.
        3. The mark is written, with the log.
        """
        if not self._loading:
            self._begin_load()
        self._guarded(self._db.flush)
        self._guarded(lambda: self._db.set_options(_RUNNING))
        batch = WriteBatch(raw_mode=True)
        self._write_meta(batch, changelog_offset)
        self._commit(batch)
        self._loading = False
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
        options.set_max_write_buffer_number(_WRITE_BUFFERS)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        options.set_level_zero_slowdown_writes_trigger(_MOST_FILES)
        options.set_level_zero_stop_writes_trigger(_MOST_FILES)

        def opened() -> Rdict:
            # Named, because otherwise the options that lie on disk are taken, of whatever moment and release.
            return Rdict(str(self.directory), options, column_families={"default": options})

        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self._db = opened()
        except Exception as failure:
            if "lock" in str(failure).lower():
                raise StoreInUse(f"the store {self.directory} is in use by another worker") from failure
            if _says_full(failure):
                raise self._full(failure) from failure
            # Truncated or from another program: a cache is rebuilt, not repaired.
            log.warning("the store %s cannot be opened and is made anew: %s", self.directory, str(failure))
            shutil.rmtree(self.directory, ignore_errors=True)
            try:
                self._db = opened()
            except Exception as again:
                if _says_full(again):
                    raise self._full(again) from again
                raise ChurnSignalsError(f"the store {self.directory} cannot be made: {again}") from again
        self._loading = False
        self._seen_due: dict[bytes, bytes | None] = {}
        self._deadlines = Deadlines(self._scan)
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
        if gone:  # one that came and went within the batch was never here
            counts.pending -= sum(value is not None for value in self.get_many(gone))

    def _count(self) -> StoreCounts:
        """By a walk over the keys, half a second a million."""
        return StoreCounts(*(self._count_of(_DATA + first) for first in (PROFILE_KEYS, SNAPSHOT_KEYS)))

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

    def _commit(self, batch: WriteBatch, how: WriteOptions | None = None) -> None:
        self._guarded(lambda: self._db.write(batch, how))

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as failure:
            if _says_full(failure):
                raise self._full(failure) from failure
            raise ChurnSignalsError(f"the store {self.directory} cannot be written: {failure}") from failure

    def _full(self, failure: Exception) -> StoreFull:
        return StoreFull(
            f"the disk of the store {self.directory} is full: make room and start again, it goes on exactly ({failure})"
        )


_NEVER = NEVER_DUE_MS.to_bytes(DUE_PREFIX_BYTES, "big")
# A store that is half loaded counts as none, so what is loaded needs no log; and files are merged once, at the end.
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


def _says_full(failure: Exception) -> bool:
    """RocksDB's binding has one exception for everything: what the system said is in its words."""
    return any(os.strerror(code) in str(failure) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def _due_bytes(due_ms: int) -> bytes:
    return max(due_ms, 0).to_bytes(DUE_PREFIX_BYTES, "big")


def _entry(due: bytes, key: bytes) -> bytes:
    return due + xxhash.xxh3_64_digest(key) + key
