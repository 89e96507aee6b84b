"""A separate program for stock Faust as in its documentation: an agent, a `faust.Record`, a table.

    python -m benchmarks.throughput.stock_faust ADDRESS TOPIC PARTITIONS EVENTS NAME DATA_DIR

Counts events and sums revenue per customer, in a table on RocksDB (rocksdict) with its changelog. When all events are
applied, prints the same JSON object as `benchmarks.throughput.bare`, for the time from the first event on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

import faust
import uvloop

STORE = "rocksdb://"
_TIMEOUT_S = 120.0


class CustomerEvent(faust.Record):
    """The fields of an event that Faust decodes."""

    messageId: str
    userId: str
    timestamp: str
    type: str
    event: str = ""
    properties: dict[str, Any] = {}  # noqa: RUF012 (Faust models declare defaults like this)


async def count(address: str, topic: str, partitions: int, events: int, name: str, data_dir: str) -> dict[str, float]:
    """Run the application until `events` events are applied."""
    app = faust.App(
        name,
        broker=f"kafka://{address}",
        store=STORE,
        datadir=data_dir,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(topic, value_type=CustomerEvent, value_serializer="json", key_serializer="raw")
    totals = app.Table("totals", default=lambda: [0, 0.0], partitions=partitions)
    done = asyncio.Event()
    result: dict[str, float] = {}

    @app.agent(source)
    async def apply(stream: Any) -> None:
        applied, started_s, cpu_s = 0, 0.0, 0.0
        async for event in stream:
            if not applied:
                started_s, cpu_s = time.time(), time.process_time()
            count, spent = totals[event.userId]
            totals[event.userId] = [count + 1, spent + event.properties.get("revenue", 0.0)]
            applied += 1
            if applied == events:
                cpu_s = time.process_time() - cpu_s
                result.update(started_s=started_s, ended_s=time.time(), cpu_s=cpu_s, events=applied)
                done.set()

    await app.start()
    await asyncio.wait_for(done.wait(), _TIMEOUT_S)
    return result


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    uvloop.install()
    address, topic, partitions, events, name, data_dir = sys.argv[1:]
    asyncio.run(_count_and_exit(address, topic, int(partitions), int(events), name, data_dir))


async def _count_and_exit(*arguments: Any) -> None:
    """Exit at once: a regular stop would wait for buffers that are not part of the measurement."""
    print(json.dumps(await count(*arguments)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
