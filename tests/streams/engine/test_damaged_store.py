"""Damage of the local store that is found while events are applied."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from models.definition.churn_definition import ChurnDefinition
from models.profile.mergeable import DAY_MS
from streams.engine.store import PartitionStore
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from tests.streams.scoring.test_event_processor import CHURN, START, Record

HERE = [f"here-{n}" for n in range(200) if partition_of(b"here-%d" % n, 2) == 0]


def test_a_damaged_store_stops_the_partition_and_rejects_no_event(tmp_path: Path) -> None:
    """Rule: a block that RocksDB cannot read stops the partition, and no event becomes a dead letter."""
    shared = ProcessorContext(Settings(), ChurnDefinition.parse(CHURN), 2, wall_ms=lambda: START + 500 * DAY_MS)
    store = PartitionStore(tmp_path / "store")
    filler = {b"x%03d" % n: os.urandom(600) for n in range(100)}  # random, so that nothing is compressed
    effects = EventProcessor(shared, 0, store, None).process([_record(n, c) for n, c in enumerate(HERE)], None)
    store.write({**effects.changes, **filler}, 1)
    store.close()
    PartitionStore(tmp_path / "store").close()  # the log becomes a file of sorted blocks
    [path] = (tmp_path / "store").glob("*.sst")
    data = bytearray(path.read_bytes())
    data[100] ^= 255  # the first block: profiles sort before the filler
    path.write_bytes(data)
    store = PartitionStore(tmp_path / "store")
    processor = EventProcessor(shared, 0, store, effects.state)
    try:
        with pytest.raises(Exception, match="Corruption"):
            processor.process([_record(1_000 + n, c) for n, c in enumerate(HERE)], None)
    finally:
        store.close()


def _record(offset: int, customer: str) -> Record:
    event = {"type": "page", "userId": customer, "timestamp": (START + offset) / 1000, "messageId": f"m{offset}"}
    return Record(offset, orjson.dumps(event))
