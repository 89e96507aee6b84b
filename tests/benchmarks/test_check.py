"""Comparison with the baseline: which figures are compared, and which changes count as moves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.check import compared, main, ratios, render


def _row(letter: str, ratio: dict[str, float], cpu_us: float, *, yardstick: bool = False) -> dict[str, Any]:
    return {"letter": letter, "yardstick": yardstick, "ratio": ratio, "cpu_us_per_event": cpu_us, "peak_mib": 400.0}


def _figures(share: float = 0.03, changelog: float = 700.0) -> dict[str, Any]:
    rows = [
        _row("a", {"a": 1.0}, 2.0, yardstick=True),
        _row("f", {"a": 0.9}, 9.0),  # at least once: not a yardstick
        _row("c", {"a": share, "b": 4.0}, 80.0),
    ]
    stages = {"points_per_event": 0.76, "bytes_per_event": {"profiles-changelog": changelog}}
    return {"machine": {"cores": 2}, "runs": [{"rows": rows, "stages": stages}]}


def test_rates_are_compared_as_ratios() -> None:
    """Rule: no absolute rate is compared, and CPU time is relative to (a)."""
    assert ratios(_figures()) == {
        "(c) / (a), events/s": 0.03,
        "(c) / (b), events/s": 4.0,
        "(c) / (a), CPU time": 40.0,
        "(c) peak MiB": 400.0,
        "scoring points an event": 0.76,
        "bytes an event, profiles-changelog": 700.0,
    }


def test_changes_above_ten_percent_count_in_either_direction() -> None:
    """Rule: 9% is noise, 12% is a move whether better or worse, and a missing figure is a move."""
    before = {"near": 1.0, "worse": 1.0, "better": 1.0, "gone": 1.0, "none": 0.0}
    moves = compared(before, {"near": 1.09, "worse": 0.88, "better": 1.12, "new": 5.0, "none": 0.0})
    assert {move.name for move in moves if move.moved} == {"worse", "better", "gone"}
    shown = render(moves).splitlines()
    assert any("worse" in line and "-12.0%" in line and "MOVED" in line for line in shown)
    assert shown[-1] == "3 of 6 moved by more than 10%"


def test_command_writes_baseline_and_compares_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: exit code 2 and a hint without a baseline, 0 when nothing moved, 1 when something did."""
    same, other, baseline = tmp_path / "same.json", tmp_path / "other.json", tmp_path / "baseline.json"
    same.write_text(json.dumps(_figures()))
    other.write_text(json.dumps(_figures(share=0.02)))

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["check", "--baseline", str(baseline), *arguments])
        return main()

    assert run(str(same)) == 2
    assert "--write" in capsys.readouterr().err
    assert run("--write", str(same)) == 0
    assert run(str(same)) == 0
    assert "nothing moved" in capsys.readouterr().out
    assert run(str(other)) == 1
    assert "1 of 6 moved" in capsys.readouterr().out
