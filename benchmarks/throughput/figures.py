"""Compute figures from samples: spreads, ratios, stages and limits."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.throughput.contenders import Contender, Sample
from benchmarks.throughput.stopwatch import REST

# Minimum of (c) / (a), which determines the exit code because it does not depend on the machine.
NEEDED_OF_BARE = 0.025
# Events/s that (c) must reach on an idle machine with two cores.
QUIET_RATE = 8_000
# Targets that are printed but do not affect the exit code.
AIM_OVER_FAUST = 3.5
AIM_OVER_QUIX = 1.2

MIB = 1024 * 1024


def row(contender: Contender, samples: Sequence[Sample]) -> dict[str, Any]:
    """Summarise one contender's repetitions."""
    rates = [sample.rate for sample in samples]
    rate = statistics.median(rates)
    return {
        "letter": contender.letter,
        "label": contender.label,
        "yardstick": contender.yardstick,
        "events": samples[0].events,
        "rate": {"min": min(rates), "median": rate, "max": max(rates)},
        "us_per_event": 1e6 / rate,
        "cpu_us_per_event": statistics.median(1e6 * s.cpu_s / s.events for s in samples),
        "broker_cpu_us_per_event": statistics.median(1e6 * s.broker_cpu_s / s.events for s in samples),
        "peak_mib": max(sample.peak_bytes for sample in samples) / MIB,
        "rates": rates,
    }


def with_ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row its median rate in units of (a), (b) and (f, exactly once), if these were measured."""
    yardsticks = {each["letter"]: each["rate"]["median"] for each in rows if each["yardstick"]}
    return [{**each, "ratio": {k: each["rate"]["median"] / rate for k, rate in yardsticks.items()}} for each in rows]


def stages(profile: Mapping[str, Any]) -> dict[str, Any]:
    """CPU microseconds per event by stage and thread, and bytes per event, from a profiled run."""
    events = profile["events"]
    by_stage = {stage: 1e6 * spent / events for stage, spent in profile["stages_s"].items()}
    rest = by_stage.pop(REST, 0.0)
    ordered = dict(sorted(by_stage.items(), key=lambda item: -item[1])) | {REST: rest}
    threads = {role: 1e6 * spent / events for role, spent in profile["threads_s"].items()}
    return {
        "events": events,
        "transactions": profile["transactions"],
        "us_per_event": ordered,
        "threads_us_per_event": threads,
        "points_per_event": profile["points"] / events,
        "bytes_per_event": {topic: size / events for topic, size in profile["bytes"].items()},
        "records_per_event": {topic: count / events for topic, count in profile["records"].items()},
        "changelog_bytes_per_event": {kind: size / events for kind, (_, size) in profile["changelog"].items()},
        "events_per_s_while_profiled": events / profile["seconds"],
    }


def of_bare_in_cpu_time(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The same ratio in CPU time per event, which is least sensitive to other programs."""
    taken = {each["letter"]: each["cpu_us_per_event"] for each in rows}
    return taken["a"] / taken["c"] if taken.get("c") and "a" in taken else None


def of_bare(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """(c) / (a); None unless both were measured."""
    for each in rows:
        if each["letter"] == "c" and "a" in each["ratio"]:
            return float(each["ratio"]["a"])
    return None
