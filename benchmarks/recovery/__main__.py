"""Measure the recovery of a worker: seconds until its stores match the end of the changelog, and memory.

    python -m benchmarks.recovery [--customers N] [--partitions N] [--json OUT]

Writes a changelog of encoded profiles (1,000,000 customers, 4 partitions) through fenced producers, with one and with
five records per customer. Recovers it twice in separate processes: from an empty disk, then with the local store that
the first run left. The measurement covers the worker's `recover`, from opening the stores to the first deadline. It
excludes starting Python and joining a group.

The exit code is 1 if 1,000,000 customers need more than 25 s from an empty disk, 5 s with the local store, or 2 GiB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, machine, progress
from benchmarks.recovery import changelog, figures
from benchmarks.throughput import kafka
from models.learning.feature_space import SPACE
from models.learning.model import Model
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.settings import Settings
from streams.topics import create_topics

RECORDS = (1, 5)


def run(broker: EmbeddedBroker, directory: Path, customers: int, partitions: int) -> dict[str, Any]:
    """Measure all rows; see the module docstring."""
    progress("creating sample profiles")
    profiles = changelog.sample_profiles(Model(SPACE).scorer())
    keys = changelog.keys_by_partition(customers, partitions)
    rows = []
    for records in RECORDS:
        settings = Settings(
            kafka_bootstrap_servers=broker.address,
            kafka_group_id=f"recovery-{records}",
            partitions=partitions,
            data_dir=str(directory / f"data-{records}"),
        )
        asyncio.run(create_topics(settings))

        def show(written: int, total: int = customers * records) -> None:
            progress(f"\rwriting {written:,} of {total:,} changelog records", end="")

        turns = [changelog.rounds(of_partition, profiles, records) for of_partition in keys]
        asyncio.run(changelog.write(settings, turns, b"", show))
        progress("")
        for store in (False, True):
            progress(f"recovering, {'with the local store' if store else 'from an empty disk'}")
            rows.append({"records": records, "store": store, **_recovered(settings, partitions)})
    size = sum(len(profile) for profile in profiles) / len(profiles)
    return {"customers": customers, "partitions": partitions, "profile_bytes": size, "rows": rows}


def _recovered(settings: Settings, partitions: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.recovery.program", settings.kafka_bootstrap_servers]
    command += [settings.kafka_group_id, settings.data_dir, str(partitions)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=figures.GATED_CUSTOMERS, help="(default 1,000,000)")
    parser.add_argument("--partitions", type=int, default=kafka.PARTITIONS, help="(default 4)")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if options.customers < 1 or options.partitions < 1:
        parser.error("--customers and --partitions must be at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM stops the broker too
    found = machine()
    with (
        tempfile.TemporaryDirectory(prefix="churn-recovery-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        result = {"machine": found, **run(broker, Path(name), options.customers, options.partitions)}
    print(describe(found) + "\n" + figures.render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if figures.passed(result) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
