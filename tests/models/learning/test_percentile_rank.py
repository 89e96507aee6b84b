"""Percentile ranks: the rank of a probability among customers, decayed, and restored to the same bits."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.duration import DAY_MS, HOUR_MS
from models.learning import percentile_rank as percentile
from models.learning.percentile_rank import BINS, PercentileRanks

HALF_LIFE_MS = 28 * DAY_MS
START = 1_600_000_000_000


def add(ranks: PercentileRanks, probabilities: np.ndarray, at_ms: int = START) -> PercentileRanks:
    """Add training snapshots of one time."""
    ranks.ranks(probabilities, [at_ms] * len(probabilities))
    return ranks


def filled(probabilities: np.ndarray, at_ms: int = START) -> PercentileRanks:
    """Ranks an hour after these snapshots, with one more snapshot of 0.5."""
    ranks = add(PercentileRanks(HALF_LIFE_MS), probabilities, at_ms)
    return add(ranks, np.array([0.5]), at_ms + HOUR_MS)


def share(ranks: PercentileRanks, probability: float) -> float:
    return float(ranks.ranks(np.array([probability]), [None])[0][0])


def base(ranks: PercentileRanks) -> float:
    return float(ranks.ranks(np.array([0.5]), [None])[1][0])


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(percentile).failed == 0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.6])
def test_shares_are_right_at_any_churn_rate(rate: float) -> None:
    """The top 5% are 5% of the customers, within the resolution of a bin."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(np.log(rate / (1 - rate)), 1.0, 5_000)
    p = 1 / (1 + np.exp(-log_odds))
    ranks = filled(p)
    shares = np.array([share(ranks, q) for q in p.tolist()])
    for top in (0.05, 0.15, 0.5):
        assert np.mean(shares >= 1 - top) == pytest.approx(top, abs=0.035)
    assert base(ranks) == pytest.approx(p.mean(), rel=0.05)


def test_equal_probabilities_rank_in_the_middle() -> None:
    assert share(filled(np.full(2_000, 0.6)), 0.6) == pytest.approx(0.5, abs=0.02)


def test_prior_ranks_first_and_loses_weight_with_snapshots() -> None:
    empty = PercentileRanks(HALF_LIFE_MS)
    assert share(empty, 0.1) == pytest.approx(0.5, abs=0.05)
    assert share(empty, 0.7) > 0.99
    assert share(empty, 0.0) < 0.01
    few = filled(np.full(20, 0.7))
    assert 0.7 < share(few, 0.7) < 0.8
    assert share(filled(np.full(500, 0.7)), 0.7) < 0.55


def test_percentile_is_monotonic_and_between_0_and_1() -> None:
    ranks = filled(np.random.default_rng(1).uniform(0, 1, 300))
    shares = [share(ranks, p) for p in (0.0, 1e-12, *np.linspace(0, 1, 400).tolist(), 1.0)]
    assert all(0 <= s <= 1 for s in shares)
    assert shares[2:] == sorted(shares[2:])


def test_old_snapshots_count_less() -> None:
    ranks = filled(np.full(1_000, 0.9))
    later = START + 4 * HALF_LIFE_MS
    add(add(ranks, np.full(1_000, 0.1), later), np.array([0.1]), later + HOUR_MS)
    assert share(ranks, 0.5) == pytest.approx(16 / 17, abs=0.01)
    assert base(ranks) == pytest.approx(0.147, abs=0.01)


def test_snapshots_of_an_hour_count_from_the_next_hour_on() -> None:
    ranks = add(PercentileRanks(HALF_LIFE_MS), np.full(1_000, 0.9))
    assert base(ranks) == base(PercentileRanks(HALF_LIFE_MS))
    assert base(add(ranks, np.array([0.5]), START + HOUR_MS)) > 0.8


def test_earlier_time_does_not_move_the_clock_back() -> None:
    ranks = filled(np.array([0.5]))
    before = ranks.state()[0]
    add(ranks, np.array([0.5]), START - DAY_MS)
    assert ranks.state()[0] == before


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_batches_and_restarts_change_no_bit(cut: int) -> None:
    """Every third score belongs to a snapshot, half an hour after the previous one."""
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 1, 200)
    at = [START + i * HOUR_MS // 6 if i % 3 == 0 else None for i in range(200)]
    whole, parts = PercentileRanks(HALF_LIFE_MS), PercentileRanks(HALF_LIFE_MS)
    found = [np.concatenate(columns) for columns in zip(whole.ranks(p, at), strict=True)]
    pieces = []
    for start in range(0, 200, cut):
        restored = PercentileRanks(HALF_LIFE_MS)
        restored.restore(parts.state())
        parts = restored
        pieces.append(parts.ranks(p[start : start + cut], at[start : start + cut]))
    for column, piece in zip(found, zip(*pieces, strict=True), strict=True):
        assert np.concatenate(piece).tobytes() == column.tobytes()
    assert parts.state() == whole.state()
    assert len(whole.state()[1]) == 8 * BINS


def test_state_of_another_size_is_ignored() -> None:
    ranks = PercentileRanks(HALF_LIFE_MS)
    ranks.restore([5, b"\0" * 80, b""])
    assert share(ranks, 0.1) == pytest.approx(0.5, abs=0.05)
