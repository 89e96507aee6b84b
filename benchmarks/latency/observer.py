"""A separate program that consumes committed scores and alerts and notes when it sees them.

    python -m benchmarks.latency.observer ADDRESS SCORES ALERTS PARTITIONS OUT

Writes one line per record that an event triggered: kind, input partition, input offset, timestamp of the record (ms)
and wall time of its consumption (s). Prints "ready" once it consumes, and exits on SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import NamedTuple

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

_POLL_MS = 200
_FETCH_BYTES = 4 * 1024 * 1024


class _Lineage(msgspec.Struct):
    partition: int | None
    offset: int | None


class _Timing(msgspec.Struct):
    scored_at: str


class _Output(msgspec.Struct):
    lineage: _Lineage
    time: str | None = None  # of the alert's change
    timing: _Timing | None = None  # of the score that it is based on


class Seen(NamedTuple):
    """One score or alert, with the times at which it was written and seen."""

    kind: str
    partition: int
    offset: int
    written_ms: int
    seen_s: float

    def line(self) -> str:
        return f"{self.kind} {self.partition} {self.offset} {self.written_ms} {self.seen_s:.6f}\n"

    @classmethod
    def of(cls, line: str) -> Seen:
        kind, partition, offset, written_ms, seen_s = line.split()
        return cls(kind, int(partition), int(offset), int(written_ms), float(seen_s))


_decode = msgspec.json.Decoder(_Output).decode


def caused(value: bytes) -> tuple[int, int] | None:
    """Return (partition, offset) of the event that triggered a score or alert; None if no new event did.

    A deadline has no offset. An alert that a timer or a user changed carries the earlier score that it is based on.

    >>> caused(b'{"lineage": {"partition": 1, "offset": 7}}')
    (1, 7)
    >>> caused(b'{"lineage": {"partition": 1, "offset": 7}, "time": "b", "timing": {"scored_at": "a"}}')
    """
    output = _decode(value)
    lineage = output.lineage
    if lineage.partition is None or lineage.offset is None:
        return None
    if output.timing is not None and output.timing.scored_at != output.time:
        return None
    return lineage.partition, lineage.offset


async def watch(address: str, topics: dict[str, str], partitions: int, out: str) -> None:
    """Consume all new records until SIGTERM. `topics` maps topic names to kinds."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(partitions)])
        await consumer.seek_to_end()
        print("ready", flush=True)
        with open(out, "w") as file:
            while not stop.is_set():
                found = await consumer.getmany(timeout_ms=_POLL_MS)
                seen_s = time.time()
                for tp, records in found.items():
                    for record in records:
                        if (cause := caused(record.value)) is not None:
                            file.write(Seen(topics[tp.topic], *cause, record.timestamp, seen_s).line())
    finally:
        await consumer.stop()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(watch(sys.argv[1], {sys.argv[2]: "score", sys.argv[3]: "alert"}, int(sys.argv[4]), sys.argv[5]))
