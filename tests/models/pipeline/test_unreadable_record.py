"""Counts of unreadable properties of a partition: a function of the log, published when the accounting is flushed."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from models.backtesting.backtest import MemoryStore
from models.events.event import Event
from models.events.unreadable import UnreadableCount, UnreadableCounts, UnreadableProperty
from models.pipeline.effects import OffsetEvent
from models.pipeline.metric_records import metric_records
from models.pipeline.partition import PartitionFold
from models.pipeline.unreadable_record import read_metric
from models.profile.keys import UNREADABLE
from tests.models.histories import CHURN, START_MS, StubScorer, definition, event

MENTION = UnreadableProperty("Social Mention", "sentiment")


def mention(number: int, customer: str = "c1", sentiment: object = "n/a") -> Event:
    return event("Social Mention", START_MS + number, customer, sentiment=sentiment)


def fold(store: MemoryStore) -> PartitionFold:
    return PartitionFold(definition(CHURN), store, cast(Any, StubScorer()))


def published(store: MemoryStore, *batches: list[Event], flush: bool = True) -> list[tuple[bytes, bytes | None]]:
    """Fold the batches, and return what is published of the counts."""
    partition, offset, found = fold(store), 0, []
    for batch in batches:
        entries = [OffsetEvent(offset + index, one) for index, one in enumerate(batch)]
        offset += len(batch)
        effects = partition.process(entries, flush=flush)
        store.apply(effects.changes)
        found += [record for record in metric_records(3, effects.changes) if record[0].startswith(b"unreadable/")]
    return found


def test_an_unreadable_property_is_counted_where_it_stands_in_the_log() -> None:
    """Rule: the count has event name, property, and the offsets of its first and newest event."""
    [(key, value)] = published(MemoryStore(), [mention(0, sentiment=0.5), mention(1), event("page"), mention(2)])
    assert key == b"unreadable/3"
    assert value is not None
    row = {"event": "Social Mention", "property": "sentiment", "count": 2, "first_offset": 1, "newest_offset": 3}
    assert json.loads(value) == {"partition": 3, "properties": [row]}
    assert read_metric(value, key) == UnreadableCounts([(MENTION, UnreadableCount(2, 1, 3))])


def test_a_duplicate_is_not_counted_again() -> None:
    """Rule: a count is a number of applied events."""
    twice = mention(1)
    [(_, value)] = published(MemoryStore(), [twice, twice])
    assert value is not None
    assert json.loads(value)["properties"][0]["count"] == 1


def test_a_log_without_unreadable_properties_writes_nothing() -> None:
    """Rule: the counts cost nothing while all is readable."""
    store = MemoryStore()
    assert published(store, [mention(0, sentiment=0.5), event("page")]) == []
    assert UNREADABLE not in store.records


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_counts_do_not_depend_on_batches(size: int) -> None:
    """Rule: batch boundaries change nothing, and neither does the order of customers within a batch."""
    events = [mention(number, f"c{number % 3}") for number in range(12)]
    store = MemoryStore()
    published(store, *(events[start : start + size] for start in range(0, 12, size)))
    whole = MemoryStore()
    published(whole, events)
    assert store.records[UNREADABLE] == whole.records[UNREADABLE]


def test_counts_are_published_with_the_flush_and_survive_a_restart() -> None:
    """Rule: a batch that does not flush stores its counts; the next flush publishes them, by another owner too."""
    store = MemoryStore()
    assert published(store, [mention(1)], [mention(2)], flush=False) == []
    successor = fold(store)
    assert successor.unreadable.pending
    effects = successor.process([], flush=True)
    store.apply(effects.changes)
    [value] = [value for key, value in metric_records(3, effects.changes) if key == b"unreadable/3"]
    assert value is not None
    assert json.loads(value)["properties"][0]["count"] == 2
    assert not successor.unreadable.pending
