"""Run broker, worker, trainer, console and notify for hours on live events, and fail if something drifts.

    python -m benchmarks.soak [--hours H] [--rate R] [--customers N] [--every S] [--warm-up SHARE] [--json OUT]

There is one embedded broker, and each component is a real process with its own data directory. Simulated customers send
events at a steady rate; a day of event time takes half a minute by default. Scores are consumed as a client would, and
webhooks go to a sink on loopback. The console's first page is opened with each sample.

Every 30 s, the program samples memory, descriptors, threads and disk use of each process, the latency from sending an
event to seeing its committed score, and the lag of workers and trainer. At the end, or at SIGTERM or Ctrl-C, it prints
medians of the first and the last quarter after the warm-up, the slope per hour, and a verdict. docs/reliability.md
explains the limits.

The exit code is 1 if a figure drifts, a process ended, the console did not answer, or there were no scores or no
webhooks; 2 if the run was too short to judge. No process is restarted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, machine
from benchmarks.soak import figures
from benchmarks.soak.drift import LIMITS, MIN_SAMPLES, Drift
from benchmarks.soak.figures import Sample
from benchmarks.soak.run import BROKER_PROPERTIES, Plan, Soak, soak
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.errors import ChurnSignalsError


def problems_of(found: Soak, drifts: Sequence[Drift]) -> list[str]:
    """Return one sentence for everything that fails the run."""
    idle = [
        f"no {what} in the whole run"
        for what, count in (("scores", found.scores), ("webhooks", found.webhooks))
        if not count
    ]
    drifting = [f"{drift.process}: {drift.figure} drifts" for drift in drifts if drift.drifts]
    return [*found.problems, *(idle if drifts else ()), *drifting]  # a short run has had no time for alerts


def exit_code(problems: Sequence[str], drifts: Sequence[Drift]) -> int:
    """Return 1 for a problem, 2 if nothing could be judged.

    >>> exit_code(["worker ended"], []), exit_code([], [])
    (1, 2)
    """
    return 1 if problems else 0 if drifts else 2


def report(plan: Plan, warm_up: float, found: Soak, about: dict[str, Any], out: Path | None) -> int:
    """Print the table and write the JSON file."""
    ran_h = found.samples[-1]["hours"] if found.samples else 0.0
    drifts = figures.drifts(found.samples, warm_up * ran_h)
    problems = problems_of(found, drifts)
    print(describe(about))
    print(
        f"{ran_h:.2f} h at {plan.rate:g} events/s of {plan.customers:,} customers: {found.published:,} events,"
        f" {found.scores:,} scores, {found.webhooks:,} webhooks; {len(found.samples)} samples, the first {warm_up:.0%}"
        f" of the time not judged\n"
    )
    print(figures.render(drifts, found.samples))
    if not drifts:
        print(f"Too short to judge: {MIN_SAMPLES} samples are needed after the warm-up.")
    print("\n".join(f"Problem: {problem}" for problem in problems) or "No problem.", flush=True)
    if out is not None:
        result = {
            "machine": about,
            "plan": dataclasses.asdict(plan),
            "warm_up": warm_up,
            "limits": {name: dataclasses.asdict(limit) for name, limit in LIMITS.items()},
            "drifts": [dataclasses.asdict(drift) for drift in drifts],
            **dataclasses.asdict(found),
            "problems": problems,
        }
        out.write_text(json.dumps(result, indent=1) + "\n")
    return exit_code(problems, drifts)


def main() -> int:
    options = _options()
    plan, about = Plan(options.hours, options.rate, options.customers, options.every), machine()

    if (kept := _kept(options.json)) is not None:
        kept.write_text("")

    def keep(sample: Sample) -> None:
        if kept is not None:
            with kept.open("a") as file:
                file.write(json.dumps(sample) + "\n")

    async def run(broker: EmbeddedBroker, directory: Path) -> Soak:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await soak(plan, broker, directory, stop, keep)

    with tempfile.TemporaryDirectory(prefix="churn-soak-") as name:
        broker = EmbeddedBroker(Path(name) / "broker", properties=BROKER_PROPERTIES)
        try:
            with broker:
                found = asyncio.run(run(broker, Path(name)))
        except (ChurnSignalsError, TimeoutError) as failure:
            print(f"Error: {failure or 'a process was not ready in time'}", file=sys.stderr)
            return 1
    return report(plan, options.warm_up, found, about, options.json)


def _kept(out: Path | None) -> Path | None:
    """Return the file of the samples so far, which a run that is killed leaves behind."""
    return None if out is None else out.with_name(f"{out.name}.samples")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=0.75, help="duration, may be a fraction (default 0.75)")
    parser.add_argument("--rate", type=float, default=200.0, help="events per second (default 200)")
    parser.add_argument("--customers", type=int, default=3_000, help="simulated customers (default 3,000)")
    parser.add_argument("--every", type=float, default=30.0, metavar="S", help="seconds between samples (default 30)")
    parser.add_argument("--warm-up", type=float, default=0.25, metavar="SHARE", help="share not judged (default 0.25)")
    parser.add_argument("--json", metavar="OUT", type=Path, help="results; samples so far in OUT.samples")
    options = parser.parse_args()
    if min(options.hours, options.rate, options.customers, options.every) <= 0:
        parser.error("--hours, --rate, --customers and --every must be above 0")
    if not 0 <= options.warm_up < 1:
        parser.error("--warm-up must be at least 0 and below 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
