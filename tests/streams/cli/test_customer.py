"""`churn-signals customer` shows the newer alert of the score and the alerts topic."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from streams.cli.customer import AlertStatus, newer_alert
from tests.streams.alert_values import life
from tests.streams.console.published import record

OPENED, ACKNOWLEDGED, SNOOZED, RESOLVED = (json.loads(value) for _, value in life("c1"))


def as_scored(change: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": change["alert_id"],
        "state": change["state"],
        "seq": change["seq"],
        "severity": change["severity"],
        "since": change["opened_at"],
    }


def shown(score: dict[str, Any], change: dict[str, Any] | None) -> dict[str, Any] | None:
    return newer_alert(score, None if change is None else AlertStatus.of(alert_record(json.dumps(change).encode())))


def alert_record(value: bytes) -> Any:
    return record("churn-alerts", b"c1", value)


@pytest.mark.parametrize("change", [ACKNOWLEDGED, SNOOZED])
def test_action_since_the_score_is_displayed(change: dict[str, Any]) -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert shown(score, change) == as_scored(change)


def test_ended_alert_shows_the_time_of_its_end() -> None:
    score = {"scored_at": OPENED["time"], "alert": as_scored(OPENED)}
    assert shown(score, RESOLVED) == {**as_scored(RESOLVED), "since": RESOLVED["time"]}


def test_score_with_a_newer_change_wins() -> None:
    """Setup: the alerts topic was read before the newest change, or has deleted old records."""
    score = {"scored_at": SNOOZED["time"], "alert": as_scored(SNOOZED)}
    assert shown(score, ACKNOWLEDGED) == as_scored(SNOOZED)
    assert shown(score, None) == as_scored(SNOOZED)


def test_newer_alert_replaces_the_alert_of_the_score() -> None:
    other = {**OPENED, "alert_id": "0" * 32, "time": "2024-09-01T00:00:00.500Z"}
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": as_scored(RESOLVED)}
    assert shown(score, other) == as_scored(other)
    assert shown({**score, "alert": None}, other) == as_scored(other)


def test_alert_that_ended_before_the_score_is_not_displayed() -> None:
    score = {"scored_at": "2024-09-01T00:00:00Z", "alert": None}
    assert shown(score, RESOLVED) is None
    assert shown(score, None) is None


@pytest.mark.parametrize("value", [b"not json", b"[]", b'{"alert_id":"a"}'])
def test_unreadable_alert_is_refused(value: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        AlertStatus.of(alert_record(value))
