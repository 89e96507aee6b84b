"""Split the latency from an event to its output into stages: joins the output of `traced` and of the observer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.latency.observer import Seen

STAGES = (
    "handed to the producer",
    "at the worker",
    "its turn",
    "computed",
    "written",
    "committed",
    "seen",
)


class Fetched(NamedTuple):
    """A batch of input offsets [start, next), and when the worker received it."""

    partition: int
    start: int
    next: int
    at_s: float

    def line(self) -> str:
        return f"f {self.partition} {self.start} {self.next} {self.at_s:.6f}\n"


class Transaction(NamedTuple):
    """The input offsets [start, next) of a transaction, and when it reached each stage."""

    partition: int
    start: int
    next: int
    started_s: float
    computed_s: float
    written_s: float
    committed_s: float
    stored_s: float

    def line(self) -> str:
        times = " ".join(f"{each:.6f}" for each in self[3:])
        return f"t {self.partition} {self.start} {self.next} {times}\n"


class Trace:
    """The output of `traced`, by input partition and offset."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._fetched: dict[int, list[Fetched]] = {}
        self._transactions: dict[int, list[Transaction]] = {}
        for line in lines:
            kind, partition, start, end, *times = line.split()
            offsets = int(partition), int(start), int(end)
            if kind == "f":
                self._fetched.setdefault(offsets[0], []).append(Fetched(*offsets, float(times[0])))
            else:
                self._transactions.setdefault(offsets[0], []).append(Transaction(*offsets, *map(float, times)))
        for batches in self._fetched.values():
            batches.sort()
        for transactions in self._transactions.values():
            transactions.sort()

    def of(self, partition: int, offset: int) -> tuple[Fetched, Transaction] | None:
        """Return the fetch and the transaction of an event; None if it was not traced."""
        fetched = _containing(self._fetched.get(partition, []), offset)
        transaction = _containing(self._transactions.get(partition, []), offset)
        return (fetched, transaction) if fetched is not None and transaction is not None else None

    def sizes(self, since: Sequence[int], until: Sequence[int]) -> list[int]:
        """Number of input offsets of each transaction of a load."""
        return [
            each.next - each.start
            for partition, found in self._transactions.items()
            for each in found
            if since[partition] <= each.start < until[partition]
        ]


def _containing(found: Sequence[Any], offset: int) -> Any:
    index = bisect_right(found, offset, key=lambda each: each.start) - 1
    return found[index] if index >= 0 and offset < found[index].next else None


def stages(
    trace: Trace,
    seen: Iterable[Seen],
    intended_s: Sequence[Sequence[float]],
    handed_s: Sequence[Sequence[float]],
    since: Sequence[int],
) -> dict[str, dict[str, float]]:
    """Mean, median and p99 (ms) of each stage over all outputs of a load. The means add up to the mean latency."""
    spent: dict[str, list[float]] = {name: [] for name in STAGES}
    for each in seen:
        number, offset = each.partition, each.offset
        if not since[number] <= offset < len(intended_s[number]):
            continue
        if (found := trace.of(number, offset)) is None:
            continue
        fetched, done = found
        times = [intended_s[number][offset], handed_s[number][offset], fetched.at_s, done.started_s, done.computed_s]
        times += [done.written_s, done.committed_s, each.seen_s]
        for name, before, after in zip(STAGES, times[:-1], times[1:], strict=True):
            spent[name].append(1000 * (after - before))
    return {name: _summary(values) for name, values in spent.items() if values}


def _summary(values: list[float]) -> dict[str, float]:
    values.sort()
    last = len(values) - 1
    return {"mean": sum(values) / len(values), "p50": values[last // 2], "p99": values[round(0.99 * last)]}


def render(found: Mapping[str, Mapping[str, float]], sizes: Sequence[int]) -> Iterator[str]:
    """Format the stages as lines of the table."""
    for name, each in found.items():
        yield f"{'':<20}{name:<26}{'':>8}{each['p50']:>9.1f}{each['p99']:>9.1f}   mean {each['mean']:.1f}"
    if sizes:
        yield f"{'':<20}{len(sizes):,} transactions of {sum(sizes) / len(sizes):.0f} events"
