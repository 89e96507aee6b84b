"""`churn-signals retention FILE`: the figures as text, JSON and plot, and the examples in the documentation."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from models.retention import report as retention_report
from models.retention.aggregates import month_of
from models.retention.rates import SumSeries
from models.retention.report import as_data, build
from streams.cli.main import main
from streams.cli.retention import retention_from_file
from tests.paths import ROOT, SHARED_DATA

CDNOW = SHARED_DATA / "cdnow.jsonl.gz"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["retention", *arguments])


def example(number: int) -> list[str]:
    section = (ROOT / "docs/metrics.md").read_text().split("## Retention")[1].split("\n## ")[0]
    return section.split("```text\n")[number].split("```")[0].splitlines()


def shown(answer: Result) -> list[str]:
    assert answer.exit_code == 0, answer.output
    return [line.rstrip() for line in answer.output.splitlines()]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the customers of the documented example."""
    path = tmp_path_factory.mktemp("retention") / "events.jsonl.gz"
    made = CliRunner().invoke(main, ["simulate", "--customers", "300", "--days", "100", "--out", str(path)])
    assert made.exit_code == 0, made.output
    return path


def test_docstring_examples_hold() -> None:
    """Rule: the figures in docstrings match the code."""
    found = doctest.testmod(retention_report)
    assert (found.failed, found.attempted) == (0, 1)


def test_documented_example_matches_the_output(log: Path) -> None:
    """Rule: docs/metrics.md shows the exact output of the command."""
    assert example(1) == shown(run(str(log)))


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW log is missing")
def test_documented_cohorts_match_the_output() -> None:
    """Rule: this also holds for a log without subscriptions, whose figures are then omitted."""
    assert example(2) == shown(run(str(CDNOW), "--cohort", "month"))


def test_json_has_every_figure(log: Path) -> None:
    """Rule: JSON contains the aggregates, the derived rates, and a part per source, and the parts add up."""
    found = json.loads(run(str(log), "--json", "--by", "source").output)
    sums = retention_from_file(str(log))
    report = build(sums, "source")
    assert report is not None
    assert found == orjson.loads(orjson.dumps(as_data(report)))
    series = SumSeries(sums, lambda group: group[0] == "s")
    month = series.revenue("month", month_of(report.day))
    newest = found["subscriptions"]["month"][-1]
    assert (newest["start"], newest["net_retention"], newest["churn"]) == (
        month.start,
        month.net_retention,
        month.churn,
    )
    assert len(found["by"]) == 4
    for figure in ("start", "lost", "new_mrr", "end_mrr"):
        parts = [part["subscriptions"]["rolling"][-1][figure] for part in found["by"].values()]
        assert sum(parts) == found["subscriptions"]["rolling"][-1][figure]
    assert [row["days"] for row in found["ages"]] == list(range(100))
    last = found["survival"][-1]
    assert last["survival"] + sum(last["lost"].values()) == pytest.approx(1.0, abs=1e-12)
    assert last["low"] < last["survival"] < last["high"]


def test_plans_have_a_row_each_and_a_total(log: Path) -> None:
    """Rule: customers without a known plan are in the row (unknown), and the last row is for all customers."""
    lines = shown(run(str(log), "--by", "plan"))
    assert [line.split()[0] for line in lines[4:9]] == ["(unknown)", "basic", "business", "pro", "all"]


def test_plot_is_reproducible(log: Path, tmp_path: Path) -> None:
    """Rule: the same log gives the same plot, byte for byte, and only .png is accepted."""
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for picture in pictures:
        assert run(str(log), "--plot", str(picture)).exit_code == 0
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    assert first[:4] == b"\x89PNG"
    refused = run(str(log), "--plot", "a.svg")
    assert (refused.exit_code, "must end in .png" in refused.output) == (2, True)


def test_log_without_subscriptions_can_be_plotted(tmp_path: Path) -> None:
    """Rule: the output omits the figures of subscriptions."""
    events = tmp_path / "one.jsonl"
    events.write_text('{"type":"page","userId":"a","timestamp":"2024-01-02T00:00:00Z"}\nno event\n')
    answer = run(str(events), "--plot", str(tmp_path / "a.png"))
    assert answer.exit_code == 0, answer.output
    assert "Subscriptions" not in answer.output


def test_file_without_customers_is_an_error(tmp_path: Path) -> None:
    """Rule: the error is one line and gives the reason."""
    (tmp_path / "none.jsonl").write_text("no event\n")
    answer = run(str(tmp_path / "none.jsonl"))
    assert answer.exit_code == 1
    assert answer.output.startswith(f"Error: {tmp_path / 'none.jsonl'} has no retention figures yet.")
    assert len(answer.output.splitlines()) == 1
