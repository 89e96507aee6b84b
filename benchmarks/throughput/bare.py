"""A separate program with the minimal work per event in Python: an aiokafka consumer, orjson, a count per customer.

    python -m benchmarks.throughput.bare ADDRESS TOPIC PARTITIONS EVENTS

Reads the topic three times, because one pass takes less than a second. Prints one JSON object: when it started to
fetch, when it had counted all events, their number, and the CPU seconds in between.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

_FETCH_BYTES = 4 * 1024 * 1024
_BATCH = 20_000
_PASSES = 3


async def count(address: str, topic: str, partitions: int, events: int) -> dict[str, float]:
    """Count the topic's events from the beginning, without a consumer group or commits."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    counts: dict[str, int] = {}
    started_s, cpu_s = time.time(), time.process_time()
    for _ in range(_PASSES):
        await consumer.seek_to_beginning()
        left = events
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=_BATCH)).values():
                for record in records:
                    customer = orjson.loads(record.value)["userId"]
                    counts[customer] = counts.get(customer, 0) + 1
                left -= len(records)
    ended_s, cpu_s = time.time(), time.process_time() - cpu_s
    await consumer.stop()
    return {"started_s": started_s, "ended_s": ended_s, "cpu_s": cpu_s, "events": sum(counts.values())}


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(count(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
