"""A separate program that runs the product's worker with timers around its stages. Timed runs have no such timers.

    python -m benchmarks.throughput.profiled OUT.json

Runs `churn-signals worker` and, after every transaction, writes the CPU time by stage and by thread since the first
batch. Timers wrap functions by name. If a function was renamed, the program stops with an error that names it.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import models.pipeline.partition
import models.pipeline.ranking
import streams.engine.store
import streams.engine.transactions
import streams.scoring.event_processor
from benchmarks.throughput.stopwatch import Renamed, Stopwatch
from streams.engine import executor as computing
from streams.scoring import explain_process as explaining

# Functions that are called per event or customer are timed only every so many calls, to limit the overhead.
_EVERY = 16


class Clock(NamedTuple):
    """A function by module and name (where it is called, not where it is defined), and its stage."""

    module: str
    name: str
    stage: str
    every: int = 1
    steps: bool = False


CLOCKS = (
    Clock("streams.scoring.event_router", "decode", "decode events", every=_EVERY),
    Clock("streams.scoring.event_processor", "EventProcessor.process", "route events, create outputs"),
    Clock("models.pipeline.partition", "PartitionFold.process", "group and apply"),
    Clock("models.profile.codec", "decode", "decode profiles", every=_EVERY),
    Clock("models.profile.codec", "encode_body", "encode profiles", every=_EVERY),
    Clock("models.features.row_buffer", "RowBuffer.add", "features: gather", every=_EVERY),
    Clock("models.pipeline.ranking", "compute", "features: compute"),
    Clock("models.features.peer_means", "PeerMeans.levels", "features: population"),
    Clock("models.learning.scorer", "Scorer.score", "score"),
    Clock("models.learning.percentile_rank", "PercentileRanks.ranks", "decide: ranks"),
    Clock("models.pipeline.alert_tracker", "AlertTracker.apply_batch", "decide: alerts"),
    Clock("models.outputs.score_record", "explain", "explain scores"),
    Clock("models.learning.scorer", "Scores.ci90", "decide: intervals"),
    Clock("models.pipeline.partition", "freeze", "snapshots and labels"),
    Clock("models.pipeline.partition", "build_examples", "snapshots and labels"),
    Clock("streams.scoring.fold", "label_value", "encode labels"),
    Clock("models.pipeline.score_history", "ScoreHistory.prepare", "prepare scores"),
    Clock("streams.scoring.explain_protocol", "ExplainJob.__init__", "hand scores over"),
    Clock("streams.engine.store", "PartitionStore.get_many", "store: read"),
    Clock("streams.engine.store", "PartitionStore.due", "store: read"),
    Clock("streams.engine.store", "PartitionStore.write", "store: write"),
    Clock("streams.engine.transactions", "FencedProducer.commit", "transaction", steps=True),
)

# Kinds of changelog records by the first byte of their key.
_KINDS = {
    b"c": "profiles",
    b"s": "pending snapshots",
    b"h": "score histories",
    b"a": "alerts",
    b"r": "contracts",
    b"m": "retention accounting",
    b"v": "lifetimes",
    b"e": "experience aggregates",
    b"\x00": "positions",
}


def install(watch: Stopwatch) -> None:
    """Put timers around the stages of a batch.

    Raises:
        Renamed: A function no longer exists under its name.
    """
    for clock in CLOCKS:
        *path, name = clock.name.split(".")
        try:
            owner: Any = importlib.import_module(clock.module)
            for part in path:
                owner = getattr(owner, part)
        except (ImportError, AttributeError) as gone:
            raise Renamed(f"{clock.module}.{clock.name}, which was {clock.stage!r}: {gone}") from gone
        watch.around(owner, name, clock.stage, every=clock.every, steps=clock.steps)


class Sizes:
    """Bytes and records that transactions wrote, by topic, and by kind of key for the changelog."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.kinds: dict[str, tuple[int, int]] = {}
        self._topics: dict[str, str] = {}

    def watch(self, producer: Any) -> None:
        """Measure every submitted batch and every change before it is sent."""
        submit, commit = producer._submit, producer.commit
        sent: defaultdict[Any, list[tuple[str, Any]]] = defaultdict(
            list
        )  # by producer, because partitions commit concurrently

        async def submitted(self_: Any, batch: Any, topic: str, partition: int) -> Any:
            sent[self_].append((topic, batch))
            return await submit(self_, batch, topic, partition)

        async def committed(
            self_: Any, outputs: Any, changelog: Any = None, changes: Any = None, late: Any = None
        ) -> Any:
            for key, value in (changes or {}).items():
                kind = _KINDS.get(key[:1], repr(key[:1]))
                records, size = self.kinds.get(kind, (0, 0))
                self.kinds[kind] = records + 1, size + len(key) + len(value or b"")
            offset = await commit(self_, outputs, changelog, changes, late)
            for topic, batch in sent.pop(self_, ()):  # the batches are compressed by now
                self.bytes[topic] += batch.size()
                self.records[topic] += batch.record_count()
            return offset

        producer._submit, producer.commit = submitted, committed


class Report:
    """The report that is written after every transaction. It counts from the first batch of events."""

    def __init__(self, watch: Stopwatch, sizes: Sizes, out: Path) -> None:
        self.watch, self.sizes, self.out = watch, sizes, out
        self.events = 0
        self.points = 0
        self.transactions = 0
        self._threads_before: dict[str, float] | None = None

    def listen(self, processor: Any, partition: Any, store: Any) -> None:
        """Record the first call of the processor, the results of all calls, and the end of every transaction."""
        process, fold, write = processor.process, partition.process, store.write

        def processed(self_: Any, records: Any, now_ms: Any) -> Any:
            if records and self._threads_before is None:
                self._threads_before = threads_s()
                self.watch.restart()
            effects = process(self_, records, now_ms)
            self.events += len(records) if effects.consumed is None else effects.consumed
            return effects

        def folded(*args: Any, **how: Any) -> Any:
            effects = fold(*args, **how)
            self.points += len(effects.points)
            return effects

        def written(*args: Any) -> None:
            write(*args)
            self.transactions += 1
            self._write()

        processor.process, partition.process, store.write = processed, folded, written

    def _write(self) -> None:
        self.watch.settle()
        if self._threads_before is None:
            return
        before = self._threads_before
        threads: Counter[str] = Counter()
        for name, spent_s in threads_s().items():
            threads[name.partition("/")[0]] += spent_s - before.get(name, 0.0)  # type: ignore[assignment]
        report = {
            "events": self.events,
            "points": self.points,
            "transactions": self.transactions,
            "stages_s": {stage: spent / 1e9 for stage, spent in self.watch.spent_ns.items()},
            "calls": self.watch.calls,
            "threads_s": threads,
            "bytes": self.sizes.bytes,
            "records": self.sizes.records,
            "changelog": self.sizes.kinds,
        }
        self.out.write_bytes(msgspec.json.encode(report))


def threads_s() -> dict[str, float]:
    """CPU seconds of every thread of this process and its children, by role and number."""
    roles = {thread.native_id: "consumer" for thread in threading.enumerate()}
    for name in (computing.THREAD, explaining.THREAD):
        roles |= {thread.native_id: name for thread in threading.enumerate() if thread.name.startswith(name)}
    roles[threading.main_thread().native_id] = "main"
    found = {}
    for task in Path("/proc/self/task").iterdir():
        number = int(task.name)
        nanoseconds = int((task / "schedstat").read_text().split()[0])
        found[f"{roles.get(number, 'native')}/{number}"] = nanoseconds / 1e9
        for child in (task / "children").read_text().split():
            spent = sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{child}/task").glob("*/schedstat"))
            found[f"explainer/{child}"] = spent / 1e9
    return found


def main() -> None:
    from streams.cli.main import main as command

    watch, sizes = Stopwatch(), Sizes()
    install(watch)
    sizes.watch(streams.engine.transactions.FencedProducer)
    report = Report(watch, sizes, Path(sys.argv[1]))
    report.listen(
        streams.scoring.event_processor.EventProcessor,
        models.pipeline.partition.PartitionFold,
        streams.engine.store.PartitionStore,
    )
    command(["worker"])


if __name__ == "__main__":
    main()
