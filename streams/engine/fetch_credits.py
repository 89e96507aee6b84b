"""Limit how much is fetched ahead of processing, per partition and in all.

Tested by tests/streams/engine/test_fetch_credits.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from aiokafka import TopicPartition

from streams.engine.contract import Batch

# One batch is processed and one waits: more would only be dropped at a rebalance. Small batches may be more, because
# they are processed together, and a fetched batch that is not taken delays the fetches of all partitions by 100 ms.
_BATCHES_AHEAD: Final = 2
_RECORDS_AHEAD: Final = 5_000
# Of all partitions; above it none has more than one batch. A record is some 600 bytes, and 64 partitions are common.
_RECORDS_AHEAD_IN_ALL: Final = 100_000


class FetchCredits:
    """Batches that were fetched and are not finished. A batch counts one record more than it has."""

    def __init__(self) -> None:
        self._batches: Counter[TopicPartition] = Counter()
        self._records: Counter[TopicPartition] = Counter()

    def has_credit(self, tp: TopicPartition) -> bool:
        """Return whether another batch of the partition may be fetched."""
        if not self._batches[tp]:
            return True
        few = self._batches[tp] < _BATCHES_AHEAD or self._records[tp] < _RECORDS_AHEAD
        return few and not self._at_limit

    def take(self, tp: TopicPartition, batch: Batch) -> None:
        """Count a batch that was fetched."""
        self._batches[tp] += 1
        self._records[tp] += len(batch.records) + 1

    def give_back(self, tp: TopicPartition, batch: Batch) -> bool:
        """Count a batch as finished; returns whether a partition that had no credit has some now."""
        had_credit, was_at_limit = self.has_credit(tp), self._at_limit
        self._batches[tp] -= 1
        self._records[tp] -= len(batch.records) + 1
        return (self.has_credit(tp) and not had_credit) or (was_at_limit and not self._at_limit)

    @property
    def _at_limit(self) -> bool:
        return self._records.total() >= _RECORDS_AHEAD_IN_ALL
