"""Check for regressions in speed and size against the committed baseline. Ratios are compared, not rates.

    python -m benchmarks.check [--baseline FILE] [--quix PYTHON] [--write] [FIGURES.json]

FIGURES.json is the output of `python -m benchmarks.throughput --json`. Without it, the benchmark runs first. The
comparison covers the rates of (c) and (g) relative to (a), (b) and (f), the CPU time of (c) and (g) relative to (a),
and the figures that do not depend on the machine: peak memory, and scoring points and bytes per event. `--write` makes
these figures the baseline.

The exit code is 1 if a figure moved by more than 10% in either direction: an improvement needs a new baseline. The exit
code is 2 if there is no baseline.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

BASELINE = Path(__file__).with_name("baseline.json")
# Three repetitions on an idle machine differ by some 3%.
MOVED = 0.10
_OURS = ("c", "g")


class Move(NamedTuple):
    """A figure of the baseline, the current run, or both."""

    name: str
    before: float | None
    now: float | None

    @property
    def by(self) -> float | None:
        """Relative change; None if either value is missing or the baseline is zero."""
        return self.now / self.before - 1 if self.before and self.now is not None else None

    @property
    def moved(self) -> bool:
        """Whether the change exceeds 10%. A missing figure has moved; a new one has not."""
        if self.before is None:
            return False
        if self.now is None:
            return True
        return abs(self.now - self.before) > MOVED * abs(self.before)


def ratios(figures: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a run that are comparable across machines, by name."""
    run = figures["runs"][0]
    rows = {row["letter"]: row for row in run["rows"] if row["yardstick"] or row["letter"] in _OURS}
    found: dict[str, float] = {}
    for letter in _OURS:
        if letter not in rows:
            continue
        row = rows[letter]
        found |= {f"({letter}) / ({other}), events/s": ratio for other, ratio in row["ratio"].items()}
        if "a" in rows:
            found[f"({letter}) / (a), CPU time"] = row["cpu_us_per_event"] / rows["a"]["cpu_us_per_event"]
        found[f"({letter}) peak MiB"] = row["peak_mib"]
    if stages := run.get("stages"):
        found["scoring points an event"] = stages["points_per_event"]
        found |= {f"bytes an event, {topic}": size for topic, size in stages["bytes_per_event"].items()}
    return found


def compared(before: Mapping[str, float], now: Mapping[str, float]) -> list[Move]:
    """Every figure of the baseline and the current run, those of the baseline first.

    >>> [move.moved for move in compared({"x": 1.0, "y": 1.0}, {"x": 1.05, "y": 0.8, "z": 3.0})]
    [False, True, False]
    """
    return [Move(name, before.get(name), now.get(name)) for name in {**before, **now}]


def render(moves: list[Move]) -> str:
    """Format all figures as a table and mark those that moved."""
    return "\n".join(_lines(moves))


def _lines(moves: list[Move]) -> Iterator[str]:
    yield f"{'':<40}{'baseline':>12}{'now':>12}{'change':>10}"
    for move in moves:
        by = "" if move.by is None else f"{100 * move.by:+.1f}%"
        yield f"{move.name:<40}{_figure(move.before):>12}{_figure(move.now):>12}{by:>10}{'  MOVED' * move.moved}"
    moved = sum(move.moved for move in moves)
    yield f"{moved} of {len(moves)} moved by more than {100 * MOVED:.0f}%" if moved else "nothing moved"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def measured(quix: str | None) -> dict[str, Any]:
    """Run the throughput benchmark and return its figures.

    Raises:
        SystemExit: The benchmark failed before it wrote figures.
    """
    with tempfile.TemporaryDirectory(prefix="churn-check-") as name:
        out = Path(name) / "figures.json"
        command = [sys.executable, "-m", "benchmarks.throughput", "--json", str(out)]
        done = subprocess.run([*command, *(["--quix", quix] if quix else [])], check=False)
        if not out.exists():
            raise SystemExit(f"the benchmark exited with {done.returncode} before it wrote figures")
        found: dict[str, Any] = json.loads(out.read_bytes())
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", nargs="?", type=Path, metavar="FIGURES.json")
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--quix", metavar="PYTHON", help="an interpreter with quixstreams, for (f)")
    parser.add_argument("--write", action="store_true", help="make these figures the baseline")
    options = parser.parse_args()
    if not options.write and not options.baseline.exists():
        print(f"there is no baseline {options.baseline}; create one with --write on an idle machine", file=sys.stderr)
        return 2
    figures = json.loads(options.figures.read_bytes()) if options.figures else measured(options.quix)
    now = ratios(figures)
    if options.write:
        baseline = {"machine": figures["machine"], "ratios": now}
        options.baseline.write_text(json.dumps(baseline, indent=1) + "\n")
        return 0
    moves = compared(json.loads(options.baseline.read_bytes())["ratios"], now)
    print(render(moves))
    return 1 if any(move.moved for move in moves) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
