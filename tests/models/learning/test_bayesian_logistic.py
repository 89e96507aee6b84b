"""The champion's classifier: compared with a naive implementation, with River's checks, and over time."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Hashable

import numpy as np
import pytest
from river import checks

from models.learning.bayesian_logistic import BIAS, CAP_EVERY_LABELS, COHORT, BayesianLogisticRegression, logit, sigmoid

RECIPE = {"variance": 0.01, "bias_variance": 10.0, "cohort_variance": 0.03, "bias_drift": 0.0005, "forget_days": 90.0}
"""The constants of `Naive`, independent of the defaults."""


class Naive:
    """The update equations on full matrices, without optimisation."""

    def __init__(self, size: int) -> None:
        self.prior = np.array([10.0, 0.03] + [0.01] * size)
        self.w, self.P = np.zeros(size + 2), np.diag(self.prior)
        self.day: int | None = None
        self.credit, self.labels = 0.0, 0

    def learn(self, x: np.ndarray, y: bool, day: int) -> None:
        if self.day is not None and day > self.day:
            self.P[0, 0] += 0.0005 * (day - self.day)
            self.credit = min(1.0, self.credit + (day - self.day) / 90)
            self.w[1], self.P[1, :], self.P[:, 1], self.P[1, 1] = 0.0, 0.0, 0.0, 0.03
        self.day = day if self.day is None else max(day, self.day)
        x = np.concatenate([[1.0, 1.0], x])
        p = 1 / (1 + math.exp(-self.w @ x))
        u = self.P @ x
        d = 1 + p * (1 - p) * (x @ u)
        self.w = self.w - u * (p - y) / d
        self.P = self.P - p * (1 - p) / d * np.outer(u, u)
        share = min(1 / 5000, self.credit)
        self.credit -= share
        self.P = self.P * (1 + share)
        self.labels += 1
        if self.labels % 200 == 0:
            s = np.sqrt(np.minimum(1.0, self.prior / np.diag(self.P)))
            self.P = s[:, None] * self.P * s


def rows(n: int, size: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, size)).clip(-4, 4)
    return x, rng.random(n) < 1 / (1 + np.exp(2 - x[:, 0] + 0.5 * x[:, 1]))


def named(x: np.ndarray) -> dict[Hashable, float]:
    return {f"f{i}": float(value) for i, value in enumerate(x)}


@pytest.fixture
def without_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    """River's checks import scikit-learn's data sets for all estimators, but use them for other kinds only."""
    if "sklearn" not in sys.modules:
        module, datasets = types.ModuleType("sklearn"), types.ModuleType("sklearn.datasets")
        module.datasets = datasets  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sklearn", module)
        monkeypatch.setitem(sys.modules, "sklearn.datasets", datasets)


@pytest.mark.law
@pytest.mark.usefixtures("without_sklearn")
def test_passes_the_estimator_checks_of_river() -> None:
    checks.check_estimator(BayesianLogisticRegression())


def test_equals_the_naive_implementation() -> None:
    """1,500 labels over 30 days with gaps exercise cohorts, drift, forgetting and caps."""
    x, y = rows(1500, 5)
    model, naive = BayesianLogisticRegression(**RECIPE), Naive(5)
    for i in range(1500):
        day = 100 + 3 * (i // 50)
        model.learn_one(named(x[i]), bool(y[i]), day=day)
        naive.learn(x[i], bool(y[i]), day)
    np.testing.assert_allclose(model.weights, naive.w, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.covariance, naive.P, rtol=1e-9, atol=1e-14)


def test_leaving_out_an_idle_input_is_exact() -> None:
    """An input outside the covariance until its first value gives the same result, including forgetting."""
    x, y = rows(1300, 4)
    x[:730, 3] = 0.0  # not at a multiple of the labels between two caps
    model, naive = BayesianLogisticRegression(**RECIPE), Naive(4)
    for i in range(1300):
        model.learn_one(named(x[i]), bool(y[i]), day=i // 20)
        naive.learn(x[i], bool(y[i]), i // 20)
        if i == 729:
            assert "f3" not in model.names
    np.testing.assert_allclose(model.weights, naive.w, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.covariance, naive.P, rtol=1e-9, atol=1e-14)


def test_order_of_inputs_changes_no_bit() -> None:
    x, y = rows(300, 6)
    straight, reverse = BayesianLogisticRegression(), BayesianLogisticRegression()
    for i in range(300):
        straight.learn_one(named(x[i]), bool(y[i]), day=i // 10)
        reverse.learn_one(dict(reversed(named(x[i]).items())), bool(y[i]), day=i // 10)
    assert straight.weights.tobytes() == reverse.weights.tobytes()
    assert straight.covariance.tobytes() == reverse.covariance.tobytes()


def test_covariance_stays_exactly_symmetric() -> None:
    x, y = rows(900, 8)
    model = BayesianLogisticRegression()
    for i in range(900):
        model.learn_one(named(x[i]), bool(y[i]), day=i // 3)
    assert (model.covariance == model.covariance.T).all()


def test_missing_and_non_finite_inputs_are_zero() -> None:
    model = BayesianLogisticRegression()
    for i in range(50):
        model.learn_one({"a": 1.0 if i % 2 else -1.0, "b": math.nan, "c": None, "d": math.inf}, i % 2 == 0)
    assert model.names == ("a",)
    assert model.predict_proba_one({"a": math.nan, "b": 3.0}) == model.predict_proba_one({})


def test_variance_starts_at_the_prior_and_falls_with_labels() -> None:
    model = BayesianLogisticRegression()
    before = model.variance_one({"a": 2.0})
    assert before == pytest.approx(10.0 + 0.01 * 4)
    for i in range(400):
        model.learn_one({"a": 2.0 if i % 2 else -2.0}, i % 4 == 0)
    assert model.variance_one({"a": 2.0}) < 0.05 * before


def test_cohort_effect_is_dropped_at_the_end_of_the_day() -> None:
    """A day on which all customers churn moves the cohort's weight; the next day starts without it."""
    x, y = rows(600, 2)
    model = BayesianLogisticRegression()
    for i in range(600):
        model.learn_one(named(x[i]), bool(y[i]), day=i // 60)
    calm = model.weights[BIAS]
    for i in range(60):
        model.learn_one(named(x[i]), True, day=11)
    assert model.weights[COHORT] > 0.2
    moved = model.weights[BIAS] - calm
    model.learn_one(named(x[0]), False, day=12)
    assert abs(model.weights[COHORT]) < 0.05
    assert model.covariance[COHORT, BIAS] == pytest.approx(0.0, abs=1e-3)
    assert moved < 1.5  # without the cohort the bias would take it all


def test_late_label_counts_in_the_current_cohort() -> None:
    x, y = rows(100, 2)
    model = BayesianLogisticRegression()
    for i in range(100):
        model.learn_one(named(x[i]), bool(y[i]), day=50)
    cohort = model.weights[COHORT]
    model.learn_one(named(x[0]), bool(y[0]), day=3)
    assert cohort != 0.0
    assert model.weights[COHORT] != 0.0


def test_forgetting_is_limited_by_days_and_by_labels() -> None:
    """With many labels on few days the limit by days applies; with few labels over years the limit by labels."""
    busy, idle = BayesianLogisticRegression(), BayesianLogisticRegression()
    for i in range(CAP_EVERY_LABELS - 1):
        busy.learn_one({}, i % 2 == 0, day=0)
        idle.learn_one({}, i % 2 == 0, day=i * 100)
    assert busy._growth == 1.0
    assert idle._growth == pytest.approx((1 + 1 / 5000) ** (CAP_EVERY_LABELS - 2))


def test_variances_never_exceed_their_prior_after_years_of_forgetting() -> None:
    model = BayesianLogisticRegression()
    model.learn_one({"a": 1.0, "b": 1.0}, True, day=0)
    for i in range(4000):
        model.learn_one({"a": (-1.0) ** i}, i % 3 == 0, day=i * 30)
    limit = np.array([10.0, 0.03, 0.01, 0.01]) * 1.05
    assert (np.diag(model.covariance) <= limit).all()
    assert np.linalg.eigvalsh(model.covariance).min() >= -1e-12


def test_invalid_covariance_is_reset_and_keeps_the_weights() -> None:
    x, y = rows(200, 3)
    model = BayesianLogisticRegression()
    for i in range(200):
        model.learn_one(named(x[i]), bool(y[i]))
    weights = model.weights.copy()
    model._covariance[:] = -1.0
    model.learn_one(named(x[0]), bool(y[0]))
    assert model.restarts == 1
    assert np.abs(model.weights - weights).max() < 1.5
    assert np.linalg.eigvalsh(model.covariance).min() > 0.0


def test_non_finite_weights_are_reset() -> None:
    model = BayesianLogisticRegression()
    model.learn_one({"a": 1.0}, True)
    model._weights[:] = math.nan
    model._covariance[:] = math.nan
    model.learn_one({"a": 1.0}, True)
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.covariance).all()


def test_correlated_inputs_share_their_weight() -> None:
    """Two nearly equal inputs share their weight, and the weight of a third input is learned correctly."""
    rng = np.random.default_rng(3)
    model = BayesianLogisticRegression(variance=1.0)
    for _ in range(6000):
        a, c = rng.normal(size=2)
        x: dict[Hashable, float] = {"a": a, "b": a + 0.1 * rng.normal(), "c": c}
        model.learn_one(x, rng.random() < sigmoid(0.6 * x["a"] + 0.6 * x["b"] - 0.8 * c))
    weights = dict(zip(model.names, model.weights[2:], strict=True))
    assert weights["a"] + weights["b"] == pytest.approx(1.2, abs=0.15)
    assert weights["c"] == pytest.approx(-0.8, abs=0.12)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 2.0, math.nan])
def test_logit_is_bounded(value: float) -> None:
    assert -15.0 <= logit(value) <= 15.0


def test_logit_and_sigmoid_are_inverse() -> None:
    assert [logit(sigmoid(x)) for x in (-3.0, 0.0, 7.0)] == pytest.approx([-3.0, 0.0, 7.0])
