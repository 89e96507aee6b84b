"""The customer page: the lines about risk, payments, surveys and goals."""

from __future__ import annotations

import doctest
import io
import json
from typing import Any

import pytest
from rich.console import Console

from streams.notify.template import SAMPLE
from streams.rendering import customer_experience, customer_page, customer_payments, formats, risk_points, terminal
from tests.streams.alert_values import life


@pytest.mark.parametrize(
    "module", [customer_page, customer_payments, formats, risk_points, terminal], ids=lambda module: module.__name__
)
def test_docstring_examples_hold(module: Any) -> None:
    ran = doctest.testmod(module)
    assert (ran.failed, ran.attempted > 0) == (0, True)


def page_of(**changes: Any) -> str:
    alert = json.loads(life("c1")[0][1])
    names = ("customer", "reasons", "protective", "barriers", "experience", "value", "lineage")
    score = {
        **alert["score"],
        **{name: alert[name] for name in names},
        "scored_at": alert["time"],
        "trigger": "silence",
        "contributions": {"recency_days": 0.9},
        "features": {"recency_days": 11.0},
        "history": [[1_709_000_000, 310_000], [1_709_596_800, 723_400]],
        "activity": {"until": "2024-03-05", "counts": [0, 3, 1]},
        "alert": {"id": "a1", "state": "open", "seq": 1, "severity": "elevated", "since": alert["opened_at"]},
        **changes,
    }
    console = Console(file=io.StringIO(), width=150, markup=False, highlight=False)
    customer_page.print_customer(console, score)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_page_begins_with_risk_band_value_and_alert() -> None:
    assert page_of().splitlines()[:5] == [
        "c1: active, account acme, plan pro, customer for 412 days",
        "72% churn risk within 30 days (90% interval 55-84%), previously 31%; riskier than 99.6% of customers",
        "risk band high; scored 2024-03-05 00:00 UTC, trigger: silence",
        "value $49.00/month (from subscription), $35.45 at risk within 30 days,"
        " lifetime value $812.50 ($301.20 at risk)",
        "alert a1: open, elevated, since 2024-03-05 00:00 UTC",
    ]


@pytest.mark.parametrize(("published", "points"), [({}, "+21"), ({"points": 12.3}, "+12")])
def test_reasons_have_points_and_log_odds(published: dict[str, float], points: str) -> None:
    """Rule: the record's own points win; without them the page computes them from the log-odds."""
    reason = {"sentence": "silent for 11 days", "contribution": 0.9, **published}
    line = next(line for line in page_of(reasons=[reason], log_odds=1.0).splitlines() if line.startswith("silent"))
    assert line.split()[-2:] == [points, "+0.90"]


def test_text_from_events_is_printed_literally() -> None:
    evil = "[red]\x1b[2J"
    text = page_of(customer={**json.loads(life("c1")[0][1])["customer"], "account": evil}, barriers=[evil])
    assert "\x1b" not in text
    assert "account [red].[2J" in text


def test_survey_answers_have_their_own_lines() -> None:
    """Rule: an unknown component is shown as unknown; a score of an earlier release has no such lines."""
    assert list(customer_experience.experience_lines(SAMPLE["experience"])) == [
        "CX index 66 of 100 (satisfaction 68, effort unknown, waiting 54, reopened unknown, errors 81)",
        "CSAT: last 40%, mean 67% of 3 answers (shrunk 68%), top-2 67%, -40 points compared with earlier answers",
        "NPS: 6 of 10, detractor; answered 50% of 4 surveys",
        "touchpoint support (csat): last 40%, mean 67% of 3 answers",
        "barriers: low quality (2, last on 2024-03-11)",
    ]
    assert list(customer_experience.experience_lines(None)) == []


GOAL = {
    "name": "report", "definition": "66bd21a3", "reached": True, "times": 1200, "first": "2024-03-01T00:00:00Z",
    "last": "2024-03-09T00:00:00Z", "days": 9.25, "target_days": 7.0, "in_time": False,
}  # fmt: skip
UNREACHED = {**dict.fromkeys(GOAL), "name": "export", "definition": "00000001", "reached": False, "times": 0}


def test_goal_is_compared_with_the_median_of_all_customers() -> None:
    """Rule: the median belongs to the current declaration of the goal; there is none if no customer reached it."""
    assert list(
        customer_experience.goal_lines([GOAL, UNREACHED], {"report@66bd21a3": (31, 4.51), "export@2": (1, 2)})
    ) == [
        "goal report: reached after 9.2 days (late), target 7 days; median of 31 customers 4.5 days;"
        " reached 1,200 times, last on 2024-03-09",
        "goal export: not reached",
    ]
