"""What follows from what is published: what would lower a score, and which features tell the model most."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import orjson

from models.features.catalogue import FEATURES
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError


class CounterfactualProbability(NamedTuple):
    """The probability if one reason weighed nothing, all else as it is; and if none of those so far did."""

    sentence: str
    alone: float
    together: float


def counterfactuals(score: dict[str, Any]) -> list[CounterfactualProbability]:
    """Each raising reason at its baseline: its contribution to the log-odds is that of somebody average, 0.

    Arithmetic on the model, and no promise: a reason is where the model sees risk, not what causes it.

    >>> score = {"log_odds": 0.0, "reasons": [{"sentence": "quiet", "contribution": 1.0}]}
    >>> [(round(one.alone, 3), round(one.together, 3)) for one in counterfactuals(score)]
    [(0.269, 0.269)]
    """
    found, taken = [], 0.0
    for reason in score["reasons"]:
        if reason["contribution"] > 0:
            taken += reason["contribution"]
            alone = _sigmoid(score["log_odds"] - reason["contribution"])
            found.append(CounterfactualProbability(reason["sentence"], alone, _sigmoid(score["log_odds"] - taken)))
    return found


class FeatureInfluence(NamedTuple):
    """A feature and how far one standard deviation of it moves the log-odds."""

    name: str
    sentence: str
    weight: float


def most_influential(snapshot: bytes, count: int = 12) -> list[FeatureInfluence]:
    """Features by the weight of whoever answers; raw and relative values of one feature are added up.

    A snapshot of another release tells nothing here: the list is empty.
    """
    try:
        model = Model.restore(snapshot, SPACE)
    except ModelSnapshotError:
        return []
    member = model.champion if model.selector.active == "champion" else model.challenger
    linear = member.linear()
    weights = np.where(linear.inverse != 0.0, linear.weight + linear.hinge / 2, 0.0)
    by_feature = np.bincount(SPACE.owner, weights, SPACE.size)
    loudest = np.argsort(-np.abs(by_feature), kind="stable")[:count]
    return [
        FeatureInfluence(FEATURES[i].name, FEATURES[i].sentence, float(by_feature[i]))
        for i in loudest
        if by_feature[i] != 0.0
    ]


def snapshot_version(snapshot: bytes) -> str:
    """The version that a snapshot names."""
    return str(orjson.loads(snapshot).get("version", "unknown"))


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
