"""Measure the cost of one event in the model code, by stage, from a run over a log. No broker is needed.

    python -m benchmarks.model [FILE] [--config CHURN.TOML] [--events N] [--json OUT]

Prints the microseconds per event of every stage, the size of profiles, and peak memory. Each stage is also given in
units of `orjson.loads` over the same lines in the same process. That ratio determines the exit code, because it does
not depend on the machine. Without a file, or if the file does not exist, the events come from simulated customers.

`orjson.loads` is measured like decoding: the results of a batch are kept until the batch is done, as in any program
that uses them. A separate line shows its cost when each result is discarded at once, so that the next one reuses cached
memory.

Profiles are decoded, encoded and copied for features per customer while events are applied. This counts as "apply",
because a timer around each step would distort the measurement. The measurement excludes the worker's other tasks:
reading the log, writing to its store, and creating outputs, which decodes the profiles of published scoring points.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import gzip
import itertools
import json
import platform
import pstats
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.backtesting.backtest import BATCH_EVENTS, MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.labels.training_example import TrainingExample
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.pipeline import partition as fold
from models.pipeline import ranking
from models.pipeline.effects import OffsetEvent
from models.profile.codec import decode as decode_profile
from models.profile.codec import encode_body
from models.profile.mergeable import DAY_MS
from streams.runtime.gc_tuning import collect_rarely

HERE = Path(__file__).parent
BATCH = 500  # rows per batch of the separate scoring measurement
LIMIT_LOADS = 35.0  # sum of all stages except learning, in units of orjson.loads
LIMIT_US = 45.0  # the same on one core of an idle machine


class Stopwatch:
    """Total time and number of calls of the functions that it wraps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        self.seconds[stage], self.calls[stage] = 0.0, 0
        clock = time.perf_counter

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[stage] += clock() - start
                self.calls[stage] += 1

        return timed


def lines_of(path: str | None, limit: int | None) -> tuple[list[bytes], str]:
    """Return the log's lines and their origin."""
    if path is not None and Path(path).exists():
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            return [line.rstrip(b"\n") for line in itertools.islice(file, limit)], path
    return list(itertools.islice(simulated(), limit)), "simulated customers"


def simulated() -> Iterator[bytes]:
    """Yield events of simulated customers as lines."""
    from models.simulation import Simulation, SimulationSettings

    for event in Simulation(SimulationSettings(customers=2_000, days=240, seed=1)).events():
        yield event.value


def measure(lines: list[bytes], definition: ChurnDefinition) -> dict[str, Any]:
    """Process the log once; see the module docstring."""
    watch = Stopwatch()
    usual_thresholds = gc.get_threshold()
    collect_rarely()  # as a worker does
    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    compute = vars(ranking)["compute"]
    vars(ranking)["compute"] = watch.around("features", compute)
    model.learn = watch.around("learn", model.learn)  # type: ignore[method-assign]
    watch.around("score", lambda: None)
    store, examples, points = MemoryStore(), [], 0
    alert_book = vars(fold)["AlertTracker"]
    watched = type("AlertTracker", (alert_book,), {"apply_batch": watch.around("alerts", alert_book.apply_batch)})
    vars(fold)["AlertTracker"] = watched
    loads_s = dropped_s = decode_s = process_s = 0.0
    timed: Any = _TimedScorer(model.scorer(), watch)
    part = fold.PartitionFold(definition, store, timed)
    try:
        for at in range(0, len(lines), BATCH_EVENTS):
            raw = lines[at : at + BATCH_EVENTS]
            # alternate batch by batch, so that both see the machine in the same state
            start = time.perf_counter()
            for line in raw:
                orjson.loads(line)
            dropped_s += time.perf_counter() - start
            start = time.perf_counter()
            kept = [orjson.loads(line) for line in raw]
            loads_s += time.perf_counter() - start
            del kept
            start = time.perf_counter()
            decoded = [decode(line, (), None) for line in raw]
            decode_s += time.perf_counter() - start
            batch = [OffsetEvent(at + i, event) for i, event in enumerate(decoded) if isinstance(event, Event)]
            start = time.perf_counter()
            effects = part.process(batch)
            process_s += time.perf_counter() - start
            store.apply(effects.changes)
            points += len(effects.points)
            for e in effects.examples:
                x, m = np.frombuffer(e.features), np.frombuffer(e.population)
                model.learn(x, m, bool(e.label), e.release_ms // DAY_MS, e.probability, e.members)
            if effects.examples:
                examples += effects.examples
                timed = _TimedScorer(model.scorer(), watch)
                part.scorer = timed
    finally:
        vars(ranking)["compute"], vars(fold)["AlertTracker"] = compute, alert_book
        gc.set_threshold(*usual_thresholds)
        gc.unfreeze()
    inner_s = sum(watch.seconds[stage] for stage in ("features", "score", "alerts"))
    n = len(lines)
    stages = {
        "decode": decode_s,
        "apply": process_s - inner_s,  # includes deadlines, labels, and reading and writing profiles
        "features": watch.seconds["features"],
        "score": watch.seconds["score"],
    }
    encode_us, decode_us = _codec([data for key, data in store.records.items() if key[:1] == b"c"])
    sizes = [len(data) for key, data in store.records.items() if key[:1] == b"c"]
    total = sum(stages.values())
    return {
        "events": n,
        "points": points,
        "labels": len(examples),
        "us_per_event": {stage: 1e6 * seconds / n for stage, seconds in stages.items()},
        "total_us_per_event": 1e6 * total / n,
        "alerts_us_per_event": 1e6 * watch.seconds["alerts"] / n,
        "loads_us_per_event": 1e6 * loads_s / n,
        "loads_dropped_us_per_event": 1e6 * dropped_s / n,
        "total_in_loads": total / loads_s,
        "learn_us_per_label": 1e6 * watch.seconds["learn"] / max(watch.calls["learn"], 1),
        "encode_us_per_profile": encode_us,
        "decode_us_per_profile": decode_us,
        "score_us_per_row_in_batch": _score_rows(model, examples),
        "profile_bytes": {"median": float(np.median(sizes)), "p99": float(np.percentile(sizes, 99)), "max": max(sizes)},
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _codec(records: list[bytes]) -> tuple[float, float]:
    """Microseconds to encode and to decode a profile: each customer's profile once, in chunks of `BATCH`."""
    encode_s = decode_s = 0.0
    for at in range(0, len(records), BATCH):
        start = time.perf_counter()
        decoded = [decode_profile(record) for record in records[at : at + BATCH]]
        middle = time.perf_counter()
        for profile in decoded:
            encode_body(profile)
        decode_s += middle - start
        encode_s += time.perf_counter() - middle
    return 1e6 * encode_s / len(records), 1e6 * decode_s / len(records)


class _TimedScorer:
    def __init__(self, scorer: Any, watch: Stopwatch) -> None:
        self._scorer = scorer
        self._watch = watch
        self.version, self.trust = self._scorer.version, self._scorer.trust

    def score(self, x: Any, m: Any) -> Any:
        start = time.perf_counter()
        found = self._scorer.score(x, m)
        self._watch.seconds["score"] += time.perf_counter() - start
        return found


def _score_rows(model: Model, examples: list[TrainingExample]) -> float:
    rows = examples[:BATCH]
    if not rows:
        return float("nan")  # no label matured in so few events
    x = np.stack([np.frombuffer(e.features) for e in rows])
    m = np.stack([np.frombuffer(e.population) for e in rows])
    scorer = model.scorer()
    times = []
    for _ in range(20):
        start = time.perf_counter()
        scorer.score(x, m)
        times.append(time.perf_counter() - start)
    return 1e6 * min(times) / len(rows)


def table(result: dict[str, Any], source: str) -> str:
    """Format the figures as a table."""
    loads, size = result["loads_us_per_event"], result["profile_bytes"]
    out = [
        f"{result['events']:,} events of {source}; {result['points']:,} scoring points, {result['labels']:,} labels",
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, numpy {np.__version__}",
        "",
        f"{'stage':<18}{'us/event':>10}{'x orjson.loads':>18}",
    ]
    for stage, us in result["us_per_event"].items():
        out.append(f"{stage:<18}{us:>10.2f}{us / loads:>18.1f}")
    total = result["total_us_per_event"]
    out += [
        f"{'without learning':<18}{total:>10.2f}{total / loads:>18.1f}",
        f"{'orjson.loads':<18}{loads:>10.2f}{1.0:>18.1f}",
        f"{'  discarded':<18}{result['loads_dropped_us_per_event']:>10.2f}",
        "",
        f"alerts: {result['alerts_us_per_event']:.2f} us per event (policy and texts; not in the sum)",
        f"limits: {LIMIT_LOADS:.0f} x orjson.loads, and {LIMIT_US:.0f} us per event on an idle machine",
        f"learn: {result['learn_us_per_label']:.0f} us per label (champion, challenger and prior)",
        f"score: {result['score_us_per_row_in_batch']:.2f} us per row in batches of {BATCH}",
        f"profile: encode {result['encode_us_per_profile']:.2f} us, decode {result['decode_us_per_profile']:.2f} us",
        f"profile size: median {size['median']:.0f} bytes, p99 {size['p99']:.0f}, max {size['max']}",
        f"peak memory: {result['peak_memory_mib']:.0f} MiB",
    ]
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--config", default=str(HERE / "quality" / "oulad.toml"))
    parser.add_argument("--events", type=int, default=None, help="use only the first N events")
    parser.add_argument("--profile", action="store_true", help="print a cProfile report")
    parser.add_argument("--json", metavar="OUT")
    options = parser.parse_args()
    lines, source = lines_of(options.file, options.events)
    definition = ChurnDefinition.parse(Path(options.config).read_text())
    if options.profile:
        profiler = cProfile.Profile()
        profiler.runcall(measure, lines, definition)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        return 0
    result = measure(lines, definition)
    print(table(result, source))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["total_in_loads"] <= LIMIT_LOADS else 1


if __name__ == "__main__":
    sys.exit(main())
