"""Measure throughput on a real Apache Kafka, and compare it with alternatives.

    python -m benchmarks.throughput [--events N] [--only a,c] [--repetitions N] [--quix PYTHON] [--json OUT]
                                    [--full [--log FILE]]

There is one embedded broker and one topic of events, keyed by customer, with 4 partitions. The following run in
alternation, each in its own process on the broker's machine:

(a) a bare aiokafka + orjson loop, which counts events per customer and keeps no state;
(b) stock Faust with `faust.Record` and a table on RocksDB, counting and summing, on 20,000 events;
(c) `churn-signals worker`, the full job: profiles, features, scores, labels, durable state, transactions;
(d) two such workers, which share the partitions (--full);
(e) `churn-signals trainer`, alone, on the labels that (c) wrote, each repeated five times (--full);
(f) Quix Streams with its RocksDB state and the work of (b), at least once and exactly once (--quix);
(g) this product's engine with the work of (b), and the same transport, store and transactions as (c).

The timed intervals are:

(a) from the first fetch to the last event;
(b) from the first event to the last;
(c), (g) from the end of the takeover, which the worker logs, to the last transaction, whose time is in the changelog;
(d) from the time at which both workers have taken over, to the last transaction;
(e) from the takeover to the snapshot that has learned all labels;
(f) from the first event to the end of the last checkpoint.

None of them includes starting a process or joining a group.

The events come from simulated customers over ten days. Each has some two events per day, in visits of a few events
within 40 minutes. With at most one score per hour and one training snapshot per week, there are 0.76 scoring points per
event. Of these, 0.40 are published. There are also 0.05 labels and 0.01 alerts per event. Workers score with a model
that has learned 2,300 labels of other customers.

--full adds (d) and (e) on the uniform customers, and (a), (c), (d) and (g) on Zipf-skewed customers and on a log. If
the machine is so busy that all repetitions would take more than 8 minutes, there are fewer repetitions.

The exit code is 1 if (c) is below 2.5% of (a), or if one of the two could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, machine, progress
from benchmarks.throughput import figures, kafka, trainer, world
from benchmarks.throughput.child import Failed
from benchmarks.throughput.contenders import (
    CONTENDERS,
    Bench,
    Contender,
    Sample,
    profile,
)
from benchmarks.throughput.table import render
from streams.devbroker.embedded_broker import EmbeddedBroker

EVENTS = 200_000
REPETITIONS = 3
LETTERS = "abcdefg"
# Measured without --full, and on the other inputs of --full. The results of (b) and (f) do not depend on the customers.
_USUAL = "abcfg"
_OTHER_INPUTS = "acdg"
# A repetition takes a minute on an idle machine. On a busy one, there are fewer repetitions instead of a longer run.
BUDGET_S = 480.0
_GET_QUIX = "not measured: python3 -m venv DIR && DIR/bin/pip install quixstreams, then --quix DIR/bin/python"


def measure(bench: Bench, source: world.Input, chosen: Sequence[Contender], repetitions: int) -> dict[str, Any]:
    """Measure the chosen contenders on one input, in alternation. Leave out those that fail, with their last output."""
    samples: dict[str, list[Sample]] = {contender.label: [] for contender in chosen}
    left_out: dict[str, str] = {}
    began_s = time.monotonic()
    for repetition in range(1, repetitions + 1):
        took_s = time.monotonic() - began_s
        if repetition > 1 and took_s * repetition / (repetition - 1) > BUDGET_S:
            progress(f"{took_s:.0f} s for {repetition - 1} of {repetitions} repetitions: skipping the rest")
            break
        for number, contender in enumerate(chosen):
            label = f"({contender.letter}) {contender.label}"
            if label in left_out:
                continue
            if contender.letter == "f" and bench.quix is None:
                left_out[label] = _GET_QUIX
                continue
            progress(f"{repetition}/{repetitions} {label:<52}", end="")
            try:
                sample = contender.measure(bench, f"{source.name}-{contender.letter}{number}-{repetition}")
            except (Failed, TimeoutError, ValueError) as failure:
                left_out[label] = f"failed: {failure}"
                progress(left_out[label])
                continue
            samples[contender.label].append(sample)
            progress(f"{sample.rate:>9,.0f} events/s")
    rows = [
        figures.row(contender, samples[contender.label])
        for contender in chosen
        if samples[contender.label] and f"({contender.letter}) {contender.label}" not in left_out
    ]
    return {
        "input": source.about(),
        "rows": figures.with_ratios(rows),
        "left_out": left_out,
        "stages": None,
    }


def run_input(
    broker: EmbeddedBroker,
    directory: Path,
    source: world.Input,
    model: bytes,
    only: Collection[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Publish one input and measure all contenders on it, then (c) again with timers, and (e) on its labels."""
    topic = f"events-{source.name}"
    settings = kafka.settings_of(broker.address, f"published-{source.name}", topic, directory)
    count = len(source.events)

    def show(sent: int) -> None:
        progress(f"\rpublishing {sent:,} of {count:,} events", end="")

    ends = asyncio.run(kafka.publish_events(settings, source.events, show))
    progress("")
    bench = Bench(broker, directory, topic, ends, model, options.quix)
    chosen = [contender for contender in CONTENDERS if contender.letter in only]
    CONTENDERS[0].measure(bench, f"{source.name}-warm")  # so that no measured contender fetches from a cold broker
    result = measure(bench, source, chosen, options.repetitions)
    clocked = f"{source.name}-profiled"
    if "c" in only or "e" in only:
        progress("    (c) with timers")
        result["stages"] = figures.stages(profile(bench, clocked))
    if "e" in only:
        progress("    (e) the trainer")
        labels = asyncio.run(trainer.labels_of(bench.settings(clocked)))
        if labels:
            result["trainer"] = trainer.measure(bench, labels, options.repetitions)
        else:
            result["left_out"]["(e) churn-signals trainer"] = "no label matured in these events: use more events"
    return result


def inputs(options: argparse.Namespace) -> list[world.Input]:
    """Return the inputs: the uniform customers, and the others with --full."""
    uniform = world.uniform(options.events)
    if not options.full:
        return [uniform]
    found = [uniform, world.zipf(uniform)]
    return [*found, world.real_log(options.log, options.events)] if options.log else found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--full", action="store_true", help="also measure (d), (e), Zipf-skewed customers, and the log of --log"
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="with --full: gzipped events, one JSON object per line"
    )
    parser.add_argument("--events", type=int, default=EVENTS, help="number of events (default 200,000)")
    parser.add_argument("--only", help="letters of the rows to measure, such as a,c")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--quix", metavar="PYTHON", help="an interpreter with quixstreams, for (f)")
    parser.add_argument("--json", metavar="OUT")
    options = parser.parse_args()
    options.only = set((options.only or (LETTERS if options.full else _USUAL)).replace(",", ""))
    if wrong := sorted(options.only - set(LETTERS)):
        parser.error(f"--only: there is no ({wrong[0]}); the letters are {', '.join(LETTERS)}")
    if options.events < 1 or options.repetitions < 1:
        parser.error("--events and --repetitions must be at least 1")
    if options.log and not (options.full and options.log.exists()):
        parser.error(f"--log {options.log}: no such file" if options.full else "--log requires --full")
    if options.quix and (problem := _quix_problem(options.quix)):
        parser.error(f"--quix {options.quix}: {problem}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM stops broker and workers too
    result: dict[str, Any] = {"machine": machine(), "runs": []}
    progress("simulating customers and training a model")
    sources, model = inputs(options), world.learned_model()
    with (
        tempfile.TemporaryDirectory(prefix="churn-bench-") as name,
        EmbeddedBroker(Path(name) / "broker", properties=kafka.BROKER) as broker,
    ):
        for source in sources:
            only = options.only if source is sources[0] else options.only & set(_OTHER_INPUTS)
            result["runs"].append(run_input(broker, Path(name), source, model, only, options))
            print("\n" + describe(result["machine"]) + "\n" + render(result["runs"][-1]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return exit_code(result["runs"][0], options.only)


def exit_code(run: dict[str, Any], only: set[str]) -> int:
    """Return 1 if (c) is too slow relative to (a), or if one of them was requested and failed."""
    if not {"a", "c"} <= only:
        return 0
    share = figures.of_bare(run["rows"])
    return 0 if share is not None and share >= figures.NEEDED_OF_BARE else 1


def _quix_problem(python: str) -> str | None:
    try:
        done = subprocess.run([python, "-c", "import quixstreams"], capture_output=True, text=True, check=False)
    except OSError as failure:
        return str(failure)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
