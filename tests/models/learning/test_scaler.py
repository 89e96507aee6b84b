"""The scaler: mean and variance, missing values and values without variation; and the feature space."""

from __future__ import annotations

import numpy as np
import pytest
from river import preprocessing

from models.learning.feature_space import PEER_WEIGHT, VALUE_LIMIT, FeatureSpace
from models.learning.scaler import CLIP, Scaler, standardise


def test_mean_and_sd_ignore_missing_values() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(5.0, 3.0, size=(500, 4))
    values[rng.random(values.shape) < 0.3] = np.nan
    scaler = Scaler(4)
    for row in values:
        scaler.learn(row)
    np.testing.assert_allclose(scaler.mean, np.nanmean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.sd, np.nanstd(values, axis=0), rtol=1e-12)
    assert (scaler.count == (~np.isnan(values)).sum(axis=0)).all()


def test_equals_the_scaler_of_river() -> None:
    rng = np.random.default_rng(2)
    values = rng.lognormal(size=(200, 3))
    scaler, river = Scaler(3), preprocessing.StandardScaler()
    for row in values:
        scaler.learn(row)
        river.learn_one(dict(enumerate(row.tolist())))
    z = river.transform_one(dict(enumerate(values[0].tolist())))
    np.testing.assert_allclose(scaler.transform(values[0]), list(z.values()), rtol=1e-9)


def test_learn_returns_the_values_as_transform_scales_them_afterwards() -> None:
    rng = np.random.default_rng(3)
    scaler = Scaler(5)
    for _ in range(100):
        row = rng.normal(size=5) * 10.0 ** rng.integers(-3, 4)
        row[rng.random(5) < 0.2] = np.nan
        np.testing.assert_allclose(scaler.learn(row), scaler.transform(row), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3e3])
def test_constant_value_scales_to_zero_until_it_varies(constant: float) -> None:
    scaler = Scaler(1)
    for _ in range(1000):
        assert scaler.learn(np.array([constant]))[0] == 0.0
    assert scaler.transform(np.array([constant + 5.0]))[0] == 0.0
    assert scaler.learn(np.array([constant + 5.0]))[0] == CLIP


def test_rounding_is_not_variation() -> None:
    scaler = Scaler(1)
    for i in range(100):
        scaler.learn(np.array([0.1 + 0.2 if i % 2 else 0.3]))
    assert scaler.sd[0] == 0.0
    assert scaler.transform(np.array([0.3]))[0] == 0.0


def test_missing_value_is_zero_and_not_learned() -> None:
    scaler = Scaler(2)
    for value in (1.0, 2.0, 3.0):
        scaler.learn(np.array([value, np.nan]))
    before = scaler.state()
    assert scaler.learn(np.array([np.nan, np.nan])).tolist() == [0.0, 0.0]
    assert scaler.state() == before
    assert scaler.transform(np.array([np.nan, 4.0])).tolist() == [0.0, 0.0]


def test_scaled_values_are_within_four_standard_deviations() -> None:
    scaler = Scaler(1)
    for i in range(100):
        scaler.learn(np.array([float(i % 2)]))
    assert scaler.transform(np.array([[1e9], [-1e9], [np.inf], [-np.inf]])).ravel().tolist() == [CLIP, -CLIP] * 2


def test_restored_scaler_has_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    scaler = Scaler(3)
    for row in rng.normal(size=(50, 3)):
        scaler.learn(row)
    other = Scaler.restore(scaler.state())
    row = rng.normal(size=3)
    assert other.learn(row).tobytes() == scaler.learn(row).tobytes()


def test_standardise_does_not_change_its_input() -> None:
    values = np.array([[1.0, np.nan]])
    before = values.copy()
    standardise(values, np.zeros(2), np.ones(2))
    np.testing.assert_array_equal(values, before)


class TestFeatureSpace:
    space = FeatureSpace(("a", "b", "c"), (False, True, True), "c0ffee")

    def test_values_are_raw_features_then_differences_from_peer_means(self) -> None:
        values = self.space.values(np.array([1.0, 5.0, np.nan]), np.array([9.0, 2.0, 2.0]))
        np.testing.assert_array_equal(values, [1.0, 5.0, np.nan, 3.0, np.nan])

    def test_unknown_peer_mean_leaves_the_difference_missing(self) -> None:
        values = self.space.values(np.array([1.0, 5.0, 6.0]), np.array([np.nan, np.nan, 2.0]))
        np.testing.assert_array_equal(values, [1.0, 5.0, 6.0, np.nan, 4.0])

    def test_infinite_values_and_peer_means_are_bounded(self) -> None:
        values = self.space.values(np.array([np.inf, -np.inf, np.inf]), np.array([0.0, np.inf, np.inf]))
        assert values.tolist() == [VALUE_LIMIT, -VALUE_LIMIT, VALUE_LIMIT, -2 * VALUE_LIMIT, 0.0]

    def test_inputs_are_scaled_values_weighted_peer_values_and_hinges(self) -> None:
        assert self.space.input_names == ("a", "b", "c", "b~peers", "c~peers", "a+", "b+", "c+")
        inputs = self.space.inputs(np.array([1.0, -2.0, 3.0, 1.0, -1.0]))
        assert inputs.tolist() == [1.0, -2.0, 3.0, PEER_WEIGHT, -PEER_WEIGHT, 1.0, 0.0, 3.0]

    def test_names_must_be_unique_and_match_the_flags(self) -> None:
        with pytest.raises(ValueError, match="2 names but 1 relative flags"):
            FeatureSpace(("a", "b"), (True,), "c0ffee")
        with pytest.raises(ValueError, match="not unique"):
            FeatureSpace(("a", "a"), (True, True), "c0ffee")
