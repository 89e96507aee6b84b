"""The model as a whole: honest judging, quality, and who answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.learning.champion_challenger import log_loss
from models.learning.model import Model
from tests.models.worlds import NAMES, space, taught, teach, world


def test_each_member_is_judged_by_what_it_said_when_the_snapshot_was_taken() -> None:
    model = Model(space())
    x = np.zeros(len(NAMES))
    model.learn(x, x, True, 1, probability=0.4, members=(0.5, 0.25, 0.125))
    losses = [log_loss(p, True) for p in (0.5, 0.25, 0.125, 0.4)]
    quality = model.quality
    assert [quality.champion, quality.challenger, quality.prior, quality.answer] == pytest.approx(losses)


def test_without_frozen_probabilities_it_is_judged_by_what_it_says_before_learning() -> None:
    """The figures are those of a score taken just before, but for one example in the scaler."""
    model, lessons = taught(800), world(200, seed=5)
    said = []
    for i in range(200):
        said.append(model.score(lessons.x[i], lessons.m[i]).members()[0])
        model.learn(lessons.x[i], lessons.m[i], bool(lessons.y[i]), 16 + int(lessons.day[i]))
    told = taught(800)
    for i in range(200):
        told.learn(lessons.x[i], lessons.m[i], bool(lessons.y[i]), 16 + int(lessons.day[i]), said[i][0], said[i])
    assert told.quality.champion == pytest.approx(model.quality.champion, rel=1e-3)
    assert told.quality.challenger == pytest.approx(model.quality.challenger, rel=1e-3)
    assert told.quality.prior == pytest.approx(model.quality.prior, rel=1e-9)


def test_quality_before_any_label_says_that_nothing_is_known() -> None:
    quality = Model(space()).quality
    assert math.isnan(quality.answer)
    assert (quality.labels, quality.positives, quality.trust, quality.answering) == (0, 0, 0.0, "champion")


def test_the_champion_is_better_than_the_prior_when_it_has_seen_enough() -> None:
    quality = taught(3000).quality
    assert quality.champion < quality.challenger < quality.prior
    assert quality.labels == 3000
    assert 0 < quality.positives < 3000


def test_a_champion_that_fails_is_replaced_and_the_answer_changes() -> None:
    """Frozen probabilities say that the challenger was right: after the settling time it answers."""
    model, lessons = Model(space()), world(1200, seed=6)
    for i in range(1200):
        y = bool(lessons.y[i])
        good = 0.8 if y else 0.2
        model.learn(lessons.x[i], lessons.m[i], y, i // 30, 0.5, (0.5, good, 0.5))
    assert model.quality.answering == model.scorer().answering == "challenger"
    assert model.quality.switches[0].labels == 1020
    scores = model.score(lessons.x, lessons.m)
    np.testing.assert_array_equal(scores.members()[:, 1].round(12), scores.probability.round(12))


@pytest.mark.law
def test_a_level_that_moves_for_everybody_is_not_read_as_churn() -> None:
    """A holiday makes everybody silent: levels fall together, and the mean probability stays nearer to the truth."""
    rng = np.random.default_rng(8)
    n = 4000
    own = rng.normal(size=n)
    holiday = np.where((np.arange(n) // 500) % 2 == 1, -2.0, 0.0)
    y = rng.random(n) < 1 / (1 + np.exp(1.5 + own))
    told, blind = Model(space()), Model(space())
    for i in range(n):
        x, m = np.full(len(NAMES), np.nan), np.full(len(NAMES), np.nan)
        x[2] = own[i] + holiday[i]
        blind.learn(x, m, bool(y[i]), i // 50)
        m[2] = holiday[i]
        told.learn(x, m, bool(y[i]), i // 50)
    assert told.quality.champion < blind.quality.champion - 0.005


def test_learning_is_a_function_of_the_examples_in_order() -> None:
    lessons = world(200, seed=7)
    one, two = teach(Model(space()), lessons), teach(Model(space()), lessons)
    assert one.version == two.version
    reverse = Model(space())
    for i in reversed(range(200)):
        reverse.learn(lessons.x[i], lessons.m[i], bool(lessons.y[i]), 4)
    assert reverse.version != one.version
