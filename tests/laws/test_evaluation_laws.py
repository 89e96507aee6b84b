"""Laws of the evaluation metrics, for any labels and probabilities, including ties and extremes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.duration import WEEK_MS
from models.metrics.classification import (
    auc,
    auc_within_week,
    average_precision,
    brier,
    ece,
    lift,
    log_loss,
    reliability,
)
from models.metrics.prequential import Prequential

# A few distinct values make ties common. The others cover the whole range.
PROBABILITY = st.sampled_from([0.0, 1e-9, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1, allow_subnormal=False)
ROWS = st.lists(st.tuples(PROBABILITY, st.integers(0, 1)), max_size=60)
LAW = settings(max_examples=150, deadline=None)


def columns(rows: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for _, y in rows], dtype=int), np.array([p for p, _ in rows], dtype=float)


@LAW
@given(ROWS)
def test_auc_equals_brute_force_over_all_pairs(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    pairs = [(a > b) + (a == b) / 2 for a in probability[label == 1] for b in probability[label == 0]]
    expected = float(np.mean(pairs)) if pairs else None
    assert auc(label, probability) == (None if expected is None else pytest.approx(expected, abs=1e-12))


@LAW
@given(ROWS)
def test_average_precision_equals_brute_force_over_all_thresholds(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    expected = earlier = 0.0
    for threshold in sorted(set(probability.tolist()), reverse=True):
        hits, flagged = label[probability >= threshold].sum(), (probability >= threshold).sum()
        recall = hits / max(label.sum(), 1)
        expected, earlier = expected + (recall - earlier) * hits / flagged, recall
    found = average_precision(label, probability)
    assert found is None or found == pytest.approx(expected, abs=1e-12)
    assert (found is None) == (label.sum() in (0, len(label)))


@LAW
@given(ROWS, st.randoms(use_true_random=False))
def test_row_order_is_irrelevant(rows: list[tuple[float, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for measure in (auc, log_loss, brier, average_precision, ece, lift):
        one, other = measure(*columns(rows)), measure(*columns(shuffled))
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, rel=1e-12, abs=1e-12)
    assert [b.n for b in reliability(*columns(rows))] == [b.n for b in reliability(*columns(shuffled))]


@LAW
@given(ROWS)
def test_every_metric_is_bounded(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    for measure, highest in ((auc, 1), (brier, 1), (average_precision, 1), (ece, 1), (log_loss, 13.82), (lift, 10)):
        found = measure(label, probability)
        assert found is None or -1e-12 <= found <= highest + 1e-9


@LAW
@given(ROWS)
def test_inverting_all_scores_inverts_the_auc(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    probability = np.round(probability, 3)  # so that 1 - p keeps ties and order
    found, turned = auc(label, probability), auc(label, 1 - probability)
    if found is not None and turned is not None:
        distinct = np.unique(probability)
        if len(np.unique(1 - distinct)) == len(distinct):
            assert found + turned == pytest.approx(1, abs=1e-12)


@LAW
@given(ROWS)
def test_auc_of_a_single_week_is_the_auc_of_all_rows(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    found = auc_within_week(label, probability, np.full(len(label), 3 * WEEK_MS))
    if min(label.sum(), len(label) - label.sum()) >= 5:
        assert found == pytest.approx(auc(label, probability), abs=1e-12)
    else:
        assert found is None


@LAW
@given(ROWS)
def test_bins_contain_every_row_once_and_never_split_ties(rows: list[tuple[float, int]]) -> None:
    label, probability = columns(rows)
    table = reliability(label, probability)
    assert sum(b.n for b in table) == len(rows)
    assert len(table) <= 15
    for value in set(probability.tolist()):
        assert sum(b.lowest <= value <= b.highest for b in table) == 1


def running(rows: list[tuple[float, int]], half_life: float | None) -> Prequential:
    found = Prequential(half_life)
    for p, y in rows:
        found.update(p, y)
    return found


def same(one: Prequential, other: Prequential) -> None:
    assert one.labels == other.labels
    for name in ("weight", "rate", "mean_probability", "log_loss", "brier", "auc", "ece"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        assert a is None or a == pytest.approx(b, rel=1e-9, abs=1e-12), name


@LAW
@given(ROWS, ROWS, ROWS)
def test_running_metrics_merge_in_any_order(
    a: list[tuple[float, int]], b: list[tuple[float, int]], c: list[tuple[float, int]]
) -> None:
    one, two, three = (running(rows, None) for rows in (a, b, c))
    same(one.merge(two).merge(three), running(a + b + c, None))
    same(one.merge(two.merge(three)), one.merge(two).merge(three))
    same(one.merge(two), two.merge(one))
    same(one.merge(Prequential(None)), one)


@LAW
@given(ROWS, ROWS)
def test_decaying_metrics_add_up(a: list[tuple[float, int]], b: list[tuple[float, int]]) -> None:
    one, two = running(a, 10), running(b, 10)
    both = one.merge(two)
    assert both.weight == pytest.approx(one.weight + two.weight)
    if both.weight:
        total = (one.log_loss or 0) * one.weight + (two.log_loss or 0) * two.weight
        assert both.log_loss == pytest.approx(total / both.weight, rel=1e-9)


@LAW
@given(ROWS, st.sampled_from([None, 1.0, 7.5, 5_000.0]))
def test_running_state_round_trips_bit_for_bit(rows: list[tuple[float, int]], half_life: float | None) -> None:
    found = running(rows, half_life)
    state = found.to_state()
    assert Prequential.from_state(state).to_state() == state
    for name, highest in (("auc", 1), ("brier", 1), ("ece", 1), ("log_loss", 13.82), ("rate", 1)):
        value = getattr(found, name)
        assert value is None or -1e-9 <= value <= highest + 1e-9
