"""Batch scoring: equal to River's one-row interface, with contributions and an interval."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from models.learning.bayesian_logistic import logit, sigmoid
from models.learning.model import Model
from models.learning.prior import trust
from tests.models.worlds import NAMES, space, trained_model, world


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model()


def activate(model: Model, member: str) -> Model:
    model.selector.active = member
    model._scorer = None
    return model


def test_batch_scores_equal_one_row_predictions_of_river(model: Model) -> None:
    """Equal to `predict_proba_one` of the champion's classifier, blended with the prior, to 1e-9."""
    test = world(60, seed=2)
    scores = model.score(test.x, test.m)
    w = trust(model.labels)
    for i in range(60):
        values = model.space.values(test.x[i], test.m[i])
        inputs: dict[Any, float] = dict(model.champion.input_one(values))
        river = model.champion.classifier.predict_proba_one(inputs)[True]
        blended = w * logit(river) + (1 - w) * logit(model.prior.probability(values))
        assert scores.log_odds[i] == pytest.approx(blended, abs=1e-9)
        assert scores.probability[i] == pytest.approx(sigmoid(blended), abs=1e-9)


def test_active_challenger_is_scored_by_the_same_product() -> None:
    model = activate(trained_model(400), "challenger")
    test = world(60, seed=2)
    scores = model.score(test.x, test.m)
    w = trust(model.labels)
    for i in range(60):
        values = model.space.values(test.x[i], test.m[i])
        river = model.challenger.pipeline.predict_proba_one(model.challenger.input_one(values))[True]
        blended = w * logit(river) + (1 - w) * logit(model.prior.probability(values))
        assert scores.log_odds[i] == pytest.approx(blended, abs=1e-9)
    np.testing.assert_allclose(scores.members()[:, 1], scores.probability, rtol=1e-12)


def test_without_labels_the_prior_scores() -> None:
    """Recency relative to the customer's rhythm ranks customers, and the interval is wide."""
    model = Model(space())
    x = np.full((2, len(NAMES)), np.nan)
    x[:, 0], x[:, 1] = (3.5, 0.5), (2.0, 0.3)
    scores = model.score(x, np.full_like(x, np.nan))
    assert scores.probability[0] > 3 * scores.probability[1]
    low, high = scores.ci90()[0]
    assert high - low > 0.4
    assert {name for name, _ in scores.top_contributions(0)} == {"recency_days", "overdue_ratio"}


def test_variance_equals_x_p_x(model: Model) -> None:
    test = world(20, seed=3)
    scores = model.score(test.x, test.m)
    w = trust(model.labels)
    for i in range(20):
        inputs: Any = model.champion.input_one(model.space.values(test.x[i], test.m[i]))
        expected = w**2 * model.champion.classifier.variance_one(inputs) + (1 - w) ** 2
        assert scores.variance()[i] == pytest.approx(expected, rel=1e-9)


def test_selected_rows_equal_those_of_the_whole_batch(model: Model) -> None:
    test = world(30, seed=4)
    scores = model.score(test.x, test.m)
    np.testing.assert_array_equal(scores.ci90([3, 17]), scores.ci90()[[3, 17]])
    np.testing.assert_array_equal(scores.contributions([3, 17]), scores.contributions()[[3, 17]])
    np.testing.assert_array_equal(scores.members([3, 17]), scores.members()[[3, 17]])
    assert scores.ci90([]).shape == (0, 2)


def test_interval_contains_the_probability_and_narrows_with_labels() -> None:
    test = world(50, seed=5)
    width = []
    for n in (50, 500, 2500):
        scores = trained_model(n).score(test.x, test.m)
        ci = scores.ci90()
        assert ((ci[:, 0] < scores.probability) & (scores.probability < ci[:, 1])).all()
        width.append(float(np.mean(ci[:, 1] - ci[:, 0])))
    assert width == sorted(width, reverse=True)


@pytest.mark.law
def test_interval_covers_the_true_probability_of_generated_customers() -> None:
    """Eight worlds with weights such as the prior expects: 80-98% of the customers' true probabilities are inside.

    The model allows for drift that these worlds do not have, so with more labels coverage rises above 90%.
    """
    covered = []
    for seed in range(8):
        model = trained_model(1500, seed=100 + seed, size=12, strength=0.12)
        test = world(300, seed=100 + seed, size=12, strength=0.12, missing=0.0)
        ci = model.score(test.x, test.m).ci90()
        truth = 1 / (1 + np.exp(-test.log_odds))
        covered.append(np.mean((ci[:, 0] <= truth) & (truth <= ci[:, 1])))
    assert 0.8 <= np.mean(covered) <= 0.98


def test_contributions_and_bias_add_up_to_the_log_odds(model: Model) -> None:
    test = world(200, seed=6)
    test.x[0] = 1e9
    for member in ("champion", "challenger"):
        scores = activate(model, member).score(test.x, test.m)
        total = scores.contributions().sum(axis=1) + scores.bias()
        np.testing.assert_allclose(total, scores.log_odds, atol=1e-9)
    activate(model, "champion")


def test_contribution_sums_raw_relative_and_hinge_terms(model: Model) -> None:
    """A change of one feature and its peer mean changes that feature's contribution only."""
    test = world(1, seed=7, missing=0.0)
    x, m = test.x.copy(), test.m.copy()
    before = model.scorer().contributions(x, m)[0]
    x[0, 2] += 1.0
    m[0, 2] -= 0.5
    after = model.scorer().contributions(x, m)[0]
    moved = np.flatnonzero(before != after)
    assert moved.tolist() == [2]


def test_constant_feature_contributes_nothing(model: Model) -> None:
    test = world(5, seed=8)
    test.x[:, -1] = 12345.0
    assert (model.score(test.x, test.m).contributions()[:, -1] == 0.0).all()


def test_missing_features_contribute_nothing(model: Model) -> None:
    x = np.full((1, len(NAMES)), np.nan)
    scores = model.score(x, x)
    assert (scores.contributions() == 0.0).all()
    assert scores.log_odds[0] == scores.bias()[0]


def test_scorer_does_not_change_when_its_model_learns(model: Model) -> None:
    test = world(10, seed=9)
    copy = Model.restore(model.snapshot(), model.space)
    scorer = copy.scorer()
    before = scorer.score(test.x, test.m)
    for i in range(10):
        copy.learn(test.x[i], test.m[i], True, 400 + i)
    after = scorer.score(test.x, test.m)
    assert before.log_odds.tobytes() == after.log_odds.tobytes()
    assert before.ci90().tobytes() == after.ci90().tobytes()
    assert copy.scorer() is not scorer


def test_single_row_is_scored_like_a_batch_of_one(model: Model) -> None:
    test = world(2, seed=10)
    single = model.score(test.x[1], test.m[1])
    assert single.probability.shape == (1,)
    assert single.log_odds[0] == model.score(test.x, test.m).log_odds[1]


def test_empty_batch_is_scored(model: Model) -> None:
    empty = np.zeros((0, len(NAMES)))
    scores = model.score(empty, empty)
    assert scores.probability.shape == (0,)
    assert scores.contributions().shape == (0, len(NAMES))
    assert scores.members().shape == (0, 3)


def test_model_ranks_before_the_first_hundred_labels_and_learns_after() -> None:
    """If churn follows recency, as in the prior, lift is above 1.5 from the start; 3,000 labels lower the log loss."""
    rng = np.random.default_rng(11)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(n, len(NAMES)))
        x[:, 0] = rng.uniform(0, 4, size=n)
        x[:, 1] = np.log1p(np.expm1(x[:, 0]) / rng.lognormal(1.0, 0.7, size=n))
        log_odds = -4.5 + 1.2 * x[:, 0] + 0.5 * x[:, 2]
        return x, rng.random(n) < 1 / (1 + np.exp(-log_odds))

    x, y = draw(3000)
    test_x, test_y = draw(3000)
    model, m = Model(space()), np.full(len(NAMES), np.nan)
    lift, loss = [], []
    for i in range(3000):
        if i in (0, 90, 2999):
            p = model.score(test_x, np.full_like(test_x, np.nan)).probability
            top = np.argsort(-p)[:300]
            lift.append(test_y[top].mean() / test_y.mean())
            loss.append(-np.mean(np.where(test_y, np.log(p), np.log1p(-p))))
        model.learn(x[i], m, bool(y[i]), i // 50)
    assert min(lift) > 1.5
    assert loss[2] < min(loss[:2]) - 0.02


def test_scoring_a_batch_is_cheap() -> None:
    """Guards against a loop per row: 500 rows of 40 features take well under 20 us of CPU time each."""
    model = trained_model(200, size=40)
    test = world(500, seed=12, size=40)
    scorer = model.scorer()
    scorer.score(test.x, test.m)
    best = min(_elapsed(lambda: scorer.score(test.x, test.m)) for _ in range(5))
    assert best / 500 < 20e-6


def _elapsed(work: object) -> float:
    start = time.thread_time()
    work()  # type: ignore[operator]
    return time.thread_time() - start
