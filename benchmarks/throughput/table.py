"""Format the figures: a table of contenders, a table of stages, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.throughput.figures import (
    AIM_OVER_FAUST,
    AIM_OVER_QUIX,
    NEEDED_OF_BARE,
    QUIET_RATE,
    of_bare,
    of_bare_in_cpu_time,
)

# Threads and processes that are not split into stages, and what they do.
_OTHERS = {
    "consumer": "consumer thread: fetch",
    "native": "RocksDB and NumPy threads",
    "explaining": "thread that requests explanations",
    "explainer": "process that renders scores",
}

_COLUMNS = f"{'':<48}{'events/s':>10}{'min':>9}{'max':>9}{'us/event':>10}{'CPU us':>9}{'broker':>8}{'MiB':>6}"


def render(run: Mapping[str, Any]) -> str:
    """Format all figures of one input."""
    parts = [_about(run["input"]), "\n".join(_contenders(run["rows"], run["left_out"]))]
    if run["stages"]:
        parts.append("\n".join(_stages(run["stages"])))
    if "trainer" in run:
        parts.append(_trainer(run["trainer"]))
    parts.append("\n".join(verdict(run["rows"])))
    return "\n\n".join(part for part in parts if part)


def _about(source: Mapping[str, Any]) -> str:
    return (
        f"{source['events']:,} events of {source['customers']:,} {source['description']},"
        f" {source['bytes_each']:.0f} bytes each;"
        f" the busiest 1% of customers have at least {source['busiest']:.1f} x the median"
    )


def _contenders(rows: Sequence[Mapping[str, Any]], left_out: Mapping[str, str]) -> Iterator[str]:
    others = [row["letter"] for row in rows if row["yardstick"]]
    yield _COLUMNS + "".join(f"{f'x ({letter})':>9}" for letter in others)
    for row in rows:
        rate, ratio = row["rate"], row["ratio"]
        yield (
            f"{'(' + row['letter'] + ') ' + row['label']:<48}"
            f"{rate['median']:>10,.0f}{rate['min']:>9,.0f}{rate['max']:>9,.0f}{row['us_per_event']:>10.1f}"
            f"{row['cpu_us_per_event']:>9.1f}{row['broker_cpu_us_per_event']:>8.1f}{row['peak_mib']:>6.0f}"
            + "".join(f"{ratio[letter]:>9.3f}" for letter in others)
        )
    for label, reason in left_out.items():
        yield f"{label:<48}  {reason}"
    yield "medians; CPU us: per event, of the process and of the broker; x: relative to the median of that row"


def _stages(stages: Mapping[str, Any]) -> Iterator[str]:
    main, threads = stages["us_per_event"], stages["threads_us_per_event"]
    total = sum(main.values()) + sum(threads.get(role, 0.0) for role in _OTHERS)
    yield (
        f"(c) by stage, CPU us per event, from a separate run with timers"
        f" ({stages['transactions']} transactions, {stages['points_per_event']:.2f} scoring points per event)"
    )
    rows = [*main.items(), *((label, threads[role]) for role, label in _OTHERS.items() if role in threads)]
    for stage, us in rows:
        yield f"  {stage:<34}{us:>8.2f}{100 * us / total:>7.1f}%"
    yield f"  {'total':<34}{total:>8.2f}"
    records = stages["records_per_event"]
    written = [
        f"{topic} {size:,.0f} in {records[topic]:.3f} records" for topic, size in stages["bytes_per_event"].items()
    ]
    yield f"bytes written per event: {', '.join(written)}"
    kinds = ", ".join(f"{kind} {size:,.1f}" for kind, size in stages["changelog_bytes_per_event"].items())
    yield f"keys and values of the changelog, uncompressed: {kinds}"


def _trainer(found: Mapping[str, Any]) -> str:
    rate = found["rate"]
    return (
        f"(e) churn-signals trainer: {rate['median']:,.0f} labels/s ({rate['min']:,.0f} - {rate['max']:,.0f}) of"
        f" {found['labels']:,}; {found['cpu_us_per_label']:.1f} us of CPU per label; {found['peak_mib']:.0f} MiB"
    )


def verdict(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line for each measured ratio."""
    found = {row["letter"]: row for row in rows}
    share, of_cpu = of_bare(rows), of_bare_in_cpu_time(rows)
    if share is not None and of_cpu is not None:
        word = "met" if share >= NEEDED_OF_BARE else "MISSED"
        needed = f"needs {100 * NEEDED_OF_BARE:.1f}%: {word} ({100 * of_cpu:.1f}% in CPU time)"
        yield f"(c) / (a)  {100 * share:5.1f}%   {needed}"
    if "b" in found.get("c", {}).get("ratio", ()):
        yield f"(c) / (b)  {found['c']['ratio']['b']:5.1f} x   target {AIM_OVER_FAUST} x"
    if "f" in found.get("g", {}).get("ratio", ()):
        yield f"(g) / (f)  {found['g']['ratio']['f']:5.1f} x   target {AIM_OVER_QUIX} x, exactly once"
    if {"c", "d"} <= set(found):
        one, two = found["c"], found["d"]
        busy = (two["cpu_us_per_event"] + two["broker_cpu_us_per_event"]) / two["us_per_event"]
        times = two["rate"]["median"] / one["rate"]["median"]
        yield f"(d) / (c)  {times:5.2f} x   two workers and the broker keep {busy:.1f} CPUs busy"
    if "c" in found:
        rate = found["c"]["rate"]["median"]
        yield f"(c) {rate:,.0f} events/s; on an idle machine with two cores, {QUIET_RATE:,} are needed"
