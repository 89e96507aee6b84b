"""Event names in files: spellings, passive events and `[events]` apply alike in every command that reads one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli.experience import experience_from_file
from streams.cli.main import main
from streams.cli.options import read_names
from streams.cli.purchases import read_purchases
from streams.cli.retention import retention_from_file

CHURN = '[churn.definitions.voluntary]\nevent = "cancelled_plan"\nwhere = { reason = "too_expensive" }\n'
EVENTS = """
[events]
"cancelled_plan" = { as = "Subscription Cancelled", reason = "$.why" }
"plan_bought" = { as = "Subscription Started", mrr = "$.price.month" }
"basket_paid" = { as = "Order Completed", revenue = "$.sum" }
"Nightly Export" = { engaged = false }
"""

Line = tuple[str, str, str, dict[str, Any]]


def write(path: Path, lines: Iterable[Line]) -> str:
    calls = [
        {"type": "track", "userId": who, "messageId": f"m{n}", "timestamp": at, "event": name, "properties": properties}
        for n, (who, at, name, properties) in enumerate(lines)
    ]
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "churn.toml"
    path.write_text(CHURN + EVENTS)
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


def customers(file: str, config: Path) -> dict[str, Any]:
    lines = run("customer", "--file", file, "--json", "--config", config).stdout.splitlines()
    return {(value := json.loads(line))["customer"]["id"]: value for line in lines}


def test_who_only_receives_is_as_silent_as_who_gets_nothing(tmp_path: Path, config: Path) -> None:
    """Rule: listed and unlisted passive events, in any spelling, neither engage a customer nor hide their silence."""
    days = [f"2025-02-{day:02}T09:00:00Z" for day in range(1, 29)]
    received = ("Push Notification Received", "sms_delivered", "Weekly Digest Sent", "invoice.finalized", "emailSend")
    lines: list[Line] = [
        (who, "2025-01-01T09:00:00Z", "Application Opened", {}) for who in ("silent", "pushed", "active")
    ]
    for n, day in enumerate(days):
        lines += [("pushed", day, received[n % len(received)], {}), ("active", day, "Level Finished", {})]
    lines += [(who, "2025-03-01T09:00:00Z", "Payment Failed", {}) for who in ("silent", "pushed", "active")]
    found = customers(write(tmp_path / "log.jsonl", lines), config)
    events = {who: value["features"]["events_30d"] for who, value in found.items()}
    assert (events["pushed"], events["silent"]) == (0.0, 0.0)
    assert events["active"] > 0
    recency = {who: value["features"]["recency_days"] for who, value in found.items()}
    assert recency["pushed"] == recency["silent"] > 50


def test_own_names_apply_in_every_command_that_reads_a_file(tmp_path: Path, config: Path) -> None:
    """Rule: backtest, customer, retention, purchases and experience read the same events from one file."""
    own: list[Line] = [
        ("c1", "2025-01-01", "plan_bought", {"price": {"month": 20}}),
        ("c2", "2025-01-01", "basketPaid", {"sum": 9}),
        ("c1", "2025-01-02", "Level Finished", {}),
        ("c1", "2025-01-03", "NightlyExport", {}),
        ("c1", "2025-01-20", "Canceled Plan", {"why": "too_expensive"}),
        ("c2", "2025-03-01", "Level Finished", {}),
        ("c1", "2025-03-01", "Email Sent", {}),
    ]
    listed: list[Line] = [
        ("c1", "2025-01-01", "Subscription Started", {"mrr": 20}),
        ("c2", "2025-01-01", "Order Completed", {"revenue": 9}),
        ("c1", "2025-01-02", "Level Finished", {}),
        ("c1", "2025-01-03", "Session Ended", {}),
        ("c1", "2025-01-20", "Subscription Cancelled", {"reason": "too_expensive"}),
        ("c2", "2025-03-01", "Level Finished", {}),
        ("c1", "2025-03-01", "Email Sent", {}),
    ]
    mapped, plain = write(tmp_path / "own.jsonl", own), write(tmp_path / "plain.jsonl", listed)
    names = read_names(config)
    features = [{who: value["features"] for who, value in customers(file, config).items()} for file in (mapped, plain)]
    assert features[0] == features[1]
    assert features[0]["c1"]["events_90d"] == 1
    assert retention_from_file(mapped, names) == retention_from_file(plain, names) != retention_from_file(mapped)
    assert read_purchases(mapped, 20_100, names).days == read_purchases(plain, 20_100, names).days
    assert read_purchases(mapped, 20_100).days != read_purchases(plain, 20_100).days
    assert experience_from_file(mapped, config) == experience_from_file(plain, config)
    reports = []
    for file in (mapped, plain):
        run("backtest", file, "--config", config, "--examples", tmp_path / "examples.jsonl")
        reports.append([json.loads(line) for line in (tmp_path / "examples.jsonl").read_text().splitlines()])
    assert reports[0] == reports[1]
    assert 1 in {example["label"] for example in reports[0]}


def test_retention_and_purchases_read_the_default_file_only_if_it_exists(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_names(None).resolve("basket_paid").name == "Order Completed"
    config.unlink()
    assert read_names(None).resolve("basket_paid").name == "basket_paid"
    for command in (["retention"], ["purchases"]):
        result = CliRunner().invoke(main, [*command, "--config", "churn.toml"])
        assert result.exit_code == 2
        assert "FILE" in result.output


def test_backtest_reports_first_what_makes_labels_wrong(tmp_path: Path, config: Path) -> None:
    """Rule: on the page before the figures, in the JSON, and for `customer` on standard error."""
    lines: list[Line] = [
        ("c1", "2025-01-01", "Level Finished", {}),
        ("c1", "2025-01-20", "cancelled_plan", {"because": "too_expensive"}),
        ("c1", "2025-03-01", "Cancelled Subscription", {}),
    ]
    file, report = write(tmp_path / "log.jsonl", lines), tmp_path / "report.json"
    printed = run("backtest", file, "--config", config, "--json", report).stdout
    missing, near = json.loads(report.read_text())["findings"]
    assert missing.startswith('"Subscription Cancelled" events without reason: 1 of 1.')
    assert near.startswith('Events "Cancelled Subscription": 1. The name resembles "Subscription Cancelled"')
    assert " ".join(printed.split()).startswith(f"{missing} {near}")
    assert missing in run("customer", "--file", file, "--json", "--config", config).stderr
