"""`churn-signals experience FILE`: the figures as text and JSON; the examples in the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from models.experience.report import BY
from streams.cli import experience
from streams.cli.main import main
from tests.paths import DOCS

SECTION = (DOCS / "metrics.md").read_text().split("\n## Experience")[1].split("\n## ")[0]
WIDTH = "150"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customers and the churn.toml of the documents' example."""
    folder = tmp_path_factory.mktemp("experience")
    (folder / "churn.toml").write_text(SECTION.split("```toml\n")[1].split("```")[0])
    made = CliRunner().invoke(
        main, ["simulate", "--customers", "160", "--days", "80", "--out", str(folder / "events.jsonl.gz")]
    )
    assert made.exit_code == 0, made.output
    return folder


class Command:
    """The command, which counts the file once."""

    def __init__(self, place: Path) -> None:
        self.sums = experience.experience_from_file(str(place / "events.jsonl.gz"), place / "churn.toml")

    def __call__(self, *options: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experience, "experience_from_file", lambda file, config: self.sums)
            return CliRunner(env={"COLUMNS": WIDTH}).invoke(main, ["experience", "events.jsonl.gz", *options])


@pytest.fixture(scope="module")
def run(place: Path) -> Command:
    return Command(place)


@pytest.fixture(scope="module")
def data(run: Command) -> dict[str, dict]:
    """What programs get, by each grouping."""
    return {by: json.loads(run("--json", "--by", by).output) for by in BY}


def test_the_examples_in_the_documents_are_what_the_command_says(run: Command) -> None:
    """Rule: docs/metrics.md shows the command's own words."""
    for number, options in ((1, ()), (2, ("--by", "plan"))):
        answer = run(*options)
        assert answer.exit_code == 0, answer.output
        shown = SECTION.split("```text\n")[number].split("```")[0].splitlines()
        assert shown == [line.rstrip() for line in answer.output.splitlines()]


def test_groups_add_up_to_everybody(data: dict[str, dict]) -> None:
    """Rule: every label is in one plan and one stage; every answer, barrier and goal with it."""
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


def test_bad_support_shows_as_what_it_is(data: dict[str, dict]) -> None:
    """Rule: the simulator's cause is found: who answers low, and names what support does, leaves more often."""
    found = data["plan"]
    low = [found["csat"][box] for box in ("1", "2")]
    assert sum(row["churned"] for row in low) / sum(row["labels"] for row in low) > 3 * found["csat"]["5"]["churn"]
    assert found["nps"]["detractor"]["churn"] > 2 * found["nps"]["promoter"]["churn"]
    for tag in ("customer_service", "low_quality", "too_complex"):
        assert found["barriers"][tag]["churn"] > 1.5 * found["barriers"]["none"]["churn"]


def test_a_log_without_a_matured_label_is_an_error_in_one_sentence(place: Path, tmp_path: Path) -> None:
    """Rule: nothing counted is said, with when there will be something."""
    (tmp_path / "events.jsonl").write_text('{"type":"page","userId":"a","timestamp":"2024-01-02T00:00:00Z"}\n')
    answer = CliRunner().invoke(
        main, ["experience", str(tmp_path / "events.jsonl"), "--config", str(place / "churn.toml")]
    )
    assert answer.exit_code == 1
    assert "has no matured label" in answer.output
    assert len(answer.output.splitlines()) == 1
