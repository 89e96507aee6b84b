"""Laws of the model for adversarial inputs: reproducible bits, sums, bounds, and snapshots without effect."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.learning.bayesian_logistic import BayesianLogisticRegression
from models.learning.champion_challenger import ChampionSelector
from models.learning.model import Model
from models.learning.prior import trust
from models.learning.scaler import CLIP, Scaler
from tests.models.worlds import NAMES, space, trained_model, world

SIZE = len(NAMES)

HOSTILE = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 1e-9, 1e9]),
    st.floats(-5, 5),
    st.floats(allow_nan=True, allow_infinity=True),
)
"""Any value that a feature could have if its transform were wrong, mixed with ordinary values."""


def matrix(rows: st.SearchStrategy[int] | int) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(rows, st.just(SIZE)) if not isinstance(rows, int) else (rows, SIZE)
    return hnp.arrays(np.float64, shape, elements=HOSTILE)


ROW = hnp.arrays(np.float64, SIZE, elements=HOSTILE)
EXAMPLE = st.tuples(ROW, ROW, st.booleans(), st.integers(0, 400))


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Create an untrained model, one with few labels, one with many, and one whose challenger is active."""
    made = {
        "new": Model(space()),
        "young": trained_model(30),
        "grown": trained_model(1500),
        "challenged": trained_model(300),
    }
    made["challenged"].selector.active = "challenger"
    made["challenged"]._scorer = None
    return made


WHICH = st.sampled_from(["new", "young", "grown", "challenged"])


@settings(max_examples=200, deadline=None)
@given(which=WHICH, x=matrix(23), m=matrix(23), data=st.data())
def test_a_row_has_the_same_bits_in_any_batch(
    models: dict[str, Model], which: str, x: np.ndarray, m: np.ndarray, data: st.DataObject
) -> None:
    whole = models[which].score(x, m)
    start = data.draw(st.integers(0, 22))
    stop = data.draw(st.integers(start + 1, 23))
    part = models[which].score(x[start:stop], m[start:stop])
    assert part.log_odds.tobytes() == whole.log_odds[start:stop].tobytes()
    assert part.probability.tobytes() == whole.probability[start:stop].tobytes()
    assert part.ci90().tobytes() == whole.ci90()[start:stop].tobytes()
    assert part.contributions().tobytes() == whole.contributions()[start:stop].tobytes()
    assert part.members().tobytes() == whole.members()[start:stop].tobytes()


@pytest.mark.parametrize("which", ["new", "young", "grown", "challenged"])
@pytest.mark.parametrize("batch", [1, 3, 17, 500])
def test_batches_of_1_3_17_and_500_agree_bit_for_bit(models: dict[str, Model], which: str, batch: int) -> None:
    """Rule: this also holds for arrays whose rows are not contiguous in memory."""
    test = world(500, seed=20)
    whole = models[which].score(test.x, test.m)
    interval = whole.ci90()
    spread_x, spread_m = np.asfortranarray(test.x), np.asfortranarray(test.m)
    for start in range(0, 500, max(batch, 7)):
        rows = slice(start, start + batch)
        part = models[which].score(spread_x[rows], spread_m[rows])
        assert part.log_odds.tobytes() == whole.log_odds[rows].tobytes()
        assert part.ci90().tobytes() == interval[rows].tobytes()


@settings(max_examples=200, deadline=None)
@given(which=WHICH, x=matrix(5), m=matrix(5))
def test_every_score_is_bounded_and_explained(
    models: dict[str, Model], which: str, x: np.ndarray, m: np.ndarray
) -> None:
    scores = models[which].score(x, m)
    interval, parts = scores.ci90(), scores.contributions()
    assert ((scores.probability > 0.0) & (scores.probability < 1.0)).all()
    assert (interval[:, 0] <= scores.probability).all()
    assert (scores.probability <= interval[:, 1]).all()
    assert (scores.variance() >= 0.0).all()
    assert np.isfinite(parts).all()
    np.testing.assert_allclose(parts.sum(axis=1) + scores.bias(), scores.log_odds, atol=1e-9)
    assert ((scores.members() > 0.0) & (scores.members() < 1.0)).all()


@settings(max_examples=120, deadline=None)
@given(examples=st.lists(EXAMPLE, min_size=1, max_size=25), probability=HOSTILE)
def test_no_example_can_break_the_model(
    examples: list[tuple[np.ndarray, np.ndarray, bool, int]], probability: float
) -> None:
    """Rule: for any values, levels, days and frozen probabilities, P stays a covariance and all numbers are finite."""
    model = Model(space())
    for x, m, y, day in examples:
        model.learn(x, m, y, day, probability)
    covariance = model.champion.classifier.covariance
    assert np.isfinite(covariance).all()
    assert np.linalg.eigvalsh(covariance).min() > 0.0
    assert np.isfinite(model.champion.classifier.weights).all()
    assert model.champion.classifier.restarts == 0
    restored = Model.restore(model.snapshot(), model.space)
    assert restored.snapshot() == model.snapshot()


@settings(max_examples=80, deadline=None)
@given(
    before=st.lists(EXAMPLE, max_size=12),
    after=st.lists(EXAMPLE, min_size=1, max_size=8),
    x=matrix(3),
    m=matrix(3),
)
def test_snapshot_and_restore_change_no_bit(before: list[Any], after: list[Any], x: np.ndarray, m: np.ndarray) -> None:
    one = Model(space())
    for features, level, y, day in before:
        one.learn(features, level, y, day)
    two = Model.restore(one.snapshot(), one.space)
    assert two.score(x, m).log_odds.tobytes() == one.score(x, m).log_odds.tobytes()
    assert two.score(x, m).ci90().tobytes() == one.score(x, m).ci90().tobytes()
    for features, level, y, day in after:
        one.learn(features, level, y, day)
        two.learn(features, level, y, day)
    assert two.snapshot() == one.snapshot()
    assert two.score(x, m).log_odds.tobytes() == one.score(x, m).log_odds.tobytes()


@settings(max_examples=200, deadline=None)
@given(rows=matrix(st.integers(1, 30)), probe=ROW)
def test_scaler_is_bounded_and_never_nan(rows: np.ndarray, probe: np.ndarray) -> None:
    scaler = Scaler(SIZE)
    for row in np.clip(rows, -1e9, 1e9):
        z = scaler.learn(row)
        assert (np.abs(z) <= CLIP).all()
    z = scaler.transform(np.clip(probe, -1e9, 1e9))
    assert (np.abs(z) <= CLIP).all()
    assert (z[scaler.sd == 0.0] == 0.0).all()
    assert Scaler.restore(scaler.state()).state() == scaler.state()


@settings(max_examples=120, deadline=None)
@given(
    examples=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdef"), HOSTILE), st.booleans(), st.none() | st.integers(0, 10**6)
        ),
        min_size=1,
        max_size=40,
    )
)
def test_classifier_accepts_any_dictionary(examples: list[tuple[dict[Hashable, float], bool, int | None]]) -> None:
    model = BayesianLogisticRegression()
    for x, y, day in examples:
        p = model.predict_proba_one(x)
        assert 0.0 < p[True] < 1.0
        assert p[True] + p[False] == pytest.approx(1.0)
        variance = model.variance_one(x)
        assert variance >= -1e-6 * max(1.0, abs(variance))
        model.learn_one(x, y, day=day)
    assert np.isfinite(model.covariance).all()
    assert (model.covariance == model.covariance.T).all()


@settings(max_examples=200, deadline=None)
@given(judged=st.lists(st.tuples(st.booleans(), *[HOSTILE] * 4), max_size=30))
def test_champion_selection_accepts_any_probability(judged: list[tuple[bool, float, float, float, float]]) -> None:
    contest = ChampionSelector()
    for day, (y, *probabilities) in enumerate(judged):
        contest.update(y, day, *probabilities)
    if judged:
        assert all(0.0 <= loss <= 17.0 for loss in contest.losses.values())
    assert ChampionSelector.restore(contest.state()).state() == contest.state()


@given(labels=st.integers(0, 10**12), more=st.integers(1, 10**6))
def test_trust_only_grows_with_labels(labels: int, more: int) -> None:
    assert 0.0 <= trust(labels) <= trust(labels + more) <= 1.0
