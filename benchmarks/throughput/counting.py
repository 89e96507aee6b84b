"""A worker of this product's engine that only counts and sums per customer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from streams.engine.contract import BatchEffects, Processor, Record, StateStore
from streams.engine.worker import Worker
from streams.logs import configure, exit_now
from streams.runtime.gc_tuning import collect_rarely
from streams.runtime.process_end import run_until_signal
from streams.settings import Settings

# First byte of the store's keys, for which the store keeps no deadlines.
_TOTALS = b"t"


class Counting(Processor):
    """Counts each customer's events and sums their revenue."""

    newest_event_ms: int | None = None

    def __init__(self, partition: int, store: StateStore, state: bytes | None) -> None:
        self._store = store

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        """Add the batch's totals to the stored totals of each customer."""
        totals: dict[bytes, list[float]] = {}
        for record in records:
            event = orjson.loads(record.value or b"{}")
            total = totals.setdefault(_TOTALS + event["userId"].encode(), [0, 0.0])
            total[0] += 1
            total[1] += event.get("properties", {}).get("revenue", 0.0)
        effects = BatchEffects()
        for (key, (count, spent)), stored in zip(totals.items(), self._store.get_many(list(totals)), strict=True):
            before = orjson.loads(stored) if stored is not None else (0, 0.0)
            effects.changes[key] = orjson.dumps((before[0] + count, before[1] + spent))
        return effects

    def next_due_ms(self) -> int | None:
        """Nothing falls due."""
        return None

    def committed(self) -> None:
        """Nothing is kept between batches."""


def main() -> int:
    settings = Settings.from_environment()
    configure(settings)
    collect_rarely()  # as the product's worker does

    async def work(stop: asyncio.Event) -> None:
        await Worker(settings, Counting).run(stop)

    return run_until_signal(work)


if __name__ == "__main__":
    exit_now(main())
