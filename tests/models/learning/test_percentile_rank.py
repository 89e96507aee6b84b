"""Percentiles: the place of a probability among the customers', decayed, restored bit for bit."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.duration import DAY_MS, HOUR_MS
from models.learning import percentile_rank as percentile
from models.learning.percentile_rank import BINS, PercentileRanks

HALF_LIFE_MS = 28 * DAY_MS
START = 1_600_000_000_000


def take(seen: PercentileRanks, probabilities: np.ndarray, at_ms: int = START) -> PercentileRanks:
    """Snapshots of one moment."""
    seen.ranks(probabilities, [at_ms] * len(probabilities))
    return seen


def fed(probabilities: np.ndarray, at_ms: int = START) -> PercentileRanks:
    """What counts an hour after such snapshots, but for one more of 0.5."""
    seen = take(PercentileRanks(HALF_LIFE_MS), probabilities, at_ms)
    return take(seen, np.array([0.5]), at_ms + HOUR_MS)


def share(seen: PercentileRanks, probability: float) -> float:
    return float(seen.ranks(np.array([probability]), [None])[0][0])


def base(seen: PercentileRanks) -> float:
    return float(seen.ranks(np.array([0.5]), [None])[1][0])


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(percentile).failed == 0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.6])
def test_shares_are_right_at_any_churn_rate(rate: float) -> None:
    """The top 5 % of the customers are 5 % of them, within what a bin can tell."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(np.log(rate / (1 - rate)), 1.0, 5_000)
    p = 1 / (1 + np.exp(-log_odds))
    seen = fed(p)
    shares = np.array([share(seen, q) for q in p.tolist()])
    for top in (0.05, 0.15, 0.5):
        assert np.mean(shares >= 1 - top) == pytest.approx(top, abs=0.035)
    assert base(seen) == pytest.approx(p.mean(), rel=0.05)


def test_those_who_are_all_alike_stand_in_the_middle() -> None:
    assert share(fed(np.full(2_000, 0.6)), 0.6) == pytest.approx(0.5, abs=0.02)


def test_before_anything_is_known_the_prior_answers_and_gives_way() -> None:
    nothing = PercentileRanks(HALF_LIFE_MS)
    assert share(nothing, 0.1) == pytest.approx(0.5, abs=0.05)
    assert share(nothing, 0.7) > 0.99
    assert share(nothing, 0.0) < 0.01
    few = fed(np.full(20, 0.7))
    assert 0.7 < share(few, 0.7) < 0.8
    assert share(fed(np.full(500, 0.7)), 0.7) < 0.55


def test_a_percentile_never_falls_as_the_probability_rises_and_lies_within_0_and_1() -> None:
    seen = fed(np.random.default_rng(1).uniform(0, 1, 300))
    shares = [share(seen, p) for p in (0.0, 1e-12, *np.linspace(0, 1, 400).tolist(), 1.0)]
    assert all(0 <= s <= 1 for s in shares)
    assert shares[2:] == sorted(shares[2:])


def test_what_was_seen_long_ago_counts_less() -> None:
    seen = fed(np.full(1_000, 0.9))
    later = START + 4 * HALF_LIFE_MS
    take(take(seen, np.full(1_000, 0.1), later), np.array([0.1]), later + HOUR_MS)
    assert share(seen, 0.5) == pytest.approx(16 / 17, abs=0.01)
    assert base(seen) == pytest.approx(0.147, abs=0.01)


def test_an_hours_snapshots_count_from_the_next_hour_on() -> None:
    seen = take(PercentileRanks(HALF_LIFE_MS), np.full(1_000, 0.9))
    assert base(seen) == base(PercentileRanks(HALF_LIFE_MS))
    assert base(take(seen, np.array([0.5]), START + HOUR_MS)) > 0.8


def test_an_earlier_time_does_not_turn_the_clock_back() -> None:
    seen = fed(np.array([0.5]))
    before = seen.state()[0]
    take(seen, np.array([0.5]), START - DAY_MS)
    assert seen.state()[0] == before


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_batches_and_restarts_change_no_bit(cut: int) -> None:
    """Every third score is a snapshot's, half an hour after the one before."""
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 1, 200)
    at = [START + i * HOUR_MS // 6 if i % 3 == 0 else None for i in range(200)]
    whole, parts = PercentileRanks(HALF_LIFE_MS), PercentileRanks(HALF_LIFE_MS)
    found = [np.concatenate(columns) for columns in zip(whole.ranks(p, at), strict=True)]
    pieces = []
    for start in range(0, 200, cut):
        again = PercentileRanks(HALF_LIFE_MS)
        again.restore(parts.state())
        parts = again
        pieces.append(parts.ranks(p[start : start + cut], at[start : start + cut]))
    for column, piece in zip(found, zip(*pieces, strict=True), strict=True):
        assert np.concatenate(piece).tobytes() == column.tobytes()
    assert parts.state() == whole.state()
    assert len(whole.state()[1]) == 8 * BINS


def test_a_state_of_another_size_starts_again() -> None:
    seen = PercentileRanks(HALF_LIFE_MS)
    seen.restore([5, b"\0" * 80, b""])
    assert share(seen, 0.1) == pytest.approx(0.5, abs=0.05)
