"""Generated customers with known weights, for the tests of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.learning.feature_space import FeatureSpace
from models.learning.model import Model

NAMES = ("recency_days", "overdue_ratio", "events_7d", "events_30d", "tenure_days", "mrr", "tickets_open", "never")


def space(size: int = len(NAMES)) -> FeatureSpace:
    names = NAMES[:size] + tuple(f"feature_{i}" for i in range(size - len(NAMES)))
    return FeatureSpace(names, tuple(i % 3 != 1 for i in range(size)), "c0ffee")


@dataclass
class World:
    """n customers with features x, peer means m, true log-odds, and labels drawn from them, 50 per day."""

    x: np.ndarray
    m: np.ndarray
    log_odds: np.ndarray
    y: np.ndarray
    day: np.ndarray


def world(n: int, seed: int = 1, size: int = len(NAMES), strength: float = 0.5, missing: float = 0.05) -> World:
    """Weights are normal with sd `strength`; the last feature never varies, some values are missing."""
    # the weights depend on seed and size, not on n: worlds of any length share the same truth
    weights = np.random.default_rng((seed, size)).normal(size=size) * strength
    rng = np.random.default_rng((seed, size, n))
    x = rng.normal(size=(n, size))
    x[:, -1] = 7.0
    log_odds = -1.5 + x[:, :-1] @ weights[:-1]
    y = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    x[rng.random(x.shape) < missing] = np.nan
    day = np.arange(n) // 50
    m = np.where(np.array(space(size).relative), 0.3 * np.sin(day / 9)[:, None], np.nan)
    return World(x, m, log_odds, y, day)


def train(model: Model, labelled: World, start: int = 0, stop: int | None = None) -> Model:
    for i in range(start, len(labelled.y) if stop is None else stop):
        model.learn(labelled.x[i], labelled.m[i], bool(labelled.y[i]), int(labelled.day[i]))
    return model


def trained_model(n: int = 1500, seed: int = 1, size: int = len(NAMES), strength: float = 0.5) -> Model:
    return train(Model(space(size)), world(n, seed, size, strength))
