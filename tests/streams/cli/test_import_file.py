"""`churn-signals import`: files in and out, the report, exit codes, and one sentence for each wrong use."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.imports import SOURCES
from streams.cli import import_file as command
from streams.cli.main import main
from tests.models.imports.test_samples import SAMPLES

TABLE = """Customer ID;Type;Date;Amount
c-1;Bestellung;31.01.2025 10:00;59,90
c-2;Signed Up;30.01.2025 09:30;
;Bestellung;01.02.2025 09:31;1
c-4;Bestellung
"""
MAPPING = ["--map", "userId=Customer ID", "--map", "event=Type", "--map", "timestamp=Date"]
GERMAN = ["--date-format", "%d.%m.%Y %H:%M", "--time-zone", "Europe/Berlin"]


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["import", *arguments], input=given)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_table_becomes_events_in_order_of_time_with_a_report(table: str) -> None:
    revenue = ["--map", "properties.revenue=Amount", "--rename", "Bestellung=Order Completed"]
    result = run(table, "--from", "csv", *MAPPING, *GERMAN, *revenue)
    assert result.exit_code == 1
    assert [(event["userId"], event["event"], event["timestamp"]) for event in events(result)] == [
        ("c-2", "Signed Up", "2025-01-30T08:30:00Z"),
        ("c-1", "Order Completed", "2025-01-31T09:00:00Z"),
    ]
    assert events(result)[1]["properties"] == {"revenue": "59,90"}
    assert result.stderr.splitlines() == [
        "4 rows, 2 events, 2 customers",
        "event times from 2025-01-30 08:30 UTC to 2025-01-31 09:00 UTC",
        "rejected: 2 rows",
        "  missing_customer 1, first in line 4. The row names no customer. An ID is never made up.",
        "  wrong_columns 1, first in line 5. The row has another number of columns than the header.",
        "names renamed: 1",
        "  Bestellung -> Order Completed 1",
        "names passed on unchanged: 1",
        "  Signed Up 1",
        "Rows were rejected: exit code 1. The other events are written. Accept this with --lenient.",
    ]
    assert run(table, "--from", "csv", *MAPPING, *GERMAN, "--lenient").exit_code == 0


def test_an_export_without_rejected_rows_ends_with_0(tmp_path: Path) -> None:
    output = tmp_path / "events.jsonl.gz"
    result = run(str(SAMPLES / "chargebee.jsonl"), "--from", "chargebee", "--output", str(output))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "subscription_changed -> Subscription Upgraded 1" in result.stderr
    assert len(gzip.decompress(output.read_bytes()).splitlines()) == 14
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_standard_input_and_a_gzipped_file_are_read(tmp_path: Path) -> None:
    plain = (SAMPLES / "stripe.jsonl").read_bytes()
    packed = tmp_path / "export"
    packed.write_bytes(gzip.compress(plain))
    results = [run(str(file), "--from", "stripe", "--lenient") for file in (SAMPLES / "stripe.jsonl", packed)]
    results.append(run("-", "--from", "stripe", "--lenient", given=plain))
    assert results[0].stdout
    assert {(result.exit_code, result.stdout) for result in results} == {(0, results[0].stdout)}


def test_imported_files_are_merged_by_another_import(tmp_path: Path) -> None:
    """Rule: events are in a form that can be imported again, without a change but their order."""
    both = tmp_path / "both.jsonl"
    made = [run(str(SAMPLES / f"{name}.jsonl"), "--from", name, "--lenient") for name in ("stripe", "posthog")]
    both.write_text("".join(result.stdout for result in made), encoding="utf-8")
    merged = run(str(both), "--from", "rudderstack")
    assert merged.exit_code == 0
    assert sorted(map(str, events(merged))) == sorted(map(str, events(made[0]) + events(made[1])))


def test_customer_ids_of_the_source_become_those_of_the_other_events(tmp_path: Path) -> None:
    ids = tmp_path / "ids.csv"
    ids.write_text("stripe,app\ncus_Ra1,c-1042\n", encoding="utf-8")
    result = run(str(SAMPLES / "stripe.jsonl"), "--from", "stripe", "--customer-ids", str(ids), "--lenient")
    assert {event["userId"] for event in events(result)} == {"c-1042"}
    assert "unknown_customer 3, first in line 16" in result.stderr
    ids.write_text("stripe,app\ncus_Ra1\n", encoding="utf-8")
    result = run(str(SAMPLES / "stripe.jsonl"), "--from", "stripe", "--customer-ids", str(ids))
    assert (result.exit_code, "line 2 does not have two IDs" in result.stderr) == (2, True)


def test_a_file_without_an_event_is_a_failure_even_if_lenient(table: str) -> None:
    result = run(table, "--from", "stripe", "--lenient")
    assert result.exit_code == 1
    assert "has no row that became an event. Check --from" in result.stderr
    assert "not_json 5, first in line 1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "stripe", *MAPPING], "--map needs --from csv"),
        (["--from", "stripe", "--time-zone", "UTC"], "--time-zone needs --from csv"),
        (["--from", "csv", "--map", "userId=Customer ID"], "--map: No column is mapped to timestamp"),
        (
            ["--from", "csv", *MAPPING[:4], "--map", "timestamp=Day"],
            "The header has no column 'Day'. Its columns: Cust",
        ),
        (["--from", "csv", *MAPPING, "--time-zone", "Nowhere"], "there is no zone 'Nowhere'"),
        (["--from", "csv", *MAPPING, "--delimiter", "::"], "--delimiter is one character"),
        (["--from", "csv", *MAPPING, "--rename", "x"], "--rename: 'x' is no pair"),
        ([], "Missing option '--from'"),
    ],
)
def test_wrong_use_is_one_sentence(table: str, arguments: list[str], message: str) -> None:
    result = run(table, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    output = tmp_path / "nowhere" / "events.jsonl"
    result = run(str(SAMPLES / "ga4.jsonl"), "--from", "ga4", "--output", str(output))
    assert result.exit_code == 1
    assert f"cannot write {output}: No such file" in result.stderr


def test_every_source_can_be_chosen() -> None:
    assert sorted([*SOURCES, "csv"]) == sorted(command._SOURCES)
