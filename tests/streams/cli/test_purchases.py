"""`churn-signals purchases`: forecast and actual purchases as text, JSON and plot."""

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
    """Half a year of 300 customers with occasional purchases, some orders twice, and one invalid line."""
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


def test_weeks_add_up_to_the_actual_orders(log: Path) -> None:
    """Rule: actual purchases are customer days in the file, of customers known before the day."""
    result = run(str(log), "--until", "2024-04-01", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    days: dict[str, set[str]] = {}
    for line in log.read_text().splitlines()[:-1]:
        order = json.loads(line)
        days.setdefault(order["userId"], set()).add(order["timestamp"][:10])
    known = [dates for dates in days.values() if min(dates) < "2024-04-01"]
    end = str(np.datetime64("2024-04-01") + 7 * len(found["weeks"]))
    assert found["customers"] == len(known) == sum(row["customers"] for row in found["classes"])
    actual = [sum("2024-04-01" <= day < end for day in dates) for dates in known]
    assert (
        sum(week["actual"] for week in found["weeks"]) == sum(actual) == sum(row["actual"] for row in found["classes"])
    )
    assert sum(row["came_back"] for row in found["classes"]) == sum(count > 0 for count in actual)
    assert found["learned_actual"] == sum(sum(day < "2024-04-01" for day in dates) - 1 for dates in known)
    # Classes and weeks are sums of the same forecast.
    predicted = sum(week["predicted"] for week in found["weeks"])
    assert sum(row["predicted"] for row in found["classes"]) == pytest.approx(predicted, rel=1e-9)


@pytest.mark.law
def test_week_ahead_is_predicted_from_all_earlier_data(log: Path) -> None:
    """Rule: the first week equals the forecast's; each week counts customers known before it."""
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
            sum(str(start) <= day < str(start + 7) for day in dates)
            for dates in days.values()
            if min(dates) < str(start)
        ]
        assert week["actual"] == sum(inside)


def test_plot_is_reproducible_and_a_png(log: Path, tmp_path: Path) -> None:
    """Rule: the same file gives the same bytes; other suffixes are refused."""
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        assert run(str(log), "--until", "2024-04-01", "--plot", str(path)).exit_code == 0
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first[:4] == b"\x89PNG"
    refused = run(str(log), "--until", "2024-04-01", "--plot", "a.svg")
    assert (refused.exit_code, "must end in .png" in refused.output) == (2, True)


def test_time_before_all_purchases_fails_with_one_sentence(log: Path) -> None:
    """Rule: the message names the file and the day."""
    result = run(str(log), "--until", "2023-01-01")
    assert result.exit_code == 1
    assert (
        result.output == f"Error: {log}, days before 2023-01-01: no customer bought on a second day,"
        " so purchase rates cannot be estimated.\n"
    )
