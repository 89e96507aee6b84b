"""Both causes' scores of a batch as one: each probability alone, the two together, and what speaks for them.

Together is a sum (`models.definition.competing_risks`). What features add to its log-odds is what they add to each cause's, by that cause's
share of the probability: the share is the derivative of ln p by ln p of the cause, so where probabilities are small it
is exact, and where one cause dominates its own contributions remain. What is left is in the bias, so that contributions
and bias still add up to the log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.definition.competing_risks import Horizons, involuntary_dominates
from models.learning.bayesian_logistic import LOG_ODDS_LIMIT
from models.learning.scorer import ALL, Z90, Floats, Rows, Scorer, Scores, sigmoids

HIGHEST = float(sigmoids(np.array([LOG_ODDS_LIMIT]))[0])
"""Two models that do not know of each other may add up to more than 1."""


@dataclass(frozen=True)
class CombinedScores:
    """As `Scores`, of a customer being lost by either cause; each row has the same bits in any batch.

    Attributes:
        probability, log_odds: Of both together, (n,).
        voluntary, involuntary: What is said of each cause.
        billing: Whether the payment threatens most, (n,).
    """

    probability: Floats
    log_odds: Floats
    voluntary: Scores
    involuntary: Scores
    billing: NDArray[np.bool_]
    _shares: tuple[Floats, Floats]

    @classmethod
    def of(cls, voluntary: Scores, involuntary: Scores, horizons: Horizons) -> CombinedScores:
        """Both causes' scores of the same n customers."""
        p, q = voluntary.probability, involuntary.probability
        total = p + q
        together = np.minimum(total, HIGHEST)
        log_odds = np.log(together / (1.0 - together))
        return cls(
            together, log_odds, voluntary, involuntary, involuntary_dominates(p, q, horizons), (p / total, q / total)
        )

    @property
    def model(self) -> str:
        """Version of the model that said so."""
        return self.voluntary.model

    def variance(self, rows: Rows = ALL) -> Floats:
        """Of the log-odds, as if the causes' weights were learned apart, which they are."""
        share, other = self._shares
        by_choice, by_card = self.voluntary.variance(rows), self.involuntary.variance(rows)
        return share[rows] ** 2 * by_choice + other[rows] ** 2 * by_card

    def ci90(self, rows: Rows = ALL) -> Floats:
        """90 % interval of the probability, (n, 2)."""
        half = Z90 * np.sqrt(self.variance(rows))
        log_odds = self.log_odds[rows]
        return np.stack([sigmoids(log_odds - half), sigmoids(log_odds + half)], axis=1)

    def contributions(self, rows: Rows = ALL) -> Floats:
        """What each feature adds to the log-odds, (n, d)."""
        share, other = (each[rows][:, None] for each in self._shares)
        parts: Floats = share * self.voluntary.contributions(rows) + other * self.involuntary.contributions(rows)
        return parts

    def bias(self, rows: Rows = ALL) -> Floats:
        """What no feature adds, (n,)."""
        share, other = (each[rows] for each in self._shares)
        by_choice, by_card = self.voluntary, self.involuntary
        left: Floats = self.log_odds[rows] - share * (by_choice.log_odds[rows] - by_choice.bias(rows))
        left -= other * (by_card.log_odds[rows] - by_card.bias(rows))
        return left


def score_both(scorer: Any, x: Floats, m: Floats, horizons: Horizons) -> CombinedScores:
    """Scores of both causes, of raw features (n, d) against population means (n, d); see `Scorer.score`."""
    second: Scorer = scorer.involuntary
    return CombinedScores.of(scorer.score(x, m), second.score(x, m), horizons)
