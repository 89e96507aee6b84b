"""The prior: recency relative to the customer's own rhythm, and its learned base rate."""

from __future__ import annotations

import numpy as np
import pytest

from models.learning.feature_space import FeatureSpace
from models.learning.prior import TERMS, Prior, trust

SPACE = FeatureSpace(("recency_days", "mrr", "overdue_ratio"), (True, False, True), "c0ffee")


def values(recency: float, overdue: float) -> np.ndarray:
    return SPACE.values(np.array([recency, 99.0, overdue]), np.full(3, np.nan))


def test_risk_rises_with_silence() -> None:
    prior = Prior(SPACE)
    quiet = [prior.probability(values(np.log1p(days), np.log1p(days / 3))) for days in (0, 1, 3, 10, 30, 90)]
    assert quiet == sorted(quiet)
    assert quiet[0] < 0.05
    assert quiet[-1] > 0.5


def test_same_silence_is_a_higher_risk_for_a_daily_customer() -> None:
    prior = Prior(SPACE)
    silence = np.log1p(10.0)
    assert prior.probability(values(silence, np.log1p(10.0))) > prior.probability(values(silence, np.log1p(0.5)))


def test_missing_features_leave_the_base_rate() -> None:
    prior = Prior(SPACE)
    assert prior.probability(values(np.nan, np.nan)) == pytest.approx(0.1)


def test_catalogue_without_the_features_leaves_the_base_rate() -> None:
    prior = Prior(FeatureSpace(("mrr",), (False,), "c0ffee"))
    assert prior.terms == ()
    assert prior.probability(np.array([3.0])) == pytest.approx(0.1)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.8])
def test_base_rate_converges_to_the_observed_rate(rate: float) -> None:
    """At low and high churn rates, the mean probability approaches the rate of positive labels."""
    rng = np.random.default_rng(2)
    prior = Prior(SPACE)
    predicted = []
    for i in range(4000):
        row = values(*rng.uniform(0, 4, size=2))
        if i >= 2000:
            predicted.append(prior.probability(row))
        prior.learn(row, bool(rng.random() < rate))
    assert np.mean(predicted) == pytest.approx(rate, rel=0.3)


def test_a_few_labels_move_the_base_rate_little() -> None:
    prior = Prior(SPACE)
    prior.learn(values(2.0, 0.7), True)
    assert 0.1 < prior.probability(values(2.0, 0.7)) < 0.25


def test_array_scores_equal_single_scores() -> None:
    prior = Prior(SPACE)
    prior.learn(values(2.0, 0.7), True)
    rows = np.array([values(3.0, 0.1), values(np.nan, 2.0), values(1e9, -1e9)])
    single = [prior.base + prior.score(row) for row in rows]
    np.testing.assert_allclose(prior.linear().log_odds(rows), single, rtol=1e-12)


def test_terms_are_recency_and_overdue_ratio_with_positive_weights() -> None:
    assert {term.feature for term in TERMS} == {"recency_days", "overdue_ratio"}
    assert all(term.weight > 0 and term.scale > 0 for term in TERMS)


def test_state_round_trips() -> None:
    prior = Prior(SPACE)
    prior.learn(values(2.0, 0.7), True)
    assert Prior.restore(SPACE, prior.state()).state() == prior.state()


def test_trust_grows_from_zero_towards_one() -> None:
    assert trust(0) == 0.0
    assert trust(200) == 0.5
    assert trust(10**9) > 0.999
