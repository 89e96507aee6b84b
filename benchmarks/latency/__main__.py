"""Measure latency on a real Apache Kafka, from an event to its score and its alert.

    python -m benchmarks.latency [--seconds S] [--backlog N] [--rate R] [--stages] [--json OUT]

There is one embedded broker with 4 partitions. Each load has a new worker with the full job. The events come from the
10,000 simulated customers of `benchmarks.throughput`, and each day's events are evenly spaced over the day. Before each
load, the worker processes the same backlog; the rate of this is the rate "alone".

During a load (default 20 s), events follow a schedule that never waits for responses: an open loop, which avoids
coordinated omission. A consumer of committed records in a separate process notes the time of each score and alert. Each
of them names the event that triggered it. Outputs triggered by a deadline are not counted.

The peak is the highest rate that the worker sustains with producer and consumer on the same machine. Sustained means
that everything is committed within a second of the last event. The benchmark finds it in five loads (sustainable
throughput: Karimov et al., "Benchmarking Distributed Stream Data Processing Systems", ICDE 2018). Then it measures 10%,
50% and 90% of the peak.

--rate R adds a load of R events/s.

--stages records when each transaction reaches each stage, and reports the time per stage.

The exit code is 1 if, at half of the peak, the latency from an event to its alert exceeds 100 ms at the median or
250 ms at p99.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.latency import figures
from benchmarks.latency.runs import Runs, measured
from benchmarks.machine import describe, machine
from benchmarks.throughput import kafka
from benchmarks.throughput.child import Failed
from streams.devbroker.embedded_broker import EmbeddedBroker

LOADS = (0.1, 0.5, 0.9)
BACKLOG = 100_000
SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration of each load (default 20)")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events before each load (default 100,000)")
    parser.add_argument("--rate", type=float, metavar="R", help="an additional load, events/s")
    parser.add_argument("--stages", action="store_true", help="report the time per stage")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if options.seconds <= 0 or options.backlog < 1 or (options.rate is not None and options.rate <= 0):
        parser.error("--seconds, --backlog and --rate must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM stops broker and worker too
    uvloop.install()  # the producer shares the CPUs with the measured worker
    found = machine()
    with (
        tempfile.TemporaryDirectory(prefix="churn-latency-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        runs = Runs(broker, Path(name), options.backlog, options.seconds, options.stages)
        try:
            result = {"machine": found, "backlog": options.backlog, **measured(runs, LOADS, options.rate)}
        except (Failed, TimeoutError, ValueError) as failure:
            print(f"Error: {failure or 'timed out'}", file=sys.stderr)
            return 1
    print(describe(found) + "\n" + figures.render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if figures.within_limits(result["loads"]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
