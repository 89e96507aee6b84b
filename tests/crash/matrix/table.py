"""Format the verdicts as a table and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tests.crash.matrix.verdict import Verdict

_COLUMNS = ("row", "fault", "seed", "times", "events", "lost", "double", "extra", "outage s", "run s")


def rendered(verdicts: Sequence[Verdict]) -> str:
    """Format a Markdown table, followed by one line per problem."""
    rows = [_COLUMNS, *(_cells(verdict) for verdict in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["| " + " | ".join(_padded(rows[0], widths)) + " |"]
    lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["| " + " | ".join(_padded(row, widths)) + " |" for row in rows[1:]]
    lines += [f"row {v.row}, seed {v.seed}: {problem}" for v in verdicts for problem in (*v.problems, *v.slow)]
    return "\n".join(lines)


def as_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return every figure, including those that the table omits."""
    return [
        {
            **dataclasses.asdict(verdict),
            "lost": verdict.lost,
            "double": verdict.double,
            "extra": verdict.extra,
            "holds": verdict.holds,
        }
        for verdict in verdicts
    ]


def _cells(v: Verdict) -> tuple[str, ...]:
    counts = (v.seed, v.times, v.events, v.lost, v.double, v.extra)
    return (v.row, v.fault, *(f"{count:,}" for count in counts), f"{v.outage_s:.1f}", f"{v.seconds:.0f}")


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Align text to the left and figures to the right."""
    return [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
