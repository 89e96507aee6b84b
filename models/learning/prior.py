"""The prior: a transparent score of recency that ranks customers before labels have matured.

The prior also sets the weight of the learned model: log-odds are blended with ``w = n / (n + k)`` (`trust`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learning.bayesian_logistic import sigmoid
from models.learning.feature_space import FeatureSpace
from models.learning.linear_predictor import LinearPredictor
from models.learning.scaler import CLIP

BASE_RATE = 0.1
"""Prior share of customers who churn within the horizon."""

BASE_VARIANCE = 1.0
"""Variance of the log-odds of the base rate: worth about 11 labels, 1 / (0.1 * 0.9). Logs range from 0.01 to 0.8."""

BASE_DRIFT = 1e-4
"""Variance that the base rate gains per label, so that it follows drift: a memory of about 300 labels at a rate of
0.1."""

TRUST_LABELS = 200
"""k of w = n / (n + k). The learned weights start at 0 with a tight prior of their own, so they can count early."""

LOG_ODDS_VARIANCE = 1.0
"""Variance of the log-odds of the prior alone, which comes from other businesses: its odds are right within a factor of
five nine times out of ten."""


@dataclass(frozen=True)
class PriorTerm:
    """One term of the prior: `weight` log-odds for each `scale` that the feature lies above `centre`."""

    feature: str
    centre: float
    scale: float
    weight: float


TERMS = (
    PriorTerm("overdue_ratio", centre=0.7, scale=0.5, weight=0.5),
    PriorTerm("recency_days", centre=2.0, scale=1.2, weight=0.5),
)
"""Recency and recency relative to the customer's own rhythm. Both features are log1p: a gap as long as usual is
log 2 = 0.7, and 2.0 is 6 days. A term is dropped if its feature is not in the catalogue."""


class Prior:
    """A score with fixed terms and a learned base rate: log-odds = base + sum of terms.

    The base is a logistic regression with one weight, `base ~ N(b, v)`, offset by the terms. It starts at 10% and
    converges to the observed rate of matured labels, so that the mean of the prior is calibrated.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "overdue_ratio"), (False, False), "c0ffee")
    >>> prior = Prior(space)
    >>> quiet, lively = np.array([3.4, 2.3]), np.array([0.7, 0.2])
    >>> round(prior.probability(quiet), 3), round(prior.probability(lively), 3)
    (0.497, 0.038)
    >>> for i in range(200):
    ...     _ = prior.learn(lively, i % 2 == 0)
    >>> round(prior.probability(lively), 2)
    0.49
    """

    def __init__(self, space: FeatureSpace, terms: tuple[PriorTerm, ...] = TERMS, base_rate: float = BASE_RATE) -> None:
        self.space = space
        self.terms = tuple(term for term in terms if term.feature in space.names)
        self._columns = [space.names.index(term.feature) for term in self.terms]
        self.base = math.log(base_rate / (1.0 - base_rate))
        self.variance = BASE_VARIANCE

    def score(self, values: NDArray[np.float64]) -> float:
        """Sum of the terms; a missing feature adds nothing."""
        total = 0.0
        for term, column in zip(self.terms, self._columns, strict=True):
            z = (values[column] - term.centre) / term.scale
            if z == z:
                total += term.weight * min(max(z, -CLIP), CLIP)
        return float(total)

    def probability(self, values: NDArray[np.float64]) -> float:
        """Probability of one customer by the prior alone."""
        return sigmoid(self.base + self.score(values))

    def learn(self, values: NDArray[np.float64], y: bool) -> float:
        """Move the base rate towards one matured label. Return the log-odds predicted before."""
        log_odds = self.base + self.score(values)
        p = sigmoid(log_odds)
        h = p * (1.0 - p)
        self.variance += BASE_DRIFT
        d = 1.0 + h * self.variance
        self.base -= self.variance * (p - y) / d
        self.variance /= d
        return log_odds

    def linear(self) -> LinearPredictor:
        """Return the prior as weights on values."""
        size = len(self.space.value_names)
        centre, inverse, weight = np.zeros(size), np.zeros(size), np.zeros(size)
        for term, column in zip(self.terms, self._columns, strict=True):
            centre[column], inverse[column], weight[column] = term.centre, 1.0 / term.scale, term.weight
        return LinearPredictor(centre, inverse, weight, np.zeros(size), self.base)

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`. The terms are part of the program, not of the model snapshot."""
        return {"base": self.base, "variance": self.variance}

    @classmethod
    def restore(cls, space: FeatureSpace, state: Mapping[str, Any]) -> Prior:
        """Return the prior that `state` was taken from."""
        prior = cls(space)
        prior.base, prior.variance = state["base"], state["variance"]
        return prior


def trust(labels: int) -> float:
    """Weight of the learned model against the prior: w = n / (n + k).

    >>> trust(0), trust(200), round(trust(20_000), 3)
    (0.0, 0.5, 0.99)
    """
    return labels / (labels + TRUST_LABELS)
