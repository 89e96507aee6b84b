"""Which alert `customer` shows: the newer of what the score and the alerts topic know."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from streams.cli import customer
from streams.cli.customer import AlertStatus, current_alert
from streams.notify.template import SAMPLE
from streams.rendering import customer_experience, customer_payments
from tests.streams.alert_values import life

OPENED, ACKNOWLEDGED, SNOOZED, RESOLVED = (json.loads(value) for _, value in life("c1"))


def as_scored(change: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": change["alert_id"],
        "state": change["state"],
        "seq": change["seq"],
        "severity": change["severity"],
        "since": change["opened_at"],
    }


def seen(score: dict[str, Any], change: dict[str, Any] | None) -> dict[str, Any] | None:
    return current_alert(score, None if change is None else AlertStatus.of(json.dumps(change).encode()))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(customer).failed == 0
    assert doctest.testmod(customer_payments).failed == 0


@pytest.mark.parametrize("change", [ACKNOWLEDGED, SNOOZED])
def test_what_people_did_since_the_score_is_seen(change: dict[str, Any]) -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert seen(score, change) == as_scored(change)


def test_an_end_says_when_it_ended() -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert seen(score, RESOLVED) == {**as_scored(RESOLVED), "since": RESOLVED["time"]}


def test_a_score_that_knows_more_is_believed() -> None:
    """Setup: the alerts topic was read a moment too early, or has deleted what is old."""
    score = {"scored_at": SNOOZED["time"], "alert": as_scored(SNOOZED)}
    assert seen(score, ACKNOWLEDGED) == as_scored(SNOOZED)
    assert seen(score, None) == as_scored(SNOOZED)


def test_a_newer_alert_takes_the_place_of_the_scores() -> None:
    other = {**OPENED, "alert_id": "0" * 32, "time": "2024-09-01T00:00:00.500Z"}
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": as_scored(RESOLVED)}
    assert seen(score, other) == as_scored(other)
    assert seen({**score, "alert": None}, other) == as_scored(other)


def test_an_alert_that_was_over_when_the_score_was_made_is_not_shown() -> None:
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": None}
    assert seen(score, RESOLVED) is None
    assert seen(score, None) is None


@pytest.mark.parametrize("value", [b"not json", b"[]", b'{"alert_id":"a"}'])
def test_what_is_no_alert_is_passed_over(value: bytes) -> None:
    assert AlertStatus.of(value) is None


def test_what_the_customer_says_stands_in_lines_of_its_own() -> None:
    """Rule: what is unknown is said to be; what an earlier release wrote has none of it."""
    assert list(customer_experience.experience_lines(SAMPLE["experience"])) == [
        "experience 66 of 100 (satisfaction 68, effort unknown, waiting 54, reopened unknown, errors 81)",
        "satisfaction 40% last, mean 67% of 3 (shrunk 68%), top-2 67%, -40 points against those before",
        "would recommend 6 of 10, a detractor; answers 50% of 4 surveys",
        "touchpoint support (csat): 67% of 3, last 40%",
        "named as barriers: low_quality (2, last 2024-03-11)",
    ]
    assert list(customer_experience.experience_lines(None)) == []


GOAL = {
    "name": "report", "definition": "66bd21a3", "reached": True, "times": 1200, "first": "2024-03-01T00:00:00Z",
    "last": "2024-03-09T00:00:00Z", "days": 9.25, "target_days": 7.0, "in_time": False,
}  # fmt: skip
UNREACHED = {**dict.fromkeys(GOAL), "name": "export", "definition": "00000001", "reached": False, "times": 0}


def test_a_goal_is_set_beside_the_time_that_others_took() -> None:
    """Rule: the median is that of the goal as it is declared now; where nobody reached it there is none."""
    assert list(
        customer_experience.goal_lines([GOAL, UNREACHED], {"report@66bd21a3": (31, 4.51), "export@2": (1, 2)})
    ) == [
        "goal report: reached after 9.2 days (late), aim 7 days; half of 31 customers within 4.5 days; 1,200 in all,"
        " last 2024-03-09",
        "goal export: not reached",
    ]
