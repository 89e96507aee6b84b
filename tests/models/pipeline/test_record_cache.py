"""The cache of profile records: it returns what the store has, and its number and size are bounded."""

from __future__ import annotations

import random

import pytest

from models.backtesting.backtest import MemoryStore
from models.pipeline import record_cache as module
from models.pipeline.record_cache import RecordCache


def test_the_cache_is_bounded_and_never_differs_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_RECORDS", 20)
    monkeypatch.setattr(module, "CACHE_BYTES", 3_000)
    rng, store = random.Random(5), MemoryStore()
    cache = RecordCache(store)
    fullest = largest = 0
    for _ in range(300):
        keys = [b"x%d" % rng.randrange(60) for _ in range(rng.randrange(1, 12))]
        assert cache.load(keys) == store.get_many(keys)
        records = {key: bytes(rng.choice((10, 500, 4_000))) for key in keys[::2]}
        deleted = [key for key in keys[1::2] if key not in records]
        store.apply({**dict.fromkeys(deleted), **records})
        cache.update(records, deleted)
        size = sum(map(len, cache._records.values()))
        assert cache._bytes == size
        fullest, largest = max(fullest, len(cache._records)), max(largest, size)
    assert fullest <= 20
    assert 2_000 < largest <= 3_000
