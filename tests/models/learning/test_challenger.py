"""The challenger: equal to River's pipeline, without its pitfalls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import compose, linear_model, optim, preprocessing

from models.learning.challenger import LEARNING_RATE, Challenger, clip, pipeline
from models.learning.feature_space import FeatureSpace

SPACE = FeatureSpace(("a", "b", "c"), (False, True, False), "c0ffee")


def examples(n: int, seed: int = 5) -> tuple[list[np.ndarray], list[bool]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x[:, 2] = np.where(np.arange(n) > n // 2, x[:, 2] > 1, 3.0)  # constant for the first half
    y = rng.random(n) < 1 / (1 + np.exp(1 - x[:, 0]))
    x[rng.random(x.shape) < 0.1] = np.nan
    m = np.array([np.nan, 0.2, np.nan])
    return [SPACE.values(row, m) for row in x], [bool(value) for value in y]


def trained(n: int = 600) -> Challenger:
    challenger = Challenger(SPACE)
    for values, y in zip(*examples(n), strict=True):
        challenger.learn(values, y)
    return challenger


def test_equals_the_pipeline_of_river() -> None:
    """Stepwise learning and the counting of constant values equal `learn_one` on all values that are not missing."""
    challenger, plain = Challenger(SPACE), pipeline()
    for values, y in zip(*examples(600), strict=True):
        challenger.learn(values, y)
        x = {name: value for name, value in zip(SPACE.value_names, values.tolist(), strict=True) if value == value}
        plain.learn_one(x, y)
    for name, weight in challenger.pipeline["classify"].weights.items():
        assert plain["classify"].weights[name] == pytest.approx(weight, rel=1e-12)
        assert plain["scale"].means[name] == challenger.pipeline["scale"].means[name]
        assert plain["scale"].vars[name] == challenger.pipeline["scale"].vars[name]
        assert plain["scale"].counts[name] == challenger.pipeline["scale"].counts[name]


def test_array_scores_equal_predict_proba_one() -> None:
    challenger = trained()
    values = np.array(examples(80, seed=8)[0])
    values[0] = 1e6
    log_odds = challenger.linear().log_odds(values)
    for row, score in zip(values, log_odds, strict=True):
        river = challenger.pipeline.predict_proba_one(challenger.input_one(row))[True]
        assert 1 / (1 + math.exp(-score)) == pytest.approx(river, abs=1e-9)


def test_learn_returns_the_log_odds_predicted_before() -> None:
    challenger = trained()
    values = examples(1, seed=9)[0][0]
    predicted = challenger.linear().log_odds(values[None, :])[0]
    assert challenger.learn(values, True) == pytest.approx(predicted, abs=0.01)  # the scaler is one step ahead
    assert challenger.linear().log_odds(values[None, :])[0] > predicted


def test_constant_feature_has_no_effect_until_it_varies() -> None:
    """River's scaler maps a value without variance to 0. The challenger does too, until the value first varies."""
    river = preprocessing.StandardScaler()
    for _ in range(100):
        river.learn_one({"a": 3.0})
    assert river.transform_one({"a": 99.0}) == {"a": 0.0}

    challenger = Challenger(SPACE)
    for i in range(100):
        challenger.learn(SPACE.values(np.array([3.0, float(i % 5), np.nan]), np.full(3, np.nan)), i % 2 == 0)
    assert challenger.linear().inverse[0] == 0.0
    assert "a" not in challenger.input_one(SPACE.values(np.full(3, 99.0), np.full(3, np.nan)))
    challenger.learn(SPACE.values(np.array([4.0, 1.0, np.nan]), np.full(3, np.nan)), True)
    scaler = challenger.pipeline["scale"]
    assert (scaler.counts["a"], scaler.means["a"]) == (101, pytest.approx(3 + 1 / 101))
    assert challenger.linear().weight[0] > 0.0


def test_clip_bounds_the_effect_of_one_label() -> None:
    """River's scaler is unbounded: after 5,000 zeros a 1 is 70 standard deviations away, and moves every score."""

    def shock(model: compose.Pipeline) -> float:
        for i in range(5000):
            model.learn_one({"a": float(i % 97 == 0) * 0.01, "b": float(i % 3)}, i % 3 == 0)
        model.learn_one({"a": 50.0, "b": 1.0}, True)
        return abs(float(model["classify"].weights["a"]))

    bare = compose.Pipeline(
        ("scale", preprocessing.StandardScaler()),
        ("classify", linear_model.LogisticRegression(optim.SGD(LEARNING_RATE))),
    )
    assert shock(bare) > 5 * shock(pipeline())


def test_missing_value_keeps_every_weight_finite() -> None:
    river = pipeline()
    river.learn_one({"a": 1.0}, True)
    river.learn_one({"a": math.nan}, True)
    river.learn_one({"a": 2.0}, True)
    assert math.isnan(river["scale"].means["a"])  # a NaN in River is permanent

    challenger = trained()
    challenger.learn(np.full(4, np.nan), True)
    linear = challenger.linear()
    assert np.isfinite(linear.weight).all()
    assert np.isfinite(linear.centre).all()


def test_restored_challenger_learns_the_same_bits() -> None:
    """Includes the order of sums, which follows the first occurrence of names, and values that have not varied yet."""
    values, labels = examples(600)
    for cut in (100, 290, 450):
        original = Challenger(SPACE)
        for row, y in zip(values[:cut], labels[:cut], strict=True):
            original.learn(row, y)
        restored = Challenger.restore(SPACE, original.state())
        assert restored.state() == original.state()
        for row, y in zip(values[cut:], labels[cut:], strict=True):
            assert original.learn(row, y) == restored.learn(row, y)
        assert restored.state() == original.state()


def test_clip_keeps_the_order_of_names() -> None:
    assert list(clip({"b": 9.0, "a": -9.0}).items()) == [("b", 4.0), ("a", -4.0)]
