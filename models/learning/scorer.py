"""Batch scoring: probability, 90% interval and contributions of many customers in one vectorised product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.learning.bayesian_logistic import COHORT, LOG_ODDS_LIMIT
from models.learning.champion import Champion
from models.learning.feature_space import FeatureSpace
from models.learning.linear_predictor import LinearPredictor
from models.learning.prior import LOG_ODDS_VARIANCE, Prior, trust
from models.learning.scaler import standardise

Floats = NDArray[np.float64]
Rows = NDArray[np.intp] | slice | list[int]

ALL = slice(None)

_BLOCK_ROWS = 256
"""Rows per block: their intermediate results stay in the CPU cache between steps."""

Z90 = 1.6448536269514722
"""Half-width of the central 90% interval of a normal distribution, in standard deviations."""


def _rows(values: Floats) -> Floats:
    return np.atleast_2d(np.asarray(values, dtype=np.float64))


def sigmoids(log_odds: Floats) -> Floats:
    """Probabilities of log-odds, elementwise over contiguous memory, so that a row has the same bits in any batch."""
    bounded = np.minimum(np.maximum(log_odds, -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)
    return 1.0 / (1.0 + np.exp(-np.ascontiguousarray(bounded)))


@dataclass(frozen=True)
class Scores:
    """Scores of a batch of customers; each row has the same bits in any batch.

    Attributes
    ----------
    probability, log_odds
        Probability and log-odds of each customer, (n,).
    model
        Version of the model.
    """

    probability: Floats
    log_odds: Floats
    model: str
    _scorer: Scorer
    _values: Floats
    _terms: Floats

    def variance(self, rows: Rows = ALL) -> Floats:
        """Variance of the log-odds, (n,): smaller with more labels of similar customers.

        It is by far the most expensive part of a score: compute it only for rows that show it.
        """
        return self._scorer._variance(self._values[rows])

    def ci90(self, rows: Rows = ALL) -> Floats:
        """90% interval of the probability, (n, 2): sigma(log-odds -+ 1.645 sd)."""
        half = Z90 * np.sqrt(self.variance(rows))
        log_odds = self.log_odds[rows]
        return np.stack([sigmoids(log_odds - half), sigmoids(log_odds + half)], axis=1)

    def contributions(self, rows: Rows = ALL) -> Floats:
        """Contribution of each feature to the log-odds, (n, d): the sum of its raw, relative and hinge terms."""
        return self._scorer._by_feature(self._terms[rows])

    def bias(self, rows: Rows = ALL) -> Floats:
        """Log-odds of an average customer, (n,): contributions and bias add up to the log-odds."""
        total = np.add.reduce(self._terms[rows], axis=1)
        log_odds = self.log_odds[rows]
        exact = self._scorer.bias
        return np.where(np.abs(log_odds) < LOG_ODDS_LIMIT, exact, log_odds - total)

    def members(self, rows: Rows = ALL) -> Floats:
        """Probabilities by champion, challenger and the prior alone, (n, 3).

        They are frozen with a training snapshot: their log losses decide which model is active.
        """
        return self._scorer._members(self._values[rows])

    def top_contributions(self, row: int, count: int = 5) -> list[tuple[str, float]]:
        """Return the most influential features for one customer, by absolute contribution."""
        contributions = self.contributions([row])[0]
        largest = np.argsort(-np.abs(contributions), kind="stable")[:count]
        return [(self._scorer.space.names[i], float(contributions[i])) for i in largest if contributions[i] != 0.0]


class LinearMember(Protocol):
    """A model with weights on scaled values."""

    def linear(self) -> LinearPredictor: ...


class Scorer:
    """An immutable view of a model for scoring.

    ``log-odds = w * active + (1 - w) * prior`` with ``w = n / (n + k)``. Blending log-odds keeps the contributions
    additive.

    Scoring uses no BLAS and no function whose bits depend on the position of a row: products are elementwise, followed
    by a sum along each contiguous row. `X @ w` differs in the last bit with the size of the batch.

    The interval comes from the champion's covariance, even while the challenger is active: it measures the evidence of
    labels of similar customers, for which stochastic gradient descent has no measure.
    """

    def __init__(
        self,
        space: FeatureSpace,
        champion: Champion,
        challenger: LinearMember,
        prior: Prior,
        active: str,
        labels: int,
        version: str,
    ) -> None:
        self.space = space
        self.version = version
        self.labels = labels
        self.active = active
        self.trust = trust(labels)
        members = (champion.linear(), challenger.linear(), prior.linear())
        # only values that a member uses: on most logs many features never vary
        columns = np.flatnonzero(members[0].used() | members[1].used() | members[2].used())
        self._columns = columns
        self._owner = space.owner[columns]
        self._raw = int(np.searchsorted(columns, space.size))
        self._relative = self._owner[self._raw :]
        self._members_on_columns = tuple(member.take(columns) for member in members)
        self._active_predictor = members[0 if active == "champion" else 1].take(columns, self.trust)
        self._prior_columns = np.flatnonzero(members[2].used()[columns])
        self._prior = members[2].take(columns[self._prior_columns], 1.0 - self.trust)
        self.bias = self._active_predictor.bias + self._prior.bias
        self._keep_covariance(champion)

    def score(self, x: Floats, m: Floats) -> Scores:
        """Score raw features (n, d), NaN for missing, against peer means (n, d), NaN for unknown."""
        x, m = _rows(x), _rows(m)
        values, terms = np.empty((2, len(x), len(self._owner)))
        for start in range(0, len(x), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            values[block] = block_values = self.space.some_values(x[block], m[block], self._owner, self._raw)
            terms[block] = self._active_predictor.terms(block_values)
            if len(self._prior_columns):
                terms[block, self._prior_columns] += self._prior.terms(block_values.take(self._prior_columns, axis=1))
        log_odds = np.add.reduce(terms, axis=1) + self.bias
        np.minimum(np.maximum(log_odds, -LOG_ODDS_LIMIT, out=log_odds), LOG_ODDS_LIMIT, out=log_odds)
        return Scores(sigmoids(log_odds), log_odds, self.version, self, values, terms)

    def drift(self, level: Floats) -> float | None:
        """Return the drift of the features since training, in standard deviations.

        The drift is the root mean square, over the raw features that the model uses, of (level - mean) / sd. 0 means no
        drift; 1 means that today's average customer is one standard deviation off the training mean in every feature.

        Args:
            level: Current mean of each feature (d,), NaN for unknown.

        Returns:
            The drift, None if no label was learned or no mean is known.
        """
        champion = self._members_on_columns[0]
        raw = level.take(self._owner[: self._raw])
        z = (raw - champion.centre[: self._raw]) * champion.inverse[: self._raw]
        known = z[(z == z) & (champion.inverse[: self._raw] != 0.0)]
        return float(np.sqrt(np.mean(known * known))) if len(known) else None

    def contributions(self, x: Floats, m: Floats) -> Floats:
        """Contribution of each feature to the log-odds, (n, d)."""
        return self.score(x, m).contributions()

    def _members(self, values: Floats) -> Floats:
        champion, challenger, prior = (member.log_odds(values) for member in self._members_on_columns)
        w = self.trust
        blended = (w * champion + (1.0 - w) * prior, w * challenger + (1.0 - w) * prior, prior)
        return np.stack([sigmoids(log_odds) for log_odds in blended], axis=1)

    def _by_feature(self, terms: Floats) -> Floats:
        contributions = np.zeros((len(terms), self.space.size))
        contributions[:, self._owner[: self._raw]] = terms[:, : self._raw]
        contributions[:, self._relative] += terms[:, self._raw :]
        return contributions

    def _keep_covariance(self, champion: Champion) -> None:
        """Keep P without the cohort (its input is 0 when predicting), and the mapping from values to inputs of P."""
        self._covariance = np.delete(np.delete(champion.classifier.covariance, COHORT, 0), COHORT, 1)
        size = len(self.space.value_names)
        inputs = champion.input_columns
        value = np.where(inputs < size, inputs, inputs - size)
        hinged = inputs >= size
        # a value without any weight is not among the columns; its input is constant 0
        index = np.searchsorted(self._columns, value)
        known = (index < len(self._columns)) & (self._columns.take(index, mode="clip") == value)
        self._input_column = np.where(known, index, 0)
        self._input_scale = np.where(known, np.where(hinged, 1.0, self.space.value_scale[value]), 0.0)
        self._input_floor = np.where(hinged, 0.0, -np.inf)

    def _variance(self, values: Floats) -> Floats:
        """x' P x of each row, blended with the prior's variance. Row by row, independent of the size of the batch."""
        champion = self._members_on_columns[0]
        z = standardise(values, champion.centre, champion.inverse)
        inputs = np.ones((len(values), len(self._covariance)))
        np.maximum(z.take(self._input_column, axis=1) * self._input_scale, self._input_floor, out=inputs[:, 1:])
        variance = np.empty(len(values))
        product = np.empty(len(self._covariance))
        for i, row in enumerate(inputs):
            np.einsum("ij,j->i", self._covariance, row, out=product)
            product *= row
            variance[i] = np.add.reduce(product)
        learned, prior = self.trust**2, (1.0 - self.trust) ** 2
        return np.maximum(variance, 0.0) * learned + prior * LOG_ODDS_VARIANCE
