"""`simulate`: reproducible files, and one sentence for wrong usage."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from models.simulation import Simulation, SimulationSettings
from streams.cli.simulate import simulate

SMALL = ["--customers", "30", "--days", "20"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, arguments)


def test_two_runs_are_byte_identical(tmp_path: Path) -> None:
    files = []
    for name in ("first", "second"):
        out, hazards = tmp_path / f"{name}.jsonl.gz", tmp_path / f"{name}-hazards.jsonl"
        assert run(*SMALL, "--out", str(out), "--hazards", str(hazards)).exit_code == 0
        files.append((out.read_bytes(), hazards.read_bytes()))
    assert files[0] == files[1]


def test_compressed_and_plain_files_and_standard_output_hold_the_same_events(tmp_path: Path) -> None:
    plain, gzipped = tmp_path / "events.jsonl", tmp_path / "events.jsonl.gz"
    run(*SMALL, "--out", str(plain))
    run(*SMALL, "--out", str(gzipped))
    streamed = run(*SMALL).stdout_bytes
    assert plain.read_bytes() == gzip.decompress(gzipped.read_bytes()) == streamed
    expected = Simulation(SimulationSettings(customers=30, days=20)).events()
    assert streamed.splitlines() == [event.value for event in expected]


def test_hazards_have_one_line_per_customer_and_period(tmp_path: Path) -> None:
    hazards = tmp_path / "hazards.jsonl"
    options = ["--hazards-every", "7", "--horizon", "14", "--out", str(tmp_path / "events.jsonl")]
    assert run(*SMALL, *options, "--hazards", str(hazards)).exit_code == 0
    lines = [json.loads(line) for line in hazards.read_text().splitlines()]
    first_day_ms = SimulationSettings().start_ms
    assert {(line["time_ms"] - first_day_ms) / 86_400_000 for line in lines} == {7, 14}
    for line in lines:
        assert list(line) == [
            "customer", "time_ms", "kind", "state", "subscriber", "hazard_daily", "p_churn_14d", "p_involuntary_14d",
        ]  # fmt: skip
        assert 0 <= line["p_involuntary_14d"] <= line["p_churn_14d"] <= 1
        assert line["hazard_daily"] <= line["p_churn_14d"]


def test_first_event_is_on_the_start_day() -> None:
    assert b'"timestamp":"2023-05-04T' in run(*SMALL, "--start", "2023-05-04").stdout_bytes.splitlines()[0]


def test_no_progress_without_a_terminal() -> None:
    assert run(*SMALL).stderr == ""


def test_help_lists_every_option() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for option in simulate.params:
        assert option.opts[0] in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--days", "0"], "Invalid value for '--days': 0 is not in the range"),
        (["--customers", "many"], "Invalid value for '--customers': 'many' is not a valid integer range."),
        (["--start", "yesterday"], "Invalid value for '--start': 'yesterday' does not match the format '%Y-%m-%d'."),
        (["--shops", "2"], "Invalid value for '--shops': 2.0 is not in the range"),
        (["--start", "1970-01-01"], "is outside the years 1990 to 2099"),
        (["--out", "a", "--hazards", "a"], "--out and --hazards are both a: give two files."),
        (["--sed", "1"], "No such option: --sed"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_unwritable_file_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    result = run(*SMALL, "--out", str(tmp_path / "nowhere" / "events.jsonl"))
    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot write {tmp_path}/nowhere/events.jsonl: No such file or directory.\n"
    assert list(tmp_path.iterdir()) == []
