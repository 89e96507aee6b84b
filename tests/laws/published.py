"""Records that a worker publishes for one partition, with a new processor for every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from tests.streams.scoring.test_event_processor import Record, Store, of, run

BATCH = 400


class Published(NamedTuple):
    """The partition's store, the newest record per key of the metrics topic, and the number of records."""

    store: Store
    newest: dict[bytes, bytes | None]
    written: int


def published(both: ProcessorContext, number: int, values: Sequence[bytes], prefix: bytes) -> Published:
    """Process these input values and collect the metric records whose key starts with `prefix`."""
    store, newest, count = Store(), dict[bytes, bytes | None](), 0
    records: list[Any] = [Record(offset, value, partition=number) for offset, value in enumerate(values)]
    state = None
    for start in range(0, len(records), BATCH):
        processor = EventProcessor(both, number, store, state)
        for effects in run(processor, store, records[start : start + BATCH]):
            found = [output for output in of(effects, "churn-metrics") if output.key.startswith(prefix)]
            assert all(output.partition == number for output in found)
            count += len(found)
            newest.update((output.key, output.value) for output in found)
            state = effects.state
    return Published(store, newest, count)
