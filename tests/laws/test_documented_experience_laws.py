"""`churn-signals experience FILE`: the figures as text and JSON, and the examples in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.experience.report import BY
from streams.cli import experience
from streams.cli.main import main
from tests.paths import DOCS

SECTION = (DOCS / "metrics.md").read_text().split("\n## Experience")[1].split("\n## ")[0]
WIDTH = "150"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the customers and the churn.toml of the documented example."""
    folder = tmp_path_factory.mktemp("experience")
    (folder / "churn.toml").write_text(SECTION.split("```toml\n")[1].split("```")[0])
    made = CliRunner().invoke(
        main, ["simulate", "--customers", "160", "--days", "80", "--out", str(folder / "events.jsonl.gz")]
    )
    assert made.exit_code == 0, made.output
    return folder


class Command:
    """The command with the file's figures computed only once."""

    def __init__(self, folder: Path) -> None:
        self.sums = experience.experience_from_file(str(folder / "events.jsonl.gz"), folder / "churn.toml")

    def __call__(self, *options: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experience, "experience_from_file", lambda file, config: self.sums)
            return CliRunner(env={"COLUMNS": WIDTH}).invoke(main, ["experience", "events.jsonl.gz", *options])


@pytest.fixture(scope="module")
def run(folder: Path) -> Command:
    return Command(folder)


@pytest.fixture(scope="module")
def data(run: Command) -> dict[str, dict[str, Any]]:
    """JSON output for each grouping."""
    return {by: json.loads(run("--json", "--by", by).output) for by in BY}


def test_documented_examples_match_the_output(run: Command) -> None:
    """Rule: docs/metrics.md shows the exact output of the command."""
    for number, options in ((1, ()), (2, ("--by", "plan"))):
        answer = run(*options)
        assert answer.exit_code == 0, answer.output
        shown = SECTION.split("```text\n")[number].split("```")[0].splitlines()
        assert shown == [line.rstrip() for line in answer.output.splitlines()]


def test_groups_add_up_to_the_total(data: dict[str, dict[str, Any]]) -> None:
    """Rule: every label, with its responses, barriers and goals, is in exactly one plan and one stage."""
    for found in data.values():
        assert len(found["by"]) > 1
        for kind in ("csat", "nps", "barriers"):
            for name, whole in found[kind].items():
                parts = [group[kind].get(name, {"labels": 0, "churned": 0}) for group in found["by"].values()]
                for figure in ("labels", "churned"):
                    assert sum(part[figure] for part in parts) == whole[figure], (kind, name)
        answered = sum(row["labels"] for row in found["csat"].values())
        assert answered == found["all"]["labels"] == sum(month["labels"] for month in found["months"])
    plans = data["plan"]
    for number, goal in enumerate(plans["goals"]):
        assert goal["customers"] == sum(group["goals"][number]["customers"] for group in plans["by"].values())
        assert re.fullmatch("[0-9a-f]{8}", goal["definition"])


def test_churn_caused_by_bad_support_is_visible(data: dict[str, dict[str, Any]]) -> None:
    """Rule: customers with low ratings or barriers related to support churn more often, as in the simulation."""
    found = data["plan"]
    low = [found["csat"][box] for box in ("1", "2")]
    assert sum(row["churned"] for row in low) / sum(row["labels"] for row in low) > 3 * found["csat"]["5"]["churn"]
    assert found["nps"]["detractor"]["churn"] > 2 * found["nps"]["promoter"]["churn"]
    for tag in ("customer_service", "low_quality", "too_complex"):
        assert found["barriers"][tag]["churn"] > 1.5 * found["barriers"]["none"]["churn"]


def test_log_without_matured_labels_is_an_error(folder: Path, tmp_path: Path) -> None:
    """Rule: the error is one line and gives the reason."""
    (tmp_path / "events.jsonl").write_text('{"type":"page","userId":"a","timestamp":"2024-01-02T00:00:00Z"}\n')
    answer = CliRunner().invoke(
        main, ["experience", str(tmp_path / "events.jsonl"), "--config", str(folder / "churn.toml")]
    )
    assert answer.exit_code == 1
    assert "has no matured label" in answer.output
    assert len(answer.output.splitlines()) == 1
