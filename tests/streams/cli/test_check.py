"""`churn-signals check` and `init`: reports, exit codes, and files that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.cli.main import main

CHURN = Path(__file__).parents[3] / "churn.toml"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def line(day: int, name: str = "page", **properties: str) -> str:
    date = f"2025-{1 + day // 28:02}-{1 + day % 28:02}"
    call = {"type": "track", "event": name, "userId": f"c{day % 4}", "messageId": f"m{day}", "timestamp": date}
    return json.dumps(call | {"properties": properties})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(line(day, "Feature Used") + "\n" for day in range(120)))
    return path


def test_a_good_file_gives_exit_code_0(log: Path) -> None:
    result = run("check", str(log), "--config", str(CHURN))
    assert "120 events from 2025-01-01" in result.output
    assert "errors 3" in result.output  # no customer churns in it, of either cause
    assert "All labels are no churn" in result.output
    assert 'No "Subscription Cancelled" event occurs' in " ".join(result.output.split())
    assert result.exit_code == 1


def test_rejected_lines_have_their_number(log: Path) -> None:
    log.write_text(log.read_text() + "no event\n")
    found = [
        json.loads(each) for each in run("check", str(log), "--config", str(CHURN), "--json").output.splitlines()[:-1]
    ]
    assert {"level": "error", "topic": "rejected", "text": "Lines rejected as not_json: 1.", "line": 121} in found


def test_unreadable_properties_have_their_line(log: Path) -> None:
    """Rule: lines are those of the file, whatever stands between the events."""
    log.write_text("no event\n\n" + log.read_text() + line(120, "Social Mention", sentiment="20%") + "\n")
    result = run("check", str(log), "--config", str(CHURN))
    assert "sentiment of Social Mention cannot be read" in result.output
    assert "Line 123." in result.output


def test_a_definition_is_proposed_and_an_existing_file_kept(log: Path, tmp_path: Path) -> None:
    target = tmp_path / "churn.toml"
    assert run("init", str(log), "--output", str(target)).exit_code == 0
    assert 'primary = ["inactivity"]' in target.read_text()
    assert run("config", "--config", str(target)).exit_code == 0
    kept = run("init", str(log), "--output", str(target))
    assert (kept.exit_code, "exists" in kept.output) == (2, True)
