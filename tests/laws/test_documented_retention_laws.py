"""`churn-signals retention FILE`: the figures as text, JSON and picture; the examples in the documents."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from models.retention import report as retention_report
from models.retention.rates import SumSeries, month_of
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
    """The customers of the example in the documents."""
    path = tmp_path_factory.mktemp("retention") / "events.jsonl.gz"
    made = CliRunner().invoke(main, ["simulate", "--customers", "300", "--days", "100", "--out", str(path)])
    assert made.exit_code == 0, made.output
    return path


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    found = doctest.testmod(retention_report)
    assert (found.failed, found.attempted) == (0, 1)


def test_the_example_in_the_documents_is_what_the_command_says(log: Path) -> None:
    """Rule: docs/metrics.md shows the command's own words."""
    assert example(1) == shown(run(str(log)))


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW log is not beside this checkout")
def test_the_cohorts_in_the_documents_are_what_the_command_says() -> None:
    """Rule: also of a log without subscriptions, of which nothing is shown then."""
    assert example(2) == shown(run(str(CDNOW), "--cohort", "month"))


def test_programs_get_every_figure(log: Path) -> None:
    """Rule: JSON has what the sums say, with the shares that follow, and a part for each source that adds up."""
    found = json.loads(run(str(log), "--json", "--by", "source").output)
    sums = retention_from_file(str(log))
    report = build(sums, "source")
    assert report is not None
    assert found == orjson.loads(orjson.dumps(as_data(report)))
    series = SumSeries(sums, lambda group: group[0] == "s")
    month = series.revenue("month", month_of(report.day))
    told = found["subscriptions"]["month"][-1]
    assert (told["start"], told["net_retention"], told["churn"]) == (month.start, month.net_retention, month.churn)
    assert len(found["by"]) == 4
    for figure in ("start", "lost", "new_mrr", "end_mrr"):
        parts = [part["subscriptions"]["rolling"][-1][figure] for part in found["by"].values()]
        assert sum(parts) == found["subscriptions"]["rolling"][-1][figure]
    assert [row["days"] for row in found["ages"]] == list(range(100))
    last = found["survival"][-1]
    assert last["survival"] + sum(last["lost"].values()) == pytest.approx(1.0, abs=1e-12)
    assert last["low"] < last["survival"] < last["high"]


def test_plans_have_rows_that_end_with_all(log: Path) -> None:
    """Rule: a row each, and one for everybody; who never named a plan is said to be unknown."""
    lines = shown(run(str(log), "--by", "plan"))
    assert [line.split()[0] for line in lines[4:9]] == ["(unknown)", "basic", "business", "pro", "all"]


def test_the_picture_is_the_same_each_time(log: Path, tmp_path: Path) -> None:
    """Rule: one log, one picture, byte for byte; and only a .png."""
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for picture in pictures:
        assert run(str(log), "--plot", str(picture)).exit_code == 0
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    assert first[:4] == b"\x89PNG"
    refused = run(str(log), "--plot", "a.svg")
    assert (refused.exit_code, "must end in .png" in refused.output) == (2, True)


def test_a_picture_of_nobody_who_subscribed_says_so(tmp_path: Path) -> None:
    """Rule: what is not there is said, not drawn."""
    events = tmp_path / "one.jsonl"
    events.write_text('{"type":"page","userId":"a","timestamp":"2024-01-02T00:00:00Z"}\nno event\n')
    answer = run(str(events), "--plot", str(tmp_path / "a.png"))
    assert answer.exit_code == 0, answer.output
    assert "Subscriptions" not in answer.output


def test_a_file_without_a_customer_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    """Rule: nothing counted is said, with what to do."""
    (tmp_path / "none.jsonl").write_text("no event\n")
    answer = run(str(tmp_path / "none.jsonl"))
    assert answer.exit_code == 1
    assert answer.output.startswith(f"Error: {tmp_path / 'none.jsonl'} has no retention figures yet.")
    assert len(answer.output.splitlines()) == 1
