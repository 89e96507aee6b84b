"""A bounded cache of encoded profile records, in front of the partition's store."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

from models.profile.keys import StateStore

CACHE_RECORDS: Final = 50_000  # about 1 KB each
CACHE_BYTES: Final = 128 * 1024 * 1024  # a profile that was made as large as possible has some 20 KB


class RecordCache:
    """Keeps the newest records between batches, at most `CACHE_RECORDS` of them and `CACHE_BYTES`.

    The caller commits the effects of a batch before the next one, or discards the fold together with its cache, so the
    cache is never ahead of the store.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._records: dict[bytes, bytes] = {}
        self._bytes = 0

    def load(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The records under these keys in order, None where there is none."""
        cache = self._records
        records = [cache.get(key) for key in keys]
        missing = [(i, key) for i, (key, record) in enumerate(zip(keys, records, strict=True)) if record is None]
        for (i, _), record in zip(missing, self._store.get_many([key for _, key in missing]), strict=True):
            records[i] = record
        return records

    def update(self, records: Mapping[bytes, bytes], deleted: Iterable[bytes]) -> None:
        """Add the records that a batch wrote, drop those that it deleted, and evict the oldest beyond the limit."""
        cache = self._records
        removed = [cache.pop(key, b"") for key in itertools.chain(records, deleted)]
        cache.update(records)
        self._bytes += sum(map(len, records.values())) - sum(map(len, removed))
        excess = len(cache) - CACHE_RECORDS
        if excess > 0:
            for key in list(itertools.islice(cache, excess)):
                self._bytes -= len(cache.pop(key))
        while self._bytes > CACHE_BYTES:
            self._bytes -= len(cache.pop(next(iter(cache))))


__all__ = ["CACHE_BYTES", "CACHE_RECORDS", "RecordCache"]
