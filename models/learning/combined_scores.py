"""Combine the scores of voluntary and involuntary churn: total probability, interval and contributions.

The total probability is the sum of both (`models.definition.competing_risks`). The contribution of a feature to its
log-odds is the sum of its contributions to both causes, each weighted by the cause's share of the probability. The
share is the derivative of ln p with respect to ln p of the cause. So the weighting is exact for small probabilities,
and where one cause dominates, its contributions remain. The remainder is in the bias, so that contributions and bias
add up to the log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.definition.competing_risks import Horizons, involuntary_dominates
from models.learning.bayesian_logistic import LOG_ODDS_LIMIT
from models.learning.scorer import ALL, Z90, Floats, Rows, Scores, sigmoids

HIGHEST = float(sigmoids(np.array([LOG_ODDS_LIMIT]))[0])
"""Upper bound of the total probability: the probabilities of two separate models may add up to more than 1."""


@dataclass(frozen=True)
class CombinedScores:
    """Like `Scores`, for churn by either cause; each row has the same bits in any batch.

    Attributes:
        probability, log_odds: Total over both causes, (n,).
        voluntary, involuntary: Scores of each cause.
        billing: Whether involuntary churn is the larger risk, (n,).
    """

    probability: Floats
    log_odds: Floats
    voluntary: Scores
    involuntary: Scores
    billing: NDArray[np.bool_]
    _shares: tuple[Floats, Floats]

    @classmethod
    def of(cls, voluntary: Scores, involuntary: Scores, horizons: Horizons) -> CombinedScores:
        """Combine the scores of both causes for the same n customers."""
        p, q = voluntary.probability, involuntary.probability
        total = p + q
        together = np.minimum(total, HIGHEST)
        log_odds = np.log(together / (1.0 - together))
        return cls(
            together, log_odds, voluntary, involuntary, involuntary_dominates(p, q, horizons), (p / total, q / total)
        )

    @property
    def model(self) -> str:
        """Version of the model."""
        return self.voluntary.model

    def variance(self, rows: Rows = ALL) -> Floats:
        """Variance of the log-odds; the two models are learned independently."""
        share, other = self._shares
        voluntary, involuntary = self.voluntary.variance(rows), self.involuntary.variance(rows)
        return share[rows] ** 2 * voluntary + other[rows] ** 2 * involuntary

    def ci90(self, rows: Rows = ALL) -> Floats:
        """90% interval of the probability, (n, 2)."""
        half = Z90 * np.sqrt(self.variance(rows))
        log_odds = self.log_odds[rows]
        return np.stack([sigmoids(log_odds - half), sigmoids(log_odds + half)], axis=1)

    def contributions(self, rows: Rows = ALL) -> Floats:
        """Contribution of each feature to the log-odds, (n, d)."""
        share, other = (shares[rows][:, None] for shares in self._shares)
        parts: Floats = share * self.voluntary.contributions(rows) + other * self.involuntary.contributions(rows)
        return parts

    def bias(self, rows: Rows = ALL) -> Floats:
        """The part of the log-odds that no feature contributes, (n,)."""
        share, other = (shares[rows] for shares in self._shares)
        voluntary, involuntary = self.voluntary, self.involuntary
        remainder: Floats = self.log_odds[rows] - share * (voluntary.log_odds[rows] - voluntary.bias(rows))
        remainder -= other * (involuntary.log_odds[rows] - involuntary.bias(rows))
        return remainder


class CauseScorer(Protocol):
    """A scorer of one cause."""

    def score(self, x: Floats, m: Floats) -> Scores: ...


class BothCausesScorer(CauseScorer, Protocol):
    """A scorer of voluntary churn that also has a scorer of involuntary churn."""

    @property
    def involuntary(self) -> CauseScorer: ...


def score_both(scorer: BothCausesScorer, x: Floats, m: Floats, horizons: Horizons) -> CombinedScores:
    """Score both causes from raw features (n, d) and peer means (n, d); see `Scorer.score`."""
    return CombinedScores.of(scorer.score(x, m), scorer.involuntary.score(x, m), horizons)
