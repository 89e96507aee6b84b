"""The challenger: River's own pipeline, and the traps on the way to it."""

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
    x[:, 2] = np.where(np.arange(n) > n // 2, x[:, 2] > 1, 3.0)  # one number only for half the labels
    y = rng.random(n) < 1 / (1 + np.exp(1 - x[:, 0]))
    x[rng.random(x.shape) < 0.1] = np.nan
    m = np.array([np.nan, 0.2, np.nan])
    return [SPACE.values(row, m) for row in x], [bool(value) for value in y]


def taught(n: int = 600) -> Challenger:
    challenger = Challenger(SPACE)
    for values, y in zip(*examples(n), strict=True):
        challenger.learn(values, y)
    return challenger


def test_it_is_the_pipeline_of_river_to_the_bit() -> None:
    """Learning step by step, and counting what never varied, is `learn_one` on everything that is not missing."""
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


def test_arrays_say_what_predict_proba_one_says() -> None:
    challenger = taught()
    values = np.array(examples(80, seed=8)[0])
    values[0] = 1e6
    log_odds = challenger.linear().log_odds(values)
    for row, score in zip(values, log_odds, strict=True):
        river = challenger.pipeline.predict_proba_one(challenger.input_one(row))[True]
        assert 1 / (1 + math.exp(-score)) == pytest.approx(river, abs=1e-9)


def test_learning_returns_the_log_odds_before() -> None:
    challenger = taught()
    values = examples(1, seed=9)[0][0]
    said = challenger.linear().log_odds(values[None, :])[0]
    assert challenger.learn(values, True) == pytest.approx(said, abs=0.01)  # but for one step of the scaler
    assert challenger.linear().log_odds(values[None, :])[0] > said


def test_a_feature_seen_as_one_value_is_silently_zero() -> None:
    """The trap in River's scaler: without variance everything becomes 0. Here it is the rule, and it ends in time."""
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


def test_without_the_clip_one_label_would_cost_what_hundreds_do() -> None:
    """River's scaler is unbounded: after 5,000 zeros a one is 70 standard deviations away, and moves every score."""

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


def test_a_missing_value_leaves_every_weight_a_number() -> None:
    river = pipeline()
    river.learn_one({"a": 1.0}, True)
    river.learn_one({"a": math.nan}, True)
    river.learn_one({"a": 2.0}, True)
    assert math.isnan(river["scale"].means["a"])  # what River does with NaN: it never comes back

    challenger = taught()
    challenger.learn(np.full(4, np.nan), True)
    linear = challenger.linear()
    assert np.isfinite(linear.weight).all()
    assert np.isfinite(linear.centre).all()


def test_a_restored_challenger_learns_on_to_the_same_bits() -> None:
    """Also where sums follow the order in which names were first seen, and a value has yet to vary."""
    values, labels = examples(600)
    for cut in (100, 290, 450):
        one = Challenger(SPACE)
        for row, y in zip(values[:cut], labels[:cut], strict=True):
            one.learn(row, y)
        two = Challenger.restore(SPACE, one.state())
        assert two.state() == one.state()
        for row, y in zip(values[cut:], labels[cut:], strict=True):
            assert one.learn(row, y) == two.learn(row, y)
        assert two.state() == one.state()


def test_clip_keeps_the_order_of_names() -> None:
    assert list(clip({"b": 9.0, "a": -9.0}).items()) == [("b", 4.0), ("a", -4.0)]
