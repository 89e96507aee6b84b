"""Batch scoring: probability, interval and contributions of many customers by one vectorised product."""

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

_AT_ONCE = 256
"""Rows that are gone through together: so many stay in a processor's cache from one step to the next."""

Z90 = 1.6448536269514722
"""Standard deviations of a normal on either side of its mean that hold 90 %."""


def _rows(values: Floats) -> Floats:
    return np.atleast_2d(np.asarray(values, dtype=np.float64))


def sigmoids(log_odds: Floats) -> Floats:
    """`sigmoid` of each, with the same bits as of one alone: elementwise over contiguous memory."""
    bounded = np.minimum(np.maximum(log_odds, -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)
    return 1.0 / (1.0 + np.exp(-np.ascontiguousarray(bounded)))


@dataclass(frozen=True)
class Scores:
    """What the model says of a batch of customers, row by row; each row has the same bits in any batch.

    Attributes
    ----------
    probability, log_odds
        Of each customer, (n,).
    model
        Version of the model that said so.
    """

    probability: Floats
    log_odds: Floats
    model: str
    _scorer: Scorer
    _values: Floats
    _terms: Floats

    def variance(self, rows: Rows = ALL) -> Floats:
        """Variance of the log-odds: how much is known about somebody like this. By far the dearest part; ask for it
        where it is shown."""
        return self._scorer._variance(self._values[rows])

    def ci90(self, rows: Rows = ALL) -> Floats:
        """90 % interval of the probability, (n, 2): sigma(log-odds -+ 1.645 sd)."""
        half = Z90 * np.sqrt(self.variance(rows))
        log_odds = self.log_odds[rows]
        return np.stack([sigmoids(log_odds - half), sigmoids(log_odds + half)], axis=1)

    def contributions(self, rows: Rows = ALL) -> Floats:
        """What each feature adds to the log-odds, (n, d): raw, relative and hinge parts in one."""
        return self._scorer._by_feature(self._terms[rows])

    def bias(self, rows: Rows = ALL) -> Floats:
        """Log-odds of somebody average, (n,): contributions and bias add up to the log-odds."""
        total = np.add.reduce(self._terms[rows], axis=1)
        log_odds = self.log_odds[rows]
        exact = self._scorer.bias
        return np.where(np.abs(log_odds) < LOG_ODDS_LIMIT, exact, log_odds - total)

    def members(self, rows: Rows = ALL) -> Floats:
        """Probability that champion, challenger and the prior alone would have answered, (n, 3): freeze these with a
        training example, they decide who answers."""
        return self._scorer._members(self._values[rows])

    def top_contributions(self, row: int, count: int = 5) -> list[tuple[str, float]]:
        """The features that speak loudest for one customer, by absolute contribution."""
        parts = self.contributions([row])[0]
        loudest = np.argsort(-np.abs(parts), kind="stable")[:count]
        return [(self._scorer.space.names[i], float(parts[i])) for i in loudest if parts[i] != 0.0]


class LinearMember(Protocol):
    """Whatever has weights on scaled values."""

    def linear(self) -> LinearPredictor: ...


class Scorer:
    """An immutable view of a model, for those who only score.

    ``log-odds = w * member + (1 - w) * prior`` with ``w = n / (n + k)``; blending log-odds keeps the
    contributions additive.

    No BLAS, and no function whose bits depend on a row's place: products element by element, then a sum along each
    contiguous row. `X @ w` differs in the last bit with the size of the batch.

    The interval comes from the champion's covariance, also while the challenger answers: it measures what the labels
    have said about customers like this one, and stochastic gradient descent has no measure of its own.
    """

    def __init__(
        self,
        space: FeatureSpace,
        champion: Champion,
        challenger: LinearMember,
        prior: Prior,
        answering: str,
        labels: int,
        version: str,
    ) -> None:
        self.space = space
        self.version = version
        self.labels = labels
        self.answering = answering
        self.trust = trust(labels)
        members = (champion.linear(), challenger.linear(), prior.linear())
        # only values that anybody uses: on most logs many features never vary
        columns = np.flatnonzero(members[0].used() | members[1].used() | members[2].used())
        self._columns = columns
        self._owner = space.owner[columns]
        self._raw = int(np.searchsorted(columns, space.size))
        self._relative = self._owner[self._raw :]
        self._all = tuple(member.take(columns) for member in members)
        answer = members[0 if answering == "champion" else 1]
        self._answer = answer.take(columns, self.trust)
        self._prior_columns = np.flatnonzero(members[2].used()[columns])
        self._prior = members[2].take(columns[self._prior_columns], 1.0 - self.trust)
        self.bias = self._answer.bias + self._prior.bias
        self._keep_covariance(champion)

    def score(self, x: Floats, m: Floats) -> Scores:
        """Score raw features (n, d), NaN for missing, against population means (n, d), NaN where there is none."""
        x, m = _rows(x), _rows(m)
        values, terms = np.empty((2, len(x), len(self._owner)))
        for start in range(0, len(x), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            values[block] = found = self.space.some_values(x[block], m[block], self._owner, self._raw)
            terms[block] = self._answer.terms(found)
            if len(self._prior_columns):
                terms[block, self._prior_columns] += self._prior.terms(found.take(self._prior_columns, axis=1))
        log_odds = np.add.reduce(terms, axis=1) + self.bias
        np.minimum(np.maximum(log_odds, -LOG_ODDS_LIMIT, out=log_odds), LOG_ODDS_LIMIT, out=log_odds)
        return Scores(sigmoids(log_odds), log_odds, self.version, self, values, terms)

    def drift(self, level: Floats) -> float | None:
        """How far the customers stand from those whose labels the champion has learned, in standard deviations.

        The root mean square, over the raw features that the model uses, of (level - mean) / sd: 0 is no drift, 1 is
        that the average customer of today would then have been one standard deviation off in everything.

        Args:
            level: Today's mean of each feature (d,), NaN where nothing is known.

        Returns:
            None as long as no label was learned or nothing is known.
        """
        champion = self._all[0]
        raw = level.take(self._owner[: self._raw])
        z = (raw - champion.centre[: self._raw]) * champion.inverse[: self._raw]
        known = z[(z == z) & (champion.inverse[: self._raw] != 0.0)]
        return float(np.sqrt(np.mean(known * known))) if len(known) else None

    def contributions(self, x: Floats, m: Floats) -> Floats:
        """What each feature adds to the log-odds, (n, d)."""
        return self.score(x, m).contributions()

    def _members(self, values: Floats) -> Floats:
        champion, challenger, prior = (member.log_odds(values) for member in self._all)
        w = self.trust
        blended = (w * champion + (1.0 - w) * prior, w * challenger + (1.0 - w) * prior, prior)
        return np.stack([sigmoids(log_odds) for log_odds in blended], axis=1)

    def _by_feature(self, terms: Floats) -> Floats:
        parts = np.zeros((len(terms), self.space.size))
        parts[:, self._owner[: self._raw]] = terms[:, : self._raw]
        parts[:, self._relative] += terms[:, self._raw :]
        return parts

    def _keep_covariance(self, champion: Champion) -> None:
        """P without the cohort (it is 0 when predicting), and how its inputs come from the values."""
        self._covariance = np.delete(np.delete(champion.classifier.covariance, COHORT, 0), COHORT, 1)
        size = len(self.space.value_names)
        value = np.where(champion.active < size, champion.active, champion.active - size)
        hinged = champion.active >= size
        # a value that carries no weight at all is not among the columns; its input is constant, 0
        place = np.searchsorted(self._columns, value)
        known = (place < len(self._columns)) & (self._columns.take(place, mode="clip") == value)
        self._input_column = np.where(known, place, 0)
        self._input_scale = np.where(known, np.where(hinged, 1.0, self.space.value_scale[value]), 0.0)
        self._input_floor = np.where(hinged, 0.0, -np.inf)

    def _variance(self, values: Floats) -> Floats:
        """x' P x of each row, blended with the prior's. Row by row, so the size of the batch plays no part."""
        champion = self._all[0]
        z = standardise(values, champion.centre, champion.inverse)
        inputs = np.ones((len(values), len(self._covariance)))
        np.maximum(z.take(self._input_column, axis=1) * self._input_scale, self._input_floor, out=inputs[:, 1:])
        variance = np.empty(len(values))
        product = np.empty(len(self._covariance))
        for i, row in enumerate(inputs):
            np.einsum("ij,j->i", self._covariance, row, out=product)
            product *= row
            variance[i] = np.add.reduce(product)
        learned, guessed = self.trust**2, (1.0 - self.trust) ** 2
        return np.maximum(variance, 0.0) * learned + guessed * LOG_ODDS_VARIANCE
