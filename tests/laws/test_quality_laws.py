"""Quality on simulated customers with known hazards: calibrated, near the truth, and useful before there are labels.

One run of simulated subscribers, small enough for every change. `make quality` judges larger ones and the real logs.
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
    """After the first labels, what is said and what comes differ by at most 0.02 on average over 15 bins."""
    assert result["labels"] > 15_000
    assert result["ece"] <= 0.02


def test_ranking_comes_near_the_truth(result: dict[str, Any]) -> None:
    """The truth knows the hidden state; so few customers cost the model some of the way to it."""
    assert result["true_auc"] > 0.8
    assert result["auc"] >= result["true_auc"] - 0.07


def test_ranking_is_useful_before_there_are_labels(result: dict[str, Any]) -> None:
    """Before the first 100 labels the prior answers: its top tenth churns at least 1.5 times as often as all do."""
    assert result["early_snapshots"] > 1000
    assert result["early_lift"] > 1.5


@pytest.fixture(scope="module")
def by_payment() -> dict[str, Any]:
    """Setup: most customers are of the kinds whose payments fail, so that few customers show many losses."""
    return involuntary.judge(customers=500, days=130, seed=2, mix={"payment": 0.7, "happy": 0.15, "fading": 0.15})


def test_the_head_of_losses_by_payment_comes_near_the_truth(by_payment: dict[str, Any]) -> None:
    """The true hazard knows who will pay again; the head comes within 0.05 of its AUC, and is calibrated."""
    found = by_payment["causes"]["involuntary"]
    assert found["lost"] >= 20
    assert found["true_auc"] > 0.95
    assert found["auc"] >= found["true_auc"] - 0.05
    assert found["ece"] <= 0.01


def test_both_causes_together_are_calibrated(by_payment: dict[str, Any]) -> None:
    """Labels exclude each other, so the sum of both probabilities says how many are lost at all."""
    found = by_payment["causes"]["together"]
    assert found["rate"] == pytest.approx(sum(by_payment["causes"][c]["rate"] for c in ("voluntary", "involuntary")))
    assert found["ece"] <= 0.02


def test_the_route_tells_the_causes_apart(by_payment: dict[str, Any]) -> None:
    """Of those who are lost, billing was told of those lost by a payment."""
    assert by_payment["billing"] > 30
    assert by_payment["billing_lost_by_payment"] > 0.8
    assert by_payment["success_lost_by_payment"] < 0.2
