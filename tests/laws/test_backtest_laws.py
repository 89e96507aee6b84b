"""`churn-signals backtest` with text and JSON output, on simulated customers and on a real log if there is one."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from models.duration import DAY_MS
from models.events.coercion import time_ms
from models.features.catalogue import NAMES
from streams.cli.main import main
from tests.paths import SHARED_DATA

CHURN = """
[churn.definitions.cancelled]
event = "Subscription Cancelled"
[label]
horizon = "14d"
grace = "2d"
[snapshot]
every = "7d"
"""
SHARED_LOG = SHARED_DATA / "oulad-2013j.jsonl.gz"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a log of simulated customers and a churn definition."""
    folder = tmp_path_factory.mktemp("backtest")
    (folder / "churn.toml").write_text(CHURN)
    simulated = run(
        "simulate", "--customers", "80", "--days", "60", "--shops", "0", "--out", folder / "events.jsonl.gz"
    )
    assert simulated.exit_code == 0, simulated.output
    return folder


def backtest(folder: Path, name: str, *more: str | Path, log: Path | None = None) -> Result:
    return run(
        "backtest", log or folder / "events.jsonl.gz", "--config", folder / "churn.toml",
        "--json", folder / f"{name}.json", "--examples", folder / f"{name}.jsonl", *more,
    )  # fmt: skip


def check_examples(path: Path, end_ms: int) -> int:
    """Check that each line is complete, that both labels mature after the same delay, and none after the log ends."""
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for row in rows:
        assert list(row) == ["customer", "snapshot_time", "release_time", "probability", "label", "features"]
        assert list(row["features"]) == list(NAMES)
        assert 0 < row["probability"] < 1
        assert row["label"] in (0, 1)
        snapshot, release = time_ms(row["snapshot_time"]), time_ms(row["release_time"])
        assert snapshot is not None
        assert release == snapshot + 16 * DAY_MS
        assert release <= end_ms
    return len(rows)


def last_time(path: Path) -> int:
    with gzip.open(path, "rb") as file:
        lines = file.read().splitlines()
    found = time_ms(orjson.loads(lines[-1])["timestamp"])
    assert found is not None
    return found


def test_two_runs_write_the_same_bytes(folder: Path) -> None:
    first, second = backtest(folder, "a"), backtest(folder, "b")
    assert first.exit_code == second.exit_code == 0, first.output
    assert first.output == second.output
    for kind in ("json", "jsonl"):
        assert (folder / f"a.{kind}").read_bytes() == (folder / f"b.{kind}").read_bytes()


def test_examples_are_complete_and_use_no_future_data(folder: Path) -> None:
    backtest(folder, "c")
    assert check_examples(folder / "c.jsonl", last_time(folder / "events.jsonl.gz")) > 300


def test_report_counts_rejected_lines_and_duplicates(folder: Path) -> None:
    """Rule: rejected lines are counted by reason, a repeated line is a duplicate, and neither changes a figure."""
    lines = gzip.decompress((folder / "events.jsonl.gz").read_bytes()).splitlines()
    dirty = folder / "dirty.jsonl"
    dirty.write_bytes(b"\n".join([*lines[:500], b"{broken", *lines[490:500], b'{"type":"page"}', *lines[500:]]) + b"\n")
    clean, soiled = backtest(folder, "clean"), backtest(folder, "soiled", log=dirty)
    assert soiled.exit_code == 0, soiled.output
    one, two = (orjson.loads((folder / f"{name}.json").read_bytes()) for name in ("clean", "soiled"))
    assert two["counts"]["rejected"] == {"missing_customer": 1, "not_json": 1}
    assert two["counts"]["duplicates"] == one["counts"]["duplicates"] + 10
    assert (folder / "clean.jsonl").read_bytes() == (folder / "soiled.jsonl").read_bytes()
    assert clean.exit_code == 0


def test_labels_do_not_depend_on_the_number_of_partitions(folder: Path) -> None:
    """Rule: population levels are kept per partition, so figures differ slightly, but labels do not."""
    backtest(folder, "one", "--partitions", "1")
    backtest(folder, "many", "--partitions", "8")
    labels = [
        sorted((r["customer"], r["snapshot_time"], r["label"]) for r in map(orjson.loads, text.splitlines()))
        for text in ((folder / f"{name}.jsonl").read_bytes() for name in ("one", "many"))
    ]
    # the clock of a partition is its last event, so the last labels may have matured in only one of the runs
    assert len(set(labels[0]) & set(labels[1])) > 0.9 * len(labels[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl"], "missing.jsonl"),
        (["{log}", "--from", "2024-03-01", "--to", "2024-02-01"], "--from must be before --to"),
        (["{log}", "--from", "yesterday"], "not a time"),
        (["{log}", "--plot", "picture.gif"], "picture.gif"),
        (["{log}", "--config", "missing.toml"], "missing.toml"),
    ],
)
def test_invalid_arguments_are_explained(folder: Path, arguments: list[str], message: str) -> None:
    given = [a.replace("{log}", str(folder / "events.jsonl.gz")) for a in arguments]
    if "--config" not in given:
        given += ["--config", str(folder / "churn.toml")]
    result = run("backtest", *given)
    assert result.exit_code == 2
    assert message in result.output


def test_file_without_events_is_an_error(folder: Path) -> None:
    empty = folder / "empty.jsonl"
    empty.write_bytes(b"nothing\nto see\n")
    result = run("backtest", empty, "--config", folder / "churn.toml")
    assert result.exit_code == 1
    assert "no valid event" in result.output


@pytest.mark.skipif(not SHARED_LOG.exists(), reason="the shared log is missing")
def test_examples_of_a_real_log_use_no_future_data(folder: Path) -> None:
    """Setup: the first 8,000 events of a real log. The checks are those of the simulated customers."""
    part = folder / "part.jsonl.gz"
    with gzip.open(SHARED_LOG, "rb") as file, gzip.open(part, "wb", compresslevel=1) as out:
        for _, line in zip(range(8_000), file, strict=False):
            out.write(line)
    result = backtest(folder, "real", log=part)
    assert result.exit_code == 0, result.output
    assert check_examples(folder / "real.jsonl", last_time(part)) > 100
