"""A separate program that runs the worker and records when each transaction reaches each stage.

    python -m benchmarks.latency.traced OUT

Writes one line per fetched batch and one per transaction; `benchmarks.latency.stages` reads them.
"""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from aiokafka import AIOKafkaProducer

from benchmarks.latency.stages import Fetched, Transaction
from streams.engine.consumer_thread import ConsumerThread
from streams.engine.partition_runner import PartitionRunner
from streams.engine.transactions import FencedProducer
from streams.scoring.event_processor import EventProcessor


def install(out: TextIO) -> None:
    """Record the time around the steps of a batch. A missing function raises AttributeError."""
    started: dict[int, float] = {}
    delivered: dict[AIOKafkaProducer, float] = {}
    committed: dict[FencedProducer, float] = {}
    fetch, process, commit = ConsumerThread._drain, EventProcessor.process, PartitionRunner._commit
    end, fenced_commit = AIOKafkaProducer.commit_transaction, FencedProducer.commit

    async def fetched(*args: Any) -> Any:
        batches = await fetch(*args)
        now_s = time.time()
        for batch in batches:
            out.write(Fetched(batch.partition, batch.start, batch.next, now_s).line())
        return batches

    def processed(self: Any, *args: Any) -> Any:
        started[self._partition] = time.time()
        return process(self, *args)

    async def ended(self: Any) -> None:
        delivered[self] = time.time()
        await end(self)

    async def fenced_committed(self: Any, *args: Any) -> Any:
        offset = await fenced_commit(self, *args)
        committed[self] = time.time()
        return offset

    async def whole(self: Any, *args: Any) -> None:
        first, computed_s = self.position, time.time()
        await commit(self, *args)
        producer = self.producer
        times = started[self.number], computed_s, delivered[producer._producer], committed[producer], time.time()
        out.write(Transaction(self.number, first, self.position, *times).line())

    for owner, name, traced in (
        (ConsumerThread, "_drain", fetched),
        (EventProcessor, "process", processed),
        (AIOKafkaProducer, "commit_transaction", ended),
        (FencedProducer, "commit", fenced_committed),
        (PartitionRunner, "_commit", whole),
    ):
        setattr(owner, name, traced)


def main() -> None:
    from streams.cli.main import main as command

    with open(sys.argv[1], "w", buffering=1) as out:  # line buffered, because a worker exits without flushing
        install(out)
        command(["worker"])


if __name__ == "__main__":
    main()
