"""The whole model: prequential quality and the active model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.learning.champion_challenger import log_loss
from models.learning.model import Model
from tests.models.worlds import NAMES, space, train, trained_model, world


def test_losses_are_those_of_the_frozen_probabilities() -> None:
    model = Model(space())
    x = np.zeros(len(NAMES))
    model.learn(x, x, True, 1, probability=0.4, members=(0.5, 0.25, 0.125))
    losses = [log_loss(p, True) for p in (0.5, 0.25, 0.125, 0.4)]
    quality = model.quality
    assert [quality.champion, quality.challenger, quality.prior, quality.answer] == pytest.approx(losses)


def test_without_frozen_probabilities_losses_are_those_of_predictions_before_learning() -> None:
    """The losses equal those of a score computed just before, up to one example in the scaler."""
    model, labelled = trained_model(800), world(200, seed=5)
    members = []
    for i in range(200):
        members.append(model.score(labelled.x[i], labelled.m[i]).members()[0])
        model.learn(labelled.x[i], labelled.m[i], bool(labelled.y[i]), 16 + int(labelled.day[i]))
    frozen = trained_model(800)
    for i in range(200):
        day = 16 + int(labelled.day[i])
        frozen.learn(labelled.x[i], labelled.m[i], bool(labelled.y[i]), day, members[i][0], members[i])
    assert frozen.quality.champion == pytest.approx(model.quality.champion, rel=1e-3)
    assert frozen.quality.challenger == pytest.approx(model.quality.challenger, rel=1e-3)
    assert frozen.quality.prior == pytest.approx(model.quality.prior, rel=1e-9)


def test_quality_is_undefined_before_the_first_label() -> None:
    quality = Model(space()).quality
    assert math.isnan(quality.answer)
    assert (quality.labels, quality.positives, quality.trust, quality.active) == (0, 0, 0.0, "champion")


def test_champion_beats_challenger_and_prior_after_3000_labels() -> None:
    quality = trained_model(3000).quality
    assert quality.champion < quality.challenger < quality.prior
    assert quality.labels == 3000
    assert 0 < quality.positives < 3000


def test_failing_champion_is_replaced_and_the_score_changes() -> None:
    """By the frozen probabilities the challenger is better: after the minimum time it becomes active."""
    model, labelled = Model(space()), world(1200, seed=6)
    for i in range(1200):
        y = bool(labelled.y[i])
        good = 0.8 if y else 0.2
        model.learn(labelled.x[i], labelled.m[i], y, i // 30, 0.5, (0.5, good, 0.5))
    assert model.quality.active == model.scorer().active == "challenger"
    assert model.quality.switches[0].labels == 1020
    scores = model.score(labelled.x, labelled.m)
    np.testing.assert_array_equal(scores.members()[:, 1].round(12), scores.probability.round(12))


@pytest.mark.law
def test_change_of_all_customers_is_not_read_as_churn() -> None:
    """On a holiday all customers are less active: with peer means the model's log loss is lower."""
    rng = np.random.default_rng(8)
    n = 4000
    own = rng.normal(size=n)
    holiday = np.where((np.arange(n) // 500) % 2 == 1, -2.0, 0.0)
    y = rng.random(n) < 1 / (1 + np.exp(1.5 + own))
    with_peers, without_peers = Model(space()), Model(space())
    for i in range(n):
        x, m = np.full(len(NAMES), np.nan), np.full(len(NAMES), np.nan)
        x[2] = own[i] + holiday[i]
        without_peers.learn(x, m, bool(y[i]), i // 50)
        m[2] = holiday[i]
        with_peers.learn(x, m, bool(y[i]), i // 50)
    assert with_peers.quality.champion < without_peers.quality.champion - 0.005


def test_model_is_a_function_of_the_examples_in_order() -> None:
    labelled = world(200, seed=7)
    first, second = train(Model(space()), labelled), train(Model(space()), labelled)
    assert first.version == second.version
    reverse = Model(space())
    for i in reversed(range(200)):
        reverse.learn(labelled.x[i], labelled.m[i], bool(labelled.y[i]), 4)
    assert reverse.version != first.version
