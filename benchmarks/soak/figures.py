"""Judge the samples of a run, and print the table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.soak.drift import LIMITS, Drift, Series, after_warm_up, judge

# Its memory, segments and cleaner belong to Apache Kafka: reported, not judged.
NOT_JUDGED = ("broker",)

Sample = dict[str, Any]  # {"hours": h, "load": n, "figures": {process: {figure: value}}}


def series_of(samples: Sequence[Sample], process: str, figure: str) -> Series:
    """Return one figure over time, without samples in which it is missing."""
    found = [(sample["hours"], sample["figures"].get(process, {}).get(figure)) for sample in samples]
    return [(at, value) for at, value in found if value is not None]


def drifts(samples: Sequence[Sample], warm_up_h: float) -> list[Drift]:
    """Judge every figure of every process that has enough samples after the warm-up."""
    pairs = dict.fromkeys(
        (process, figure)
        for sample in samples
        for process, figures in sample["figures"].items()
        for figure in figures
        if figure in LIMITS
    )
    found = [
        judge(process, figure, after_warm_up(series_of(samples, process, figure), warm_up_h), judged=is_judged(process))
        for process, figure in pairs
    ]
    return [drift for drift in found if drift is not None]


def is_judged(process: str) -> bool:
    return process not in NOT_JUDGED


def render(found: Sequence[Drift], samples: Sequence[Sample]) -> str:
    """Return the table of all processes, with the CPU use of each and the load of the machine."""
    lines = ["| process | figure | first quarter | last quarter | per hour | verdict |", "|---|---|---|---|---|---|"]
    for drift in found:
        limit = LIMITS[drift.figure]
        first, last, slope = (value / limit.scale for value in (drift.first, drift.last, drift.slope_per_hour))
        verdict = "**drifts**" if drift.drifts else "steady" if is_judged(drift.process) else "not judged"
        name, values = f"{drift.figure}, {limit.unit}", f"{first:,.1f} | {last:,.1f} | {slope:+,.1f}"
        lines.append(f"| {drift.process} | {name} | {values} | {verdict} |")
    if samples:
        lines += ["", f"CPU, % of a core: {cpu_shares(samples)}; load of the machine (median): {_load(samples):.1f}"]
    return "\n".join(lines)


def cpu_shares(samples: Sequence[Sample]) -> str:
    """Return the CPU use of each process between the first and the last sample."""
    first, last = samples[0], samples[-1]
    span_s = 3600 * (last["hours"] - first["hours"])
    if not span_s:
        return "unknown"
    shares = {
        name: 100 * (figures["cpu_s"] - first["figures"].get(name, {}).get("cpu_s", 0)) / span_s
        for name, figures in last["figures"].items()
        if "cpu_s" in figures
    }
    return ", ".join(f"{name} {share:.0f}" for name, share in shares.items())


def _load(samples: Sequence[Sample]) -> float:
    return statistics.median(sample["load"] for sample in samples)
