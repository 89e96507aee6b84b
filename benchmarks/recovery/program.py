"""A separate program that recovers the stores of all partitions from the changelog, as a worker does at startup.

    python -m benchmarks.recovery.program ADDRESS GROUP DATA_DIR PARTITIONS

Prints one JSON object: seconds and CPU seconds until the stores are ready, peak resident memory, size on disk.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import uvloop

from streams.engine.recovery import recover
from streams.engine.store import PartitionStore
from streams.runtime.gc_tuning import collect_rarely
from streams.settings import Settings
from streams.topics import CHANGELOG, name_of


async def run(address: str, group: str, data_dir: str, partitions: int) -> dict[str, float]:
    """Open the stores, recover them to the end of the changelog, and read the first deadline of each."""
    settings = Settings(kafka_bootstrap_servers=address, kafka_group_id=group, data_dir=data_dir)
    started_s = time.perf_counter()
    stores = {number: PartitionStore(settings.store_dir / f"events-{number}") for number in range(partitions)}
    positions = await recover(settings, name_of(CHANGELOG, settings), stores)
    for store in stores.values():
        store.next_due_ms()
    ready_s = time.perf_counter() - started_s
    if missing := [number for number, position in positions.items() if position is None]:
        raise SystemExit(f"partitions {missing} have no position: nothing was recovered")
    for store in stores.values():
        store.close()
    size = sum(path.stat().st_size for path in Path(data_dir).rglob("*") if path.is_file())
    return {
        "ready_s": ready_s,
        "cpu_s": time.process_time(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "disk_mib": size / 2**20,
    }


if __name__ == "__main__":
    uvloop.install()
    collect_rarely()
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))))
