"""Metrics against values computed by hand, and against direct implementations of their definitions."""

from __future__ import annotations

import doctest
import itertools
import json
import math

import numpy as np
import pytest

from models import duration
from models.duration import DAY_MS, WEEK_MS
from models.metrics import classification as evaluation
from models.metrics import prequential
from models.metrics.classification import (
    at_threshold,
    auc,
    auc_within_week,
    average_precision,
    brier,
    constant_log_loss,
    early_warning,
    ece,
    lift,
    log_loss,
    reliability,
    wilson,
)
from models.metrics.prequential import Prequential


def rows(n: int = 600, seed: int = 7, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and probabilities with many ties from a fixed seed."""
    rng = np.random.default_rng(seed)
    probability = np.round(rng.beta(1.2, 5, n), digits)
    return (rng.random(n) < probability).astype(int), probability


@pytest.mark.parametrize("module", [duration, evaluation, prequential])
def test_docstring_examples_pass(module: object) -> None:
    """Rule: the code gives the values in the docstrings."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_auc_is_the_share_of_correctly_ranked_pairs() -> None:
    """Rule: AUC is the share of pairs in the right order, with ties counting half."""
    label, probability = rows(120)
    pairs = [(a > b) + (a == b) / 2 for a in probability[label == 1] for b in probability[label == 0]]
    assert auc(label, probability) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_undefined_metric_is_none() -> None:
    """Rule: without rows, or with one class only, an undefined metric is None."""
    empty: list[float] = []
    for measure in (auc, log_loss, brier, average_precision, ece, lift):
        assert measure(empty, empty) is None
    for measure in (auc, average_precision):
        assert measure([1, 1], [0.2, 0.3]) is None
        assert measure([0, 0], [0.2, 0.3]) is None
    assert lift([0, 0], [0.2, 0.3]) is None
    assert auc_within_week([0, 1], [0.1, 0.2], [0, 0]) is None
    assert reliability(empty, empty) == ()


@pytest.mark.parametrize(
    ("label", "probability"),
    [([0, 1], [0.5]), ([0, 2], [0.5, 0.5]), ([0, 1], [0.5, math.nan]), ([0, 1], [0.5, 1.1]), ([[0]], [[0.5]])],
)
def test_invalid_label_or_probability_is_rejected(label: list[int], probability: list[float]) -> None:
    """Rule: labels are 0 or 1, probabilities in [0, 1], and both one-dimensional and of equal length."""
    with pytest.raises(ValueError, match=r"label|probability|probabilities"):
        auc(label, probability)


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    """Rule: probabilities are clipped to [1e-6, 1 - 1e-6]."""
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-6))
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-6))
    assert constant_log_loss([1, 0, 0, 0], 0.25) == pytest.approx(-(math.log(0.25) + 3 * math.log(0.75)) / 4)


def test_average_precision_counts_a_tie_as_one_threshold() -> None:
    """Rule: rows with equal probability are one threshold."""
    assert average_precision([1, 0, 1], [0.9, 0.8, 0.8]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision([1, 0], [0.5, 0.5]) == pytest.approx(0.5)


def slow_ece(label: np.ndarray, probability: np.ndarray, bins: int = 15) -> float:
    """Compute the ECE directly: each distinct probability belongs to the bin of the middle of its ranks."""
    n, predicted, actual = len(label), [0.0] * bins, [0.0] * bins
    for value in sorted(set(probability.tolist())):
        same, below = int((probability == value).sum()), int((probability < value).sum())
        index = min(int((below + same / 2) * bins / n), bins - 1)
        predicted[index] += value * same
        actual[index] += int(label[probability == value].sum())
    return sum(abs(a - b) for a, b in zip(predicted, actual, strict=True)) / n


@pytest.mark.parametrize("n", [1, 3, 14, 15, 16, 600])
def test_ece_is_the_mean_gap_over_bins_of_equal_mass(n: int) -> None:
    """Rule: ECE equals the direct implementation, also with fewer rows than bins."""
    label, probability = rows(n)
    assert ece(label, probability) == pytest.approx(slow_ece(label, probability), abs=1e-12)


def test_ece_of_a_constant_is_its_distance_from_the_rate() -> None:
    """Rule: a constant prediction has one bin."""
    assert ece([1, 0, 0, 0], [0.5] * 4) == pytest.approx(0.25)


def test_reliability_table_adds_up_to_the_ece() -> None:
    """Rule: the bins cover all rows, do not overlap, and their gaps add up to the ECE."""
    label, probability = rows()
    table = reliability(label, probability)
    assert sum(row.n for row in table) == len(label)
    assert sum(row.positives for row in table) == label.sum()
    gaps = sum(row.n * abs(row.mean_probability - row.rate) for row in table)
    assert gaps / len(label) == pytest.approx(ece(label, probability), abs=1e-12)
    for row in table:
        assert row.lowest <= row.mean_probability <= row.highest
        assert 0 <= row.rate_low <= row.rate <= row.rate_high <= 1
    assert all(a.highest < b.lowest for a, b in itertools.pairwise(table))


def test_interval_of_a_share_is_wilsons() -> None:
    """Rule: the interval equals published values, and is not empty for a share of 0."""
    low, high = wilson(10, 100)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 10)[0] == 0
    assert wilson(0, 10)[1] > 0.2


def test_lift_counts_ties_at_the_boundary_in_part() -> None:
    """Rule: ties at the boundary of the top share count with equal weights."""
    assert lift([1] + [0] * 9, [0.9] + [0.1] * 9) == pytest.approx(10.0)
    assert lift([1] + [0] * 9, [0.5] * 10) == pytest.approx(1.0)
    assert lift([1, 0] + [0] * 18, [0.9] * 4 + [0.1] * 16) == pytest.approx(5.0)


def test_auc_within_week_ignores_differences_between_weeks() -> None:
    """Set-up: two weeks with low and high churn. A score that depends only on the week has an AUC of 0.5 within it."""
    label = np.array([1] * 5 + [0] * 15 + [1] * 15 + [0] * 5)
    week = np.array([0] * 20 + [1] * 20)
    by_week = np.where(week == 1, 0.7, 0.2)
    assert auc(label, by_week) == pytest.approx(0.75)
    assert auc_within_week(label, by_week, week * WEEK_MS) == pytest.approx(0.5)
    perfect = np.where(label == 1, 0.9, 0.1)
    assert auc_within_week(label, perfect, week * WEEK_MS) == pytest.approx(1.0)


def test_weeks_with_few_examples_of_a_class_are_skipped() -> None:
    """Rule: a week with fewer than 5 examples of a class does not count."""
    label = np.array([1] * 4 + [0] * 16 + [1] * 6 + [0] * 14)
    week = np.array([0] * 20 + [1] * 20)
    probability = np.where(week == 0, 1.0 - label, label * 1.0)
    assert auc_within_week(label, probability, week * WEEK_MS + 12345) == pytest.approx(1.0)


def test_precision_and_recall_at_a_threshold() -> None:
    """Rule: precision is None if no customer is flagged."""
    found = at_threshold([1, 0, 1, 1], [0.5, 0.6, 0.4, 0.9], 0.5)
    assert found.flagged == 3
    assert (found.precision, found.recall) == pytest.approx((2 / 3, 2 / 3))
    none_flagged = at_threshold([1, 0], [0.1, 0.2], 0.5)
    assert (none_flagged.flagged, none_flagged.precision, none_flagged.recall) == (0, None, 0.0)


def test_lead_time_runs_from_the_first_crossing_to_the_churn() -> None:
    """Rule: the first score at or above the threshold is the warning."""
    scores = [("a", 0, 0.1), ("a", 10, 0.6), ("a", 12, 0.2), ("a", 14, 0.7), ("b", 5, 0.3), ("c", 20, 0.9)]
    customer, day, probability = zip(*scores, strict=True)
    found = early_warning(
        customer, np.array(day) * DAY_MS, probability, ["a", "b", "c"], np.array([20, 9, 20]) * DAY_MS, 0.5
    )
    assert (found.churned, found.warned) == (2, 1), "b was never above the threshold; c was scored only at the churn"
    assert found.lead_days_median == 10.0


def test_old_scores_and_scores_of_earlier_churns_are_no_warning() -> None:
    """Rule: a score counts for the next churn only, within the lookback."""
    day = np.array([0, 50, 100, 205]) * DAY_MS
    churned = np.array([60, 210]) * DAY_MS
    found = early_warning(["a"] * 4, day, [0.9, 0.9, 0.9, 0.9], ["a", "a"], churned, 0.5, lookback_ms=100 * DAY_MS)
    assert found.warned == 2
    assert (found.lead_days_lower_quartile, found.lead_days_upper_quartile) == (18.75, 46.25)  # leads 5 and 60


def test_prequential_metrics_equal_batch_metrics() -> None:
    """Rule: without fading, the metrics equal those over arrays; AUC and ECE within the cell width."""
    label, probability = rows(4_000, digits=6)
    running = Prequential(half_life=None)
    for p, y in zip(probability.tolist(), label.tolist(), strict=True):
        running.update(p, y)
    assert running.labels == running.weight == 4_000
    assert running.rate == pytest.approx(label.mean())
    assert running.mean_probability == pytest.approx(probability.mean())
    assert running.log_loss == pytest.approx(log_loss(label, probability), abs=1e-12)
    assert running.brier == pytest.approx(brier(label, probability), abs=1e-12)
    assert running.auc == pytest.approx(auc(label, probability), abs=1e-3)
    assert running.ece == pytest.approx(ece(label, probability), abs=5e-3)


def test_weight_halves_after_the_half_life() -> None:
    """Set-up: 500 wrong predictions, then 500 correct ones, with a half-life of 100 labels."""
    running = Prequential(half_life=100)
    for right in (0, 1):
        for _ in range(500):
            running.update(0.9, right)
    assert running.rate == pytest.approx(1 - 0.5**5, abs=0.01)
    assert running.weight < 100 / math.log(2) + 1


@pytest.mark.parametrize("correct", [True, False])
def test_rounding_of_decayed_weights_leaves_metrics_within_their_range(correct: bool) -> None:
    """Rule: whether all pairs are ranked correctly or all wrongly, AUC and ECE are between 0 and 1 after each label."""
    running = Prequential()
    rng = np.random.default_rng(0)
    for label in rng.integers(0, 2, 300).tolist():
        running.update((float(rng.random()) + (label == correct)) / 2, label)
        assert running.auc is None or 0.0 <= running.auc <= 1.0
        assert running.ece is not None
        assert 0.0 <= running.ece <= 1.0


def test_state_round_trips_through_json() -> None:
    """Rule: a restored accumulator has the same bits and continues with the same bits."""
    label, probability = rows(500, digits=6)
    running = Prequential(half_life=80)
    for p, y in zip(probability.tolist(), label.tolist(), strict=True):
        running.update(p, y)
    restored = Prequential.from_state(json.loads(json.dumps(running.to_state())))
    assert restored.to_state() == running.to_state()
    assert (restored.auc, restored.ece, restored.log_loss) == (running.auc, running.ece, running.log_loss)
    restored.update(0.3, 1)
    running.update(0.3, 1)
    assert restored.to_state() == running.to_state()


def test_invalid_input_of_prequential_is_rejected() -> None:
    """Rule: different half-lives, invalid examples and invalid states raise ValueError."""
    with pytest.raises(ValueError, match="half-lives differ"):
        Prequential(None).merge(Prequential(10))
    for probability, label in ((math.nan, 1), (1.5, 0), (0.5, 2)):
        with pytest.raises(ValueError, match="must be 0 or 1"):
            Prequential().update(probability, label)
    with pytest.raises(ValueError, match="half_life"):
        Prequential(0)
    with pytest.raises(ValueError, match="cell"):
        Prequential.from_state(Prequential().to_state() | {"cells": [[200, 1.0, 1.0, 1.0]]})


def test_prequential_without_labels_has_no_metrics() -> None:
    """Rule: without labels every metric is None."""
    empty = Prequential()
    assert (empty.log_loss, empty.brier, empty.auc, empty.ece, empty.rate) == (None, None, None, None, None)
