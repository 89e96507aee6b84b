"""`churn-signals purchases`: forecast and what came, as text, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from streams.cli.main import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["purchases", *arguments])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a year of 300 customers who buy now and then, some orders twice; and a line that is no event."""
    rng = np.random.default_rng(1)
    lines: list[tuple[str, str]] = []
    for customer in range(300):
        day = int(rng.integers(0, 40))
        while day < 180 and (not lines or rng.random() < 0.9):
            date = str(np.datetime64("2024-01-01") + day)
            order = {
                "type": "track",
                "event": "Order Completed",
                "userId": f"c{customer}",
                "timestamp": date + "T12:00:00Z",
            }
            order["messageId"] = f"{customer}-{day}"
            lines += [(date, json.dumps(order))] * (2 if day % 5 == 0 else 1)
            day += 1 + int(rng.exponential(5 + customer % 40))
    path = tmp_path_factory.mktemp("purchases") / "orders.jsonl"
    path.write_text("\n".join(line for _, line in sorted(lines)) + "\nno event\n")
    return path


def test_the_weeks_add_up_to_the_orders_that_came(log: Path) -> None:
    """Rule: what came is counted from the file, customers' days once each, those known before the day alone."""
    answer = run(str(log), "--until", "2024-04-01", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.output)
    days: dict[str, set[str]] = {}
    for line in log.read_text().splitlines()[:-1]:
        order = json.loads(line)
        days.setdefault(order["userId"], set()).add(order["timestamp"][:10])
    known = [mine for mine in days.values() if min(mine) < "2024-04-01"]
    end = str(np.datetime64("2024-04-01") + 7 * len(found["weeks"]))
    assert found["customers"] == len(known) == sum(one["customers"] for one in found["classes"])
    came = [sum("2024-04-01" <= day < end for day in mine) for mine in known]
    assert sum(week["actual"] for week in found["weeks"]) == sum(came) == sum(one["actual"] for one in found["classes"])
    assert sum(one["came_back"] for one in found["classes"]) == sum(one > 0 for one in came)
    assert found["learned_actual"] == sum(sum(day < "2024-04-01" for day in mine) - 1 for mine in known)
    # classes and weeks tell the same forecast
    foretold = sum(week["predicted"] for week in found["weeks"])
    assert sum(one["predicted"] for one in found["classes"]) == pytest.approx(foretold, rel=1e-9)


@pytest.mark.law
def test_a_week_ahead_is_foretold_from_all_before_it(log: Path) -> None:
    """Rule: the first week as the forecast has it, and every week counts the days of customers known by then."""
    found = json.loads(run(str(log), "--until", "2024-03-01", "--refit", "--json").output)
    days: dict[str, set[str]] = {}
    for line in log.read_text().splitlines()[:-1]:
        order = json.loads(line)
        days.setdefault(order["userId"], set()).add(order["timestamp"][:10])
    ahead = found["weeks_ahead"]
    assert len(ahead) == len(found["weeks"]) > 10
    assert ahead[0] == found["weeks"][0]
    for number, week in enumerate(ahead):
        start = np.datetime64("2024-03-01") + 7 * number
        inside = [
            sum(str(start) <= day < str(start + 7) for day in mine) for mine in days.values() if min(mine) < str(start)
        ]
        assert week["actual"] == sum(inside)


def test_the_picture_is_the_same_each_time(log: Path, tmp_path: Path) -> None:
    """Rule: one log, one picture, byte for byte; and only a .png."""
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for picture in pictures:
        assert run(str(log), "--until", "2024-04-01", "--plot", str(picture)).exit_code == 0
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    assert first[:4] == b"\x89PNG"
    refused = run(str(log), "--until", "2024-04-01", "--plot", "a.svg")
    assert (refused.exit_code, "must end in .png" in refused.output) == (2, True)


def test_a_day_before_all_purchases_is_an_error_in_one_sentence(log: Path) -> None:
    """Rule: too little to learn from is said with file and day."""
    answer = run(str(log), "--until", "2023-01-01")
    assert answer.exit_code == 1
    assert (
        answer.output == f"Error: {log}, days before 2023-01-01: no customer bought on a second day, "
        "so purchase rates cannot be estimated.\n"
    )
