"""Model quality on simulated customers with known hazards: calibration, ranking, and usefulness without labels.

One run of simulated subscribers, small enough for CI. `make quality` evaluates larger runs and the real logs.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.quality import involuntary
from benchmarks.quality.simulated import judge


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return judge(customers=1100, days=140, seed=4, settled=10_000)


def test_probabilities_are_calibrated(result: dict[str, Any]) -> None:
    """Rule: after the first labels, predicted and observed churn differ by at most 0.02 on average over 15 bins."""
    assert result["labels"] > 15_000
    assert result["ece"] <= 0.02


def test_ranking_is_close_to_the_truth(result: dict[str, Any]) -> None:
    """Rule: with so few customers, the AUC is within 0.07 of that of the truth, which knows the hidden state."""
    assert result["true_auc"] > 0.8
    assert result["auc"] >= result["true_auc"] - 0.07


def test_ranking_is_useful_before_there_are_labels(result: dict[str, Any]) -> None:
    """Rule: before the first 100 labels, the top tenth by the prior churns at least 1.5 times as often as average."""
    assert result["early_snapshots"] > 1000
    assert result["early_lift"] > 1.5


@pytest.fixture(scope="module")
def by_payment() -> dict[str, Any]:
    """Setup: the payments of most customers fail, so that few customers give many losses."""
    return involuntary.judge(customers=500, days=130, seed=2, mix={"payment": 0.7, "happy": 0.15, "fading": 0.15})


def test_involuntary_model_is_close_to_the_truth(by_payment: dict[str, Any]) -> None:
    """Rule: the AUC is within 0.05 of that of the true hazard, which knows future payments; the model is calibrated."""
    found = by_payment["causes"]["involuntary"]
    assert found["lost"] >= 20
    assert found["true_auc"] > 0.95
    assert found["auc"] >= found["true_auc"] - 0.05
    assert found["ece"] <= 0.01


def test_both_causes_together_are_calibrated(by_payment: dict[str, Any]) -> None:
    """Rule: labels are mutually exclusive, so the sum of both probabilities is the total probability of loss."""
    found = by_payment["causes"]["together"]
    assert found["rate"] == pytest.approx(sum(by_payment["causes"][c]["rate"] for c in ("voluntary", "involuntary")))
    assert found["ece"] <= 0.02


def test_route_separates_the_causes(by_payment: dict[str, Any]) -> None:
    """Rule: lost customers with the route billing were mostly lost to a payment, and the others were not."""
    assert by_payment["billing"] > 30
    assert by_payment["billing_lost_by_payment"] > 0.8
    assert by_payment["success_lost_by_payment"] < 0.2
