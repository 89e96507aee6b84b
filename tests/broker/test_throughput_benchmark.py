"""The throughput benchmark on a small log, with every contender that needs no additional package."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks.throughput import world
from benchmarks.throughput.__main__ import run_input
from streams.devbroker.embedded_broker import EmbeddedBroker


def test_small_run_has_all_figures(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: 3,000 events give rates for all contenders, stages for the worker, and hints for missing packages."""
    options = argparse.Namespace(repetitions=1, quix=None)
    source = world.uniform(3_000, customers=200)
    run = run_input(broker, tmp_path, source, world.learned_model(), set("abcefg"), options)
    rows = {row["letter"]: row for row in run["rows"]}
    assert sorted(rows) == ["a", "b", "c", "g"], run["left_out"]
    assert all(row["rate"]["median"] > 0 for row in rows.values())
    assert [rows[letter]["events"] for letter in "abcg"] == [
        9_000,
        3_000,
        3_000,
        3_000,
    ]  # (a) reads the topic three times
    assert 0 < rows["c"]["ratio"]["a"] < 1
    assert all("pip install quixstreams" in why for why in run["left_out"].values())
    assert run["trainer"]["labels"] > 0
    assert run["trainer"]["rate"]["median"] > 0
    stages = run["stages"]
    assert stages["events"] == 3_000
    assert all(us >= 0 for us in stages["us_per_event"].values())
    threads = stages["threads_us_per_event"]
    assert sum(stages["us_per_event"].values()) == pytest.approx(threads["main"] + threads["computing"], rel=0.1)
    assert {"scores", "profiles-changelog"} <= set(stages["bytes_per_event"])
    assert stages["changelog_bytes_per_event"]["profiles"] > 0
