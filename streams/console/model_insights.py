"""Derive counterfactual probabilities from a score, and influential features from a model snapshot."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson

from models.features.catalogue import FEATURES
from models.learning.feature_space import SPACE
from models.learning.model import Model
from streams.rendering.risk_points import probability_of


class CounterfactualProbability(NamedTuple):
    """The probability without one reason (`alone`), and without this and all earlier reasons (`together`)."""

    sentence: str
    alone: float
    together: float


def counterfactuals(score: dict[str, Any]) -> list[CounterfactualProbability]:
    """Compute the probability if a reason contributed 0 to the log-odds, as for an average customer.

    This is arithmetic on the model. A reason shows where the model sees risk, not what causes it.

    >>> score = {"log_odds": 0.0, "reasons": [{"sentence": "quiet", "contribution": 1.0}]}
    >>> [(round(c.alone, 3), round(c.together, 3)) for c in counterfactuals(score)]
    [(0.269, 0.269)]
    """
    results, removed = [], 0.0
    for reason in score["reasons"]:
        if reason["contribution"] > 0:
            removed += reason["contribution"]
            alone = probability_of(score["log_odds"] - reason["contribution"])
            together = probability_of(score["log_odds"] - removed)
            results.append(CounterfactualProbability(reason["sentence"], alone, together))
    return results


class FeatureInfluence(NamedTuple):
    """A feature, and the change in log-odds per standard deviation of it."""

    name: str
    sentence: str
    weight: float


def most_influential(snapshot: bytes, count: int = 12) -> list[FeatureInfluence]:
    """Features by their weight in the active model; weights of raw and relative values of one feature are added up.

    Raises:
        ModelSnapshotError: this release cannot read the snapshot.
    """
    model = Model.restore(snapshot, SPACE)
    member = model.champion if model.selector.active == "champion" else model.challenger
    linear = member.linear()
    weights = np.where(linear.inverse != 0.0, linear.weight + linear.hinge / 2, 0.0)
    by_feature = np.bincount(SPACE.owner, weights, SPACE.size)
    largest = np.argsort(-np.abs(by_feature), kind="stable")[:count]
    return [
        FeatureInfluence(FEATURES[i].name, FEATURES[i].sentence, float(by_feature[i]))
        for i in largest
        if by_feature[i] != 0.0
    ]


def snapshot_version(snapshot: bytes) -> str:
    """The model version in a snapshot."""
    return str(orjson.loads(snapshot).get("version", "unknown"))


class ModelFigures(NamedTuple):
    """What the page shows of a snapshot. `published_ms` is the record's timestamp."""

    published_ms: int
    version: str
    influences: list[FeatureInfluence]


def model_figures(record: Any) -> ModelFigures:
    """Derive the figures of a record of the model topic. Raises as `most_influential`."""
    return ModelFigures(record.timestamp, snapshot_version(record.value), most_influential(record.value))
