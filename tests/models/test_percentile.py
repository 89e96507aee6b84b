"""Percentiles: the place of a probability among the customers', decayed, restored bit for bit."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models import percentile
from models.duration import DAY_MS
from models.percentile import BINS, Percentiles

HALF_LIFE_MS = 28 * DAY_MS
START = 1_600_000_000_000


def fed(probabilities: np.ndarray, at_ms: int = START) -> Percentiles:
    seen = Percentiles(HALF_LIFE_MS)
    for p in probabilities.tolist():
        seen.update(p, at_ms)
    return seen


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(percentile).failed == 0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.6])
def test_shares_are_right_at_any_churn_rate(rate: float) -> None:
    """The top 5 % of the customers are 5 % of them, within what a bin can tell."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(np.log(rate / (1 - rate)), 1.0, 5_000)
    p = 1 / (1 + np.exp(-log_odds))
    seen = fed(p)
    shares = np.array([seen.percentile(q) for q in p.tolist()])
    for top in (0.05, 0.15, 0.5):
        assert np.mean(shares >= 1 - top) == pytest.approx(top, abs=0.035)
    assert seen.base == pytest.approx(p.mean(), rel=0.05)


def test_those_who_are_all_alike_stand_in_the_middle() -> None:
    assert fed(np.full(2_000, 0.6)).percentile(0.6) == pytest.approx(0.5, abs=0.02)


def test_before_anything_is_known_the_prior_answers_and_gives_way() -> None:
    nothing = Percentiles(HALF_LIFE_MS)
    assert nothing.percentile(0.1) == pytest.approx(0.5, abs=0.05)
    assert nothing.percentile(0.7) > 0.99
    assert nothing.percentile(0.0) < 0.01
    few = fed(np.full(20, 0.7))
    assert 0.7 < few.percentile(0.7) < 0.8
    assert fed(np.full(500, 0.7)).percentile(0.7) < 0.55


def test_a_percentile_never_falls_as_the_probability_rises_and_lies_within_0_and_1() -> None:
    seen = fed(np.random.default_rng(1).uniform(0, 1, 300))
    shares = [seen.percentile(p) for p in (0.0, 1e-12, *np.linspace(0, 1, 400).tolist(), 1.0)]
    assert all(0 <= s <= 1 for s in shares)
    assert shares[2:] == sorted(shares[2:])


def test_what_was_seen_long_ago_counts_less() -> None:
    seen = fed(np.full(1_000, 0.9))
    for p in np.full(1_000, 0.1).tolist():
        seen.update(p, START + 4 * HALF_LIFE_MS)
    assert seen.percentile(0.5) == pytest.approx(16 / 17, abs=0.01)
    assert seen.base == pytest.approx(0.147, abs=0.01)


def test_an_earlier_time_does_not_turn_the_clock_back() -> None:
    seen = fed(np.array([0.5]))
    seen.update(0.5, START - DAY_MS)
    assert sum(seen._counts) == 2.0


def test_a_restored_state_continues_with_the_same_bits() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.uniform(0, 1, 200), rng.uniform(0, 1, 200)
    whole = fed(first)
    again = Percentiles(HALF_LIFE_MS)
    again.restore(whole.state())
    for i, p in enumerate(second.tolist()):
        at = START + i * DAY_MS // 7
        whole.update(p, at)
        again.update(p, at)
        assert again.percentile(p) == whole.percentile(p)
    assert again.state() == whole.state()
    assert again.base == whole.base
    assert len(whole.state()[1]) == 8 * BINS


def test_a_state_of_another_size_starts_again() -> None:
    seen = Percentiles(HALF_LIFE_MS)
    seen.restore([5, b"\0" * 80])
    assert seen.percentile(0.1) == pytest.approx(0.5, abs=0.05)
