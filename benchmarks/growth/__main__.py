"""Measure the cost of more customers, more partitions and longer histories for one worker.

    python -m benchmarks.growth [--customers N,N] [--partitions N,N] [--events N] [--json OUT]

There is one embedded broker. The cases are 10,000, 100,000 and 1,000,000 customers on 4 partitions, and 4, 16 and 64
partitions with 10,000 customers. For each case, the benchmark writes a changelog with the state of all customers. A
worker recovers it into an empty store and processes events of randomly drawn customers (default 100,000): two per day
for each, in visits of a few events within 40 minutes. With more customers, each has fewer events, so more events
trigger a score and more records are not in memory. Deadlines of all customers fall due meanwhile.

Then, without a broker, it measures the bytes of one customer's records after 10, 100, 1,000 and 10,000 events, at two
and at forty events per day.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import figures, history
from benchmarks.growth.population import Population, events, partitioned, sampled
from benchmarks.machine import describe, machine, progress
from benchmarks.recovery import changelog
from benchmarks.throughput import kafka, world
from benchmarks.throughput.contenders import WORKER, Bench
from streams.devbroker.embedded_broker import EmbeddedBroker

CUSTOMERS = (10_000, 100_000, 1_000_000)
PARTITIONS = (4, 16, 64)
EVENTS = 100_000
_TRANSACTION_CUSTOMERS = 2_000
_TOOK = re.compile(r"took over \[[\d, ]+\] in ([\d.]+) s")


def cases(customers: Sequence[int], partitions: Sequence[int]) -> list[tuple[int, int]]:
    """Pair each number of customers with the fewest partitions, then the fewest customers with all other partitions.

    >>> cases([10, 100], [4, 16])
    [(10, 4), (100, 4), (10, 16)]
    """
    found = [(number, min(partitions)) for number in customers]
    return found + [(min(customers), number) for number in partitions if number != min(partitions)]


def measure(
    broker: EmbeddedBroker, directory: Path, model: bytes, population: Population, case: tuple[int, int], count: int
) -> dict[str, Any]:
    """Measure one row of the table."""
    customers, partitions = case
    run = f"growth-{customers}-{partitions}"
    settings = kafka.settings_of(broker.address, run, f"{run}-events", directory, partitions)

    def show(written: int, of: int, what: str) -> None:
        progress(f"\r{customers:,} customers, {partitions} partitions: {written:,} of {of:,} {what}", end="")

    log = events(population, customers, count)
    ends = asyncio.run(kafka.publish_events(settings, log, lambda sent: show(sent, count, "events")))
    state = partitioned(population, customers, partitions, _TRANSACTION_CUSTOMERS)
    records = sum(map(len, population.samples)) * customers // len(population.samples)
    asyncio.run(
        changelog.write(settings, state, population.state, lambda sent: show(sent, records, "changelog records"))
    )
    progress("")
    bench = Bench(broker, directory, f"{run}-events", ends, model)
    sample = bench.worker(run, WORKER)
    took = _TOOK.search((directory / f"{run}.log").read_text(errors="replace"))
    size = sum(path.stat().st_size for path in settings.store_dir.rglob("*") if path.is_file())
    progress(f"    {sample.rate:,.0f} events/s")
    return {
        "customers": customers,
        "partitions": partitions,
        "rate": sample.rate,
        "cpu_us_per_event": 1e6 * sample.cpu_s / sample.events,
        "broker_cpu_us_per_event": 1e6 * sample.broker_cpu_s / sample.events,
        "peak_mib": sample.peak_bytes / 2**20,
        "store_mib": size / 2**20,
        "ready_s": float(took[1]) if took else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=_numbers, default=CUSTOMERS, metavar="N,N")
    parser.add_argument("--partitions", type=_numbers, default=PARTITIONS, metavar="N,N")
    parser.add_argument("--events", type=int, default=EVENTS, help="events per row (default 100,000)")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if options.events < 1:
        parser.error("--events must be at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM stops broker and workers too
    result: dict[str, Any] = {"machine": machine(), "events": options.events, "rows": []}
    progress("simulating customers and training a model")
    model = world.learned_model()
    population = sampled(model)
    with (
        tempfile.TemporaryDirectory(prefix="churn-growth-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        for case in cases(options.customers, options.partitions):
            result["rows"].append(measure(broker, Path(name), model, population, case, options.events))
    progress("measuring one customer's history")
    result["histories"] = history.sizes(model)
    print(describe(result["machine"]) + "\n" + figures.render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _numbers(text: str) -> list[int]:
    found = [int(number) for number in text.replace("_", "").split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("numbers must be at least 1")
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
