"""Latency on a real Apache Kafka: from an event to its score and to its alert.

    python -m benchmarks.latency [--seconds S] [--backlog N] [--rate R] [--stages] [--json OUT]

One embedded broker, and a worker with the full job for each load, 4 partitions, events of 10,000 simulated customers
as `benchmarks.throughput` has them, each day's evenly over the day. The worker has taken the same backlog before each
load; how fast it does is told ("alone"). Then it is sent events on a schedule that waits for nothing (an open loop: no
coordinated omission), for so many seconds (default 20). A consumer that reads committed, in a process of its own, notes
when it has a score or an alert; each names the event that caused it. Outputs that time causes are not counted.

The peak is the highest rate that the worker keeps up with while one sends and one reads beside it: all is committed
within a second of the last event. It is sought in five loads (sustainable throughput: Karimov et al., "Benchmarking
Distributed Stream Data Processing Systems", ICDE 2018). Then come 10 %, 50 % and 90 % of it.

--rate R adds a load of R events/s, whatever the peak is.

--stages runs a worker that notes when each transaction reached which stage, and tells where the time goes.

Exit code 1 if at half of the peak rate the time from an event to its alert is above 100 ms at the median or above
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
from benchmarks.machine import machine, told
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
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load (default 20)")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events before each load (default 100,000)")
    parser.add_argument("--rate", type=float, metavar="R", help="another load, events/s, whatever the peak is")
    parser.add_argument("--stages", action="store_true", help="tell where the time from an event to its output goes")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if options.seconds <= 0 or options.backlog < 1 or (options.rate is not None and options.rate <= 0):
        parser.error("--seconds, --backlog and --rate must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends this ends broker and worker too
    uvloop.install()  # who sends shares the processors with what is measured
    found = machine()
    with (
        tempfile.TemporaryDirectory(prefix="churn-latency-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        runs = Runs(broker, Path(name), options.backlog, options.seconds, options.stages)
        try:
            result = {"machine": found, "backlog": options.backlog, **measured(runs, LOADS, options.rate)}
        except (Failed, TimeoutError, ValueError) as failure:
            print(f"Error: {failure or 'it took too long'}", file=sys.stderr)
            return 1
    print(told(found) + "\n" + figures.render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if figures.kept(result["loads"]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
