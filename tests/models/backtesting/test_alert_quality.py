"""Alert quality: alerts are evaluated with the nearest example, and lead times are days before the churn."""

from __future__ import annotations

from typing import Any

import pytest

from models.alerts.policy import AlertEvent
from models.backtesting.alert_quality import evaluate_alerts
from models.definition.churn_definition import ChurnDefinition
from models.labels.training_example import TrainingExample
from models.pipeline.alert_tracker import AlertOutput
from models.profile.mergeable import DAY_MS

CHURN = ChurnDefinition.parse(
    '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "10d"\n[snapshot]\nevery = "5d"'
)
START = 20_000 * DAY_MS


def alert(customer: str, day: float, kind: str = "opened") -> AlertOutput:
    at = START + round(day * DAY_MS)
    return AlertOutput(customer.encode(), AlertEvent(kind, customer, customer, 1, "open", "high", at, at), b"{}")


def example(customer: str, day: float, churned_day: float | None = None) -> TrainingExample:
    at = START + round(day * DAY_MS)
    churned = 0 if churned_day is None else START + round(churned_day * DAY_MS)
    more: Any = (b"", b"", 0.1, (0.1, 0.1, 0.1), int(churned > 0), {}, "m", "d", churned)
    return TrainingExample(customer, at, at + 12 * DAY_MS, *more)


def test_alert_is_correct_if_the_nearest_example_churned() -> None:
    """Rule: precision, recall and lead time come from the nearest examples; a churn before the alert does not count."""
    examples = [example(c, 0, churned) for c, churned in (("a", 7.0), ("b", None), ("c", 9.5), ("d", 0.5))]
    found = evaluate_alerts([alert("a", 1), alert("b", 1), alert("c", 1), alert("d", 1)], examples, CHURN)
    assert (found.judged, found.right) == (3, 2), "d churned before the alert, which was not yet known"
    assert found.precision == pytest.approx(2 / 3)
    assert (found.churned, found.found) == (3, 2)
    assert found.recall == pytest.approx(2 / 3)
    assert found.churn_rate == 0.75
    assert found.lead_days_median == pytest.approx((6 + 8.5) / 2)


def test_newest_snapshot_before_an_alert_takes_precedence() -> None:
    """Rule: the newest snapshot before the alert evaluates it, or else the first one after it."""
    examples = [example("a", -4), example("a", 1, 8.0), example("a", 6), example("b", 3, 9.0)]
    found = evaluate_alerts([alert("a", 2), alert("b", 1)], examples, CHURN)
    assert (found.judged, found.right) == (2, 2)


def test_alert_without_a_near_example_is_not_evaluated() -> None:
    """Rule: an alert without an example within a period is counted but not evaluated."""
    found = evaluate_alerts([alert("a", 30), alert("x", 1)], [example("a", 0)], CHURN)
    assert (found.told, found.customers, found.judged, found.precision) == ({"opened": 2}, 2, 0, None)


def test_only_alerts_opened_in_the_window_count() -> None:
    """Rule: the window limits the alerts by their time."""
    alerts = [alert("a", 1), alert("a", 20), alert("a", 21, "reminded"), alert("a", 40)]
    found = evaluate_alerts(alerts, [example("a", 19)], CHURN, START + 15 * DAY_MS, START + 30 * DAY_MS)
    assert found.told == {"opened": 1, "reminded": 1}
    assert (found.judged, found.right) == (1, 0)
    assert found.lead_days_median is None


def test_empty_input_gives_no_shares() -> None:
    """Rule: without alerts and examples every share is None."""
    found = evaluate_alerts([], [], CHURN)
    assert (found.told, found.precision, found.recall, found.churn_rate) == ({}, None, None, None)
