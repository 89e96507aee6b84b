"""Compute latency percentiles, check the limits and format the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hdrh.histogram import HdrHistogram

from benchmarks.latency import stages
from benchmarks.latency.observer import Seen
from benchmarks.throughput.kafka import Commit

# Limits of the time until an alert is visible to a consumer, at half of the peak rate.
ALERT_P50_MS = 100.0
ALERT_P99_MS = 250.0
GATED_LOAD = 0.5
# A worker that sustains a rate commits everything within this time of the last event. Otherwise its lag grows.
BEHIND_MAX_S = 1.0
# Loads to find the peak with. The precision is 1 / 32 of the rate alone.
PEAK_STEPS = 5

PERCENTILES = (50.0, 99.0, 99.9)
# Histograms cover 1 us to ten minutes with three significant digits.
_MOST_US = 600_000_000
_DIGITS = 3


def latencies(seen: Iterable[Seen], intended_s: Sequence[Sequence[float]], since: Sequence[int]) -> dict[str, Any]:
    """Percentiles by kind ("score", "alert") for the events from these offsets on, in ms.

    `seen`: from the scheduled send time of an event until a consumer of committed records has its score or alert.
    `written`: the same until the timestamp of the record, which the worker sets before the transaction ends.
    """
    histograms: dict[str, dict[str, HdrHistogram]] = {}
    for each in seen:
        if not since[each.partition] <= each.offset < len(intended_s[each.partition]):
            continue
        sent_s = intended_s[each.partition][each.offset]
        of_kind = histograms.setdefault(each.kind, {"seen": _histogram(), "written": _histogram()})
        of_kind["seen"].record_value(_us(each.seen_s - sent_s))
        of_kind["written"].record_value(_us(each.written_ms / 1000 - sent_s))
    return {
        kind: {what: summary(histogram) for what, histogram in both.items()}
        for kind, both in sorted(histograms.items())
    }


def summary(histogram: HdrHistogram) -> dict[str, float]:
    """Count, percentiles and maximum, ms."""
    found = {f"p{each:g}": histogram.get_value_at_percentile(each) / 1000 for each in PERCENTILES}
    return {"count": histogram.get_total_count(), **found, "max": histogram.get_max_value() / 1000}


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, _MOST_US, _DIGITS)


def _us(seconds: float) -> int:
    return min(max(1, round(1e6 * seconds)), _MOST_US)


def all_committed_s(commits: Iterable[Commit], ends: Sequence[int]) -> float:
    """When the last partition reached its end. Later commits, caused by deadlines, do not count."""
    reached: dict[int, float] = {}
    for commit in commits:
        if commit.next_offset >= ends[commit.partition]:
            reached.setdefault(commit.partition, commit.at_s)
    return max(reached.values())


def highest_sustained(sustains: Callable[[float], bool], most: float, steps: int = PEAK_STEPS) -> float:
    """Find the highest_sustained sustained rate by bisection between 0 and `most`, to a precision of `most` / 2^steps.

    Raises:
        ValueError: No tried rate is sustained.

    >>> highest_sustained(lambda rate: rate < 11.0, 16.0, steps=4)
    10.0
    """
    low, high = 0.0, most
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if sustains(middle) else (low, middle)
    if not low:
        raise ValueError(f"the worker does not sustain even {high:,.0f} events/s")
    return low


def alert_latency(loads: Sequence[Mapping[str, Any]]) -> Mapping[str, float] | None:
    """Percentiles from event to visible alert at half of the peak rate; None if there was no alert."""
    for load in loads:
        if load["share"] == GATED_LOAD and "alert" in load["latency"]:
            return load["latency"]["alert"]["seen"]
    return None


def within_limits(loads: Sequence[Mapping[str, Any]]) -> bool:
    """Whether alert latency is within the limits at half of the peak rate. Without any alert it is not."""
    found = alert_latency(loads)
    return found is not None and found["p50"] <= ALERT_P50_MS and found["p99"] <= ALERT_P99_MS


def render(result: Mapping[str, Any]) -> str:
    """Format the figures as a table."""
    return "\n".join(_lines(result))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"alone {result['alone']:,.0f} events/s: a backlog of {result['backlog']:,} events of"
        f" {result['customers']:,} simulated customers, {result['partitions']} partitions"
    )
    yield f"peak {result['peak']:,.0f} events/s: sustained with producer and consumer on the same machine"
    yield f"{'load':<20}{'':<26}{'count':>8}{'p50 ms':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"
    for load in result["loads"]:
        name = f"{load['rate']:,.0f}/s"
        if load["share"] is not None:
            name = f"{100 * load['share']:.0f}%: {name}"
        for kind, both in load["latency"].items():
            for what, found in both.items():
                yield (
                    f"{name:<20}{f'event to {kind} {what}':<26}{found['count']:>8,}{found['p50']:>9.1f}"
                    f"{found['p99']:>9.1f}{found['p99.9']:>9.1f}{found['max']:>9.1f}"
                )
                name = ""
        yield from stages.render(load.get("stages", {}), load.get("transactions", []))
        yield f"{name:<20}cores: " + ", ".join(f"{process} {share:.2f}" for process, share in load["cores"].items())
        yield (
            f"{name:<20}{load['seconds']:.0f} s, then {load['behind_s']:.1f} s until everything was committed;"
            f" the producer was at most {1000 * load['sender_late_s']:.0f} ms late (included in latency)"
        )
    yield "seen: by a consumer of committed records; written: timestamp of the record; both from the scheduled send"
    yield "time of the event, so that a stall counts for every event that it delays"
    found = alert_latency(result["loads"])
    if found is not None:
        word = "met" if within_limits(result["loads"]) else "MISSED"
        yield (
            f"event to alert at half of the peak: p50 {found['p50']:.0f} ms (limit {ALERT_P50_MS:.0f}),"
            f" p99 {found['p99']:.0f} ms (limit {ALERT_P99_MS:.0f}): {word}"
        )
