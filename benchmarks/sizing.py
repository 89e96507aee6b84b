"""Compute the workers, partitions, bytes and disk space that an event rate needs, and the first scaling limit.

    python -m benchmarks.sizing THROUGHPUT.json GROWTH.json RECOVERY.json [--a-day N]

The files are the output of `python -m benchmarks.throughput --full --json`, `benchmarks.growth --json` and
`benchmarks.recovery --json`. The rules, for each rate:

- Worker CPUs: the CPU time per event of (c) times the rate. CPUs are at most 60% busy, and each worker has one CPU.
- Partitions: four per worker, and at most 500,000 customers each, because a worker that loses its disk recovers them.
- Bytes: what (c) writes per event, before replication.
- Disk: the local store of all customers, and twice the changelog of all customers, which remains after compaction.
- Trainer: its CPU time per label. There is only one trainer, so it cannot use more than one CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RATES = (1_000, 100_000, 10_000_000)
# Above this, a worker has no reserve for a backlog, a rebalance or a peak hour.
BUSY = 0.6
PARTITIONS_A_WORKER = 4
CUSTOMERS_A_PARTITION = 500_000
# Of a customer of a busy product. Simulated customers have two and more scores per event, so this is conservative.
A_DAY = 100.0
# Compaction runs when 30% of a changelog is superseded, and needs disk space for its copy.
CHANGELOG_COPIES = 2
_DAY_S = 86_400


class Costs(NamedTuple):
    """Measured costs: CPU us and bytes per event, CPU us per label, bytes and recovery CPU us per customer."""

    worker_us: float
    broker_us: float
    bytes_by_topic: Mapping[str, float]
    labels: float
    trainer_us: float
    store_bytes: float
    profile_bytes: float
    recovery_us: float


class Size(NamedTuple):
    """The resources that an event rate needs."""

    rate: float
    customers: float
    workers: int
    partitions: int
    broker_processors: float
    changelog_mb_s: float
    written_mb_s: float
    store_gb: float
    changelog_gb: float
    trainer_processors: float
    recovery_s: float


def costs(throughput: Mapping[str, Any], growth: Mapping[str, Any], recovery: Mapping[str, Any]) -> Costs:
    """Read the costs from the figures: the growth row with most customers, the recovery row with one record each.

    Raises:
        SystemExit: (c) or (e) is missing.
    """
    run = throughput["runs"][0]
    product = next((row for row in run["rows"] if row["letter"] == "c"), None)
    if product is None or "trainer" not in run:
        raise SystemExit("the throughput figures lack (c) or (e): run python -m benchmarks.throughput --full")
    most = max(growth["rows"], key=lambda row: int(row["customers"]))
    empty = next(row for row in recovery["rows"] if row["records"] == 1 and not row["store"])
    return Costs(
        product["cpu_us_per_event"],
        product["broker_cpu_us_per_event"],
        run["stages"]["bytes_per_event"],
        run["stages"]["records_per_event"]["labels"],
        run["trainer"]["cpu_us_per_label"],
        most["store_mib"] * 2**20 / most["customers"],
        recovery["profile_bytes"],
        1e6 * empty["cpu_s"] / recovery["customers"],
    )


def size(rate: float, found: Costs, a_day: float = A_DAY) -> Size:
    """Apply the sizing rules; see the module docstring."""
    customers = rate * _DAY_S / a_day
    workers = max(1, math.ceil(rate * found.worker_us / 1e6 / BUSY))
    partitions = max(PARTITIONS_A_WORKER * workers, math.ceil(customers / CUSTOMERS_A_PARTITION))
    changelog = next(count for topic, count in found.bytes_by_topic.items() if topic.endswith("changelog"))
    return Size(
        rate=rate,
        customers=customers,
        workers=workers,
        partitions=partitions,
        broker_processors=rate * found.broker_us / 1e6,
        changelog_mb_s=rate * changelog / 1e6,
        written_mb_s=rate * sum(found.bytes_by_topic.values()) / 1e6,
        store_gb=customers * found.store_bytes / 1e9,
        changelog_gb=customers * CHANGELOG_COPIES * found.profile_bytes / 1e9,
        trainer_processors=rate * found.labels * found.trainer_us / 1e6,
        recovery_s=customers / workers * found.recovery_us / 1e6,
    )


def render(sizes: Sequence[Size], found: Costs, a_day: float) -> str:
    """Format a Markdown table and the first scaling limit."""
    return "\n".join(_lines(sizes, found, a_day))


def _lines(sizes: Sequence[Size], found: Costs, a_day: float) -> Iterator[str]:
    yield "| events/s | " + " | ".join(f"{column.rate:,.0f}" for column in sizes) + " |"
    yield "|---|" + "---|" * len(sizes)
    rows = (
        (f"customers, at {a_day:g} events per day", "{0.customers:,.0f}"),
        ("workers with one CPU", "{0.workers:,}"),
        ("partitions", "{0.partitions:,}"),
        ("broker CPUs, without replication", "{0.broker_processors:,.1f}"),
        ("changelog, MB/s", "{0.changelog_mb_s:,.1f}"),
        ("all writes, MB/s", "{0.written_mb_s:,.1f}"),
        ("local stores, GB in total", "{0.store_gb:,.1f}"),
        ("changelog, GB in total, one replica", "{0.changelog_gb:,.1f}"),
        ("recovery of a worker that lost its disk, s", "{0.recovery_s:,.0f}"),
        ("trainer, CPUs of one available", "{0.trainer_processors:,.2f}"),
    )
    for name, shape in rows:
        yield f"| {name} | " + " | ".join(shape.format(column) for column in sizes) + " |"
    limit = 1e6 / (found.labels * found.trainer_us)
    yield ""
    yield f"The first scaling limit is the single trainer: its CPU is fully used at {limit:,.0f} events/s."


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sizing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("throughput", "growth", "recovery"):
        parser.add_argument(name, type=Path, metavar=f"{name.upper()}.json")
    parser.add_argument(
        "--a-day", type=float, default=A_DAY, metavar="N", help="events per customer and day (default 100)"
    )
    options = parser.parse_args()
    if options.a_day <= 0:
        parser.error("--a-day must be above 0")
    files = [options.throughput, options.growth, options.recovery]
    if absent := [str(path) for path in files if not path.exists()]:
        parser.error(f"there is no {absent[0]}: see --help for the command that writes it")
    found = costs(*[json.loads(path.read_bytes()) for path in files])
    print(render([size(rate, found, options.a_day) for rate in RATES], found, options.a_day))
    return 0


if __name__ == "__main__":
    sys.exit(main())
