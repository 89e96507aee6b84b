"""Quality on simulated customers with known hazards: calibrated, near the truth, and useful before there are labels.

One run of simulated subscribers, small enough for every change. `make quality` judges larger ones and the real logs.
"""

from __future__ import annotations

from typing import Any

import pytest

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
