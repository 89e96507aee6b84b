"""Unsorted files are refused by commands that replay them, and give the results of the sorted file with `--sort`."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.cli.main import main
from tests.paths import ROOT

CHURN = str(ROOT / "churn.toml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def line(number: int) -> str:
    call = {
        "type": "page",
        "userId": f"c{number % 5}",
        "messageId": f"m{number}",
        "timestamp": 1_700_000_000 + 40_000 * number,
    }
    return json.dumps(call)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A sorted file, and the same lines shuffled."""
    lines = [line(number) for number in range(200)]
    paths = tmp_path / "sorted.jsonl", tmp_path / "shuffled.jsonl"
    paths[0].write_text("\n".join(lines))
    random.Random(2).shuffle(lines)
    paths[1].write_text("\n".join(lines))
    return paths


@pytest.mark.parametrize("command", [("backtest",), ("customer", "--json", "--file"), ("publish",)])
def test_an_unsorted_file_is_refused(files: tuple[Path, Path], command: tuple[str, ...]) -> None:
    result = run(*command, str(files[1]))
    assert result.exit_code == 1
    assert "shuffled.jsonl is not sorted by time" in result.output
    assert "Repeat with --sort" in result.output


def test_a_file_that_is_sorted_first_gives_the_same_results(files: tuple[Path, Path]) -> None:
    known = run("customer", "--json", "--file", str(files[0]), "--config", CHURN)
    assert known.exit_code == 0
    assert run("customer", "--json", "--sort", "--file", str(files[1]), "--config", CHURN).stdout == known.stdout
