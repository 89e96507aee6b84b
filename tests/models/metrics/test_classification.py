"""Evaluation against figures worked out by hand, and against definitions written out the slow way."""

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
    """Labels and probabilities with many ties, drawn from a fixed seed."""
    rng = np.random.default_rng(seed)
    probability = np.round(rng.beta(1.2, 5, n), digits)
    return (rng.random(n) < probability).astype(int), probability


@pytest.mark.parametrize("module", [duration, evaluation, prequential])
def test_the_examples_in_the_documentation_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    label, probability = rows(120)
    pairs = [(a > b) + (a == b) / 2 for a in probability[label == 1] for b in probability[label == 0]]
    assert auc(label, probability) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_a_figure_that_is_undefined_is_none() -> None:
    nothing: list[float] = []
    for measure in (auc, log_loss, brier, average_precision, ece, lift):
        assert measure(nothing, nothing) is None
    for measure in (auc, average_precision):
        assert measure([1, 1], [0.2, 0.3]) is None
        assert measure([0, 0], [0.2, 0.3]) is None
    assert lift([0, 0], [0.2, 0.3]) is None
    assert auc_within_week([0, 1], [0.1, 0.2], [0, 0]) is None
    assert reliability(nothing, nothing) == ()


@pytest.mark.parametrize(
    ("label", "probability"),
    [([0, 1], [0.5]), ([0, 2], [0.5, 0.5]), ([0, 1], [0.5, math.nan]), ([0, 1], [0.5, 1.1]), ([[0]], [[0.5]])],
)
def test_what_is_no_label_or_no_probability_is_refused(label: list[int], probability: list[float]) -> None:
    with pytest.raises(ValueError, match=r"label|probability|probabilities"):
        auc(label, probability)


def test_log_loss_of_a_certain_mistake_is_clipped_not_infinite() -> None:
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-6))
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-6))
    assert constant_log_loss([1, 0, 0, 0], 0.25) == pytest.approx(-(math.log(0.25) + 3 * math.log(0.75)) / 4)


def test_average_precision_counts_a_tie_as_one_threshold() -> None:
    assert average_precision([1, 0, 1], [0.9, 0.8, 0.8]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision([1, 0], [0.5, 0.5]) == pytest.approx(0.5)


def slow_ece(label: np.ndarray, probability: np.ndarray, bins: int = 15) -> float:
    """Each distinct probability goes to the bin in which the middle of its ranks lies; the gaps are added up."""
    n, said, came = len(label), [0.0] * bins, [0.0] * bins
    for value in sorted(set(probability.tolist())):
        same, below = int((probability == value).sum()), int((probability < value).sum())
        index = min(int((below + same / 2) * bins / n), bins - 1)
        said[index] += value * same
        came[index] += int(label[probability == value].sum())
    return sum(abs(a - b) for a, b in zip(said, came, strict=True)) / n


@pytest.mark.parametrize("n", [1, 3, 14, 15, 16, 600])
def test_ece_is_the_mean_gap_over_bins_of_equal_mass(n: int) -> None:
    label, probability = rows(n)
    assert ece(label, probability) == pytest.approx(slow_ece(label, probability), abs=1e-12)


def test_ece_of_one_answer_for_all_is_its_distance_from_the_rate() -> None:
    assert ece([1, 0, 0, 0], [0.5] * 4) == pytest.approx(0.25)


def test_the_reliability_table_adds_up_to_the_ece() -> None:
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


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = wilson(10, 100)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 10)[0] == 0
    assert wilson(0, 10)[1] > 0.2


def test_lift_shares_the_border_among_its_ties() -> None:
    assert lift([1] + [0] * 9, [0.9] + [0.1] * 9) == pytest.approx(10.0)
    assert lift([1] + [0] * 9, [0.5] * 10) == pytest.approx(1.0)
    assert lift([1, 0] + [0] * 18, [0.9] * 4 + [0.1] * 16) == pytest.approx(5.0)


def test_auc_within_a_week_gives_nothing_for_knowing_the_week() -> None:
    """Set-up: two weeks, a quiet one and a bad one. A score that only knows the week ranks nobody within it."""
    label = np.array([1] * 5 + [0] * 15 + [1] * 15 + [0] * 5)
    week = np.array([0] * 20 + [1] * 20)
    by_week = np.where(week == 1, 0.7, 0.2)
    assert auc(label, by_week) == pytest.approx(0.75)
    assert auc_within_week(label, by_week, week * WEEK_MS) == pytest.approx(0.5)
    perfect = np.where(label == 1, 0.9, 0.1)
    assert auc_within_week(label, perfect, week * WEEK_MS) == pytest.approx(1.0)


def test_weeks_with_few_of_a_class_do_not_enter() -> None:
    label = np.array([1] * 4 + [0] * 16 + [1] * 6 + [0] * 14)
    week = np.array([0] * 20 + [1] * 20)
    probability = np.where(week == 0, 1.0 - label, label * 1.0)
    assert auc_within_week(label, probability, week * WEEK_MS + 12345) == pytest.approx(1.0)


def test_precision_and_recall_at_a_threshold() -> None:
    found = at_threshold([1, 0, 1, 1], [0.5, 0.6, 0.4, 0.9], 0.5)
    assert (found.flagged, found.precision, found.recall) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    nobody = at_threshold([1, 0], [0.1, 0.2], 0.5)
    assert (nobody.flagged, nobody.precision, nobody.recall) == (0, None, 0.0)


def test_the_lead_of_a_warning_runs_from_its_first_crossing_to_the_churn() -> None:
    scores = [("a", 0, 0.1), ("a", 10, 0.6), ("a", 12, 0.2), ("a", 14, 0.7), ("b", 5, 0.3), ("c", 20, 0.9)]
    who, day, probability = zip(*scores, strict=True)
    found = early_warning(
        who, np.array(day) * DAY_MS, probability, ["a", "b", "c"], np.array([20, 9, 20]) * DAY_MS, 0.5
    )
    assert (found.churned, found.warned) == (2, 1), "b was never above it; c was scored only when it was over"
    assert found.lead_days_median == 10.0


def test_a_warning_of_long_ago_or_of_an_earlier_churn_warned_of_nothing() -> None:
    day = np.array([0, 50, 100, 205]) * DAY_MS
    churned = np.array([60, 210]) * DAY_MS
    found = early_warning(["a"] * 4, day, [0.9, 0.9, 0.9, 0.9], ["a", "a"], churned, 0.5, lookback_ms=100 * DAY_MS)
    assert found.warned == 2
    assert (found.lead_days_lower_quartile, found.lead_days_upper_quartile) == (18.75, 46.25)  # leads 5 and 60


def test_a_running_model_is_judged_as_a_batch_would_be() -> None:
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


def test_a_running_model_forgets_by_half_after_its_half_life() -> None:
    """Set-up: 500 labels that it gets wrong, then 500 that it gets right, with a half-life of 100 labels."""
    running = Prequential(half_life=100)
    for right in (0, 1):
        for _ in range(500):
            running.update(0.9, right)
    assert running.rate == pytest.approx(1 - 0.5**5, abs=0.01)
    assert running.weight < 100 / math.log(2) + 1


def test_the_state_of_a_running_model_is_json_and_comes_back_to_the_same_bits() -> None:
    label, probability = rows(500, digits=6)
    running = Prequential(half_life=80)
    for p, y in zip(probability.tolist(), label.tolist(), strict=True):
        running.update(p, y)
    again = Prequential.from_state(json.loads(json.dumps(running.to_state())))
    assert again.to_state() == running.to_state()
    assert (again.auc, again.ece, again.log_loss) == (running.auc, running.ece, running.log_loss)
    again.update(0.3, 1)
    running.update(0.3, 1)
    assert again.to_state() == running.to_state()


def test_running_models_with_other_memories_do_not_merge_and_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="half-lives differ"):
        Prequential(None).merge(Prequential(10))
    for probability, label in ((math.nan, 1), (1.5, 0), (0.5, 2)):
        with pytest.raises(ValueError, match="not of an example"):
            Prequential().update(probability, label)
    with pytest.raises(ValueError, match="half_life"):
        Prequential(0)
    with pytest.raises(ValueError, match="cell"):
        Prequential.from_state(Prequential().to_state() | {"cells": [[200, 1.0, 1.0, 1.0]]})


def test_a_running_model_without_labels_has_no_figures() -> None:
    empty = Prequential()
    assert (empty.log_loss, empty.brier, empty.auc, empty.ece, empty.rate) == (None, None, None, None, None)
