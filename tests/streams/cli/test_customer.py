"""`churn-signals customer`: the newer alert of the score and the alerts topic, and the customers of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from streams.cli.customer import AlertStatus, newer_alert
from streams.cli.main import main
from tests.streams.alert_values import life
from tests.streams.console.published import record

OPENED, ACKNOWLEDGED, SNOOZED, RESOLVED = (json.loads(value) for _, value in life("c1"))


def as_scored(change: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": change["alert_id"],
        "state": change["state"],
        "seq": change["seq"],
        "severity": change["severity"],
        "since": change["opened_at"],
    }


def shown(score: dict[str, Any], change: dict[str, Any] | None) -> dict[str, Any] | None:
    return newer_alert(score, None if change is None else AlertStatus.of(alert_record(json.dumps(change).encode())))


def alert_record(value: bytes) -> Any:
    return record("churn-alerts", b"c1", value)


@pytest.mark.parametrize("change", [ACKNOWLEDGED, SNOOZED])
def test_action_since_the_score_is_displayed(change: dict[str, Any]) -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert shown(score, change) == as_scored(change)


def test_ended_alert_shows_the_time_of_its_end() -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert shown(score, RESOLVED) == {**as_scored(RESOLVED), "since": RESOLVED["time"]}


def test_score_with_a_newer_change_wins() -> None:
    """Setup: the alerts topic was read before the newest change, or has deleted old records."""
    score = {"scored_at": SNOOZED["time"], "alert": as_scored(SNOOZED)}
    assert shown(score, ACKNOWLEDGED) == as_scored(SNOOZED)
    assert shown(score, None) == as_scored(SNOOZED)


def test_newer_alert_replaces_the_alert_of_the_score() -> None:
    other = {**OPENED, "alert_id": "0" * 32, "time": "2024-09-01T00:00:00.500Z"}
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": as_scored(RESOLVED)}
    assert shown(score, other) == as_scored(other)
    assert shown({**score, "alert": None}, other) == as_scored(other)


def test_alert_that_ended_before_the_score_is_not_displayed() -> None:
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": None}
    assert shown(score, RESOLVED) is None
    assert shown(score, None) is None


@pytest.mark.parametrize("value", [b"not json", b"[]", b'{"alert_id":"a"}'])
def test_unreadable_alert_is_refused(value: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        AlertStatus.of(alert_record(value))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file with two customers, and one line that is no event."""
    path = tmp_path / "events.jsonl"
    path.write_text(
        "".join(
            json.dumps({"type": "page", "userId": who, "messageId": f"{who}{day}", "timestamp": f"2025-03-{day}"})
            + "\n"
            for day in ("10", "11", "12")
            for who in ("c1", "c2")
        )
        + "no event\n"
    )
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["customer", *arguments])


def test_customers_of_a_file_are_printed_one_per_line(log: Path) -> None:
    """Rule: the newest event counts, although no worker would have scored it yet; rejected lines are reported."""
    result = run("--file", str(log), "--json")
    assert result.exit_code == 0
    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert {value["customer"]["id"]: value["features"]["active_days_7"] for value in values} == {"c1": 3, "c2": 3}
    assert "rejected 1 line: not_json 1" in result.stderr


def test_a_customer_of_a_file_is_shown_as_a_page(log: Path) -> None:
    result = run("--file", str(log), "c2")
    assert result.exit_code == 0
    assert result.stdout.startswith("c2: ")
    assert "None" not in result.stdout


def test_a_missing_customer_and_missing_arguments_are_explained(log: Path) -> None:
    assert "customer c9 has no event in" in run("--file", str(log), "c9").output
    assert "print all customers with --json" in run("--file", str(log)).output
    assert "name the customer to show" in run().output
    assert "--config needs --file" in run("c1", "--config", "churn.toml").output


def test_unreadable_properties_of_a_file_are_reported(tmp_path: Path) -> None:
    """Rule: what could not be read is on standard error, with the lines of the file."""
    path = tmp_path / "events.jsonl"
    lines = [
        {
            "type": "track",
            "event": "Social Mention",
            "userId": "c-1",
            "timestamp": f"2025-01-0{day}",
            "messageId": str(day),
        }
        | {"properties": {"sentiment": sentiment}}
        for day, sentiment in ((1, "Negative"), (2, 20), (3, "n/a"))
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    result = CliRunner().invoke(main, ["customer", "--file", str(path), "--json"])
    assert json.loads(result.stdout)["features"]["sentiment"] == -1.0
    assert "sentiment of Social Mention, 2 times (first in line 3, last in line 5)" in result.stderr
