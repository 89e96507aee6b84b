"""Online Bayesian logistic regression with full covariance, updated one label at a time: the champion's classifier."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

BIAS, COHORT = 0, 1
"""Positions of the two inputs that every example has: the constant 1, and the effect of the day's cohort."""

CAP_EVERY_LABELS = 200
"""Labels between two caps of the variances at their prior. Forgetting inflates by at most 1 / 5000 per label, so by 4%
between two caps."""

LOG_ODDS_LIMIT = 15.0
"""Bound of the log-odds: a probability is never closer to 0 or 1 than 3e-7. No finite number of labels supports more,
and without a bound a single label could cost an unbounded log loss."""


def logit(probability: float) -> float:
    """Log-odds of a probability, bounded by `LOG_ODDS_LIMIT`.

    >>> logit(0.5), round(logit(0.1192), 2), logit(1.0)
    (0.0, -2.0, 15.0)
    """
    if not 0.0 < probability < 1.0:
        return LOG_ODDS_LIMIT if probability >= 1.0 else -LOG_ODDS_LIMIT
    return min(max(math.log(probability / (1.0 - probability)), -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)


def sigmoid(log_odds: float) -> float:
    """Probability of log-odds, which are bounded first.

    >>> sigmoid(0.0), round(sigmoid(-2.0), 4), round(sigmoid(1e9), 7)
    (0.5, 0.1192, 0.9999997)
    """
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -LOG_ODDS_LIMIT), LOG_ODDS_LIMIT)))


class BayesianLogisticRegression(base.Classifier):
    r"""Logistic regression with a Gaussian posterior over the weights, updated with each label.

    With weights $w \sim N(\hat w, P)$ and an example $(x, y)$, one step of an extended Kalman filter (a Laplace
    approximation with one Newton step) gives

    $$p = \sigma(\hat w^T x), \quad h = p (1 - p), \quad u = P x, \quad d = 1 + h\, x^T u$$
    $$\hat w \leftarrow \hat w - u\,(p - y) / d, \qquad P \leftarrow P - (h / d)\, u u^T$$

    and $x^T P x$ is the variance of the log-odds, from which the interval of a prediction is computed. The full
    covariance lets correlated inputs share the effect that they explain together, unlike stochastic gradient descent.

    Time advances in *days of release* (`learn_one(x, y, day=...)`):

    * Drift: the variance of the bias grows by `bias_drift` per day, because base rates drift.
    * Cohort: each day has its own random effect with variance `cohort_variance`, dropped at the end of the day, so that
      one unusual day does not bias the other weights. Its input is 1 when learning and 0 when predicting.
    * Forgetting: P grows by at most 1 / `forget_labels` per label, from a credit of 1 per `forget_days`; the slower of
      the two limits applies. Variances never exceed their prior.

    An input has no cost until its first value other than 0: until then its row of P equals its prior, so leaving it out
    is exact. Inputs should be bounded and of similar scale (see `models.learning.scaler`). Missing, None and non-finite
    inputs are 0.

    Learning does not use BLAS. At this size it is bound by memory. BLAS threads cost ten times as much on a busy
    machine (measured: 6 us alone, 167 us beside two busy processes), and their number changes the last bits.

    Parameters
    ----------
    variance
        Prior variance of a weight.
    bias_variance
        Prior variance of the bias.
    cohort_variance
        Variance of the random effect of a day.
    bias_drift
        Variance that the bias gains per day.
    forget_days
        Time constant of forgetting in days.
    forget_labels
        Time constant of forgetting in labels.
    bound
        Absolute value that inputs are clipped to, for numerical safety only.

    Examples
    --------
    >>> from river import evaluate, metrics, preprocessing
    >>> from river.datasets import Phishing

    >>> model = preprocessing.StandardScaler() | BayesianLogisticRegression()
    >>> evaluate.progressive_val_score(Phishing(), model, metrics.ROCAUC())
    ROCAUC: 94.62%

    >>> x, y = next(iter(Phishing()))
    >>> round(model.predict_proba_one(x)[True], 3)
    0.922

    >>> classifier = model["BayesianLogisticRegression"]
    >>> round(classifier.variance_one({"empty_server_form_handler": 2.0}), 4)
    0.0184

    References
    ----------
    [^1]: Spiegelhalter, D. and Lauritzen, S., 1990. Sequential updating of conditional probabilities on directed
        graphical structures. Networks 20, 579-605, section 5.
    [^2]: West, M., Harrison, P. and Migon, H., 1985. Dynamic generalized linear models and Bayesian forecasting.
        JASA 80, 73-83 (the random walk and the discount).
    [^3]: Bishop, C., 2006. Pattern Recognition and Machine Learning, section 4.5 (Laplace approximation).
    """

    def __init__(
        self,
        variance: float = 0.01,
        bias_variance: float = 10.0,
        cohort_variance: float = 0.03,
        bias_drift: float = 0.0005,
        forget_days: float = 365.0,
        forget_labels: float = 5000.0,
        bound: float = 1000.0,
    ) -> None:
        self.variance = variance
        self.bias_variance = bias_variance
        self.cohort_variance = cohort_variance
        self.bias_drift = bias_drift
        self.forget_days = forget_days
        self.forget_labels = forget_labels
        self.bound = bound
        self._positions: dict[Hashable, int] = {}
        self._weights = np.zeros(2)
        self._prior = np.array([bias_variance, cohort_variance])
        self._covariance = np.diag(self._prior)  # of known inputs; P = growth * covariance
        self._growth = 1.0  # factor on P by forgetting since the last cap
        self._scratch = np.empty((2, 2))
        self._labels = 0
        self._day: int | None = None
        self._credit = 0.0
        self._restarts = 0

    # --- River's interface: one example at a time ---

    def learn_one(self, x: Mapping[Hashable, Any], y: Any, day: int | None = None) -> None:
        """Learn one label.

        Parameters
        ----------
        x
            Inputs by name.
        y
            The label, true or false.
        day
            Day on which the label became known. Without it time does not advance and there is no cohort effect.
        """
        known = {name: value for name, raw in x.items() if (value := self._bounded(raw)) != 0.0}
        self.add(sorted((name for name in known if name not in self._positions), key=str))
        self.learn_row(self._row(known), bool(y), day)

    def predict_proba_one(self, x: Mapping[Hashable, Any], **kwargs: Any) -> dict[bool, float]:
        """Probability of each label."""
        p = sigmoid(self.log_odds_one(x))
        return {False: 1.0 - p, True: p}

    def log_odds_one(self, x: Mapping[Hashable, Any]) -> float:
        """Log-odds of the label being true."""
        return float(np.add.reduce(self._weights * self._row(x)))

    def variance_one(self, x: Mapping[Hashable, Any]) -> float:
        """Variance of the log-odds, x' P x. An unknown input counts with its prior variance."""
        row = self._row(x)
        unseen = sum(self._bounded(value) ** 2 for name, value in x.items() if name not in self._positions)
        return float(np.add.reduce(row * self.multiply(row))) + self.variance * unseen * self._growth

    # --- array interface: inputs by position ---

    @property
    def names(self) -> tuple[Hashable, ...]:
        """Known inputs in the order of their positions, from position 2 on."""
        return tuple(self._positions)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Mean of the weights: bias, cohort, then the inputs of `names`."""
        return self._weights

    @property
    def covariance(self) -> NDArray[np.float64]:
        """P of the same inputs (a copy)."""
        return self._covariance * self._growth

    @property
    def labels(self) -> int:
        """Number of labels learned."""
        return self._labels

    @property
    def restarts(self) -> int:
        """How often P was reset to the prior because it was no longer a covariance. 0 in all measurements so far."""
        return self._restarts

    def add(self, names: Iterable[Hashable]) -> None:
        """Add new inputs at the next positions, with weight 0 and prior variance."""
        new = [name for name in names if name not in self._positions]
        if not new:
            return
        old, size = len(self._weights), len(self._weights) + len(new)
        self._positions.update(zip(new, range(old, size), strict=True))
        self._weights = np.concatenate([self._weights, np.zeros(len(new))])
        self._prior = np.concatenate([self._prior, np.full(len(new), self.variance)])
        grown = np.diag(self._prior)
        grown[:old, :old] = self._covariance
        self._covariance = grown
        self._scratch = np.empty((size, size))

    def multiply(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """P x. `einsum` does not use BLAS, so the order of additions is fixed."""
        u: NDArray[np.float64] = np.einsum("ij,j->i", self._covariance, row)
        u *= self._growth
        return u

    def learn_row(self, row: NDArray[np.float64], y: bool, day: int | None = None) -> None:
        """Learn one label from a row of inputs by position; row[0] is 1, row[1] is set by this method."""
        row[COHORT] = 0.0 if day is None else 1.0
        if day is not None:
            self._advance_to(day)
        u = self.multiply(row)
        variance = float(np.add.reduce(row * u))
        if not 0.0 <= variance < math.inf:
            self._restart()
            u = self.multiply(row)
            variance = float(np.add.reduce(row * u))
        p = sigmoid(float(np.add.reduce(self._weights * row)))
        h = p * (1.0 - p)
        d = 1.0 + h * variance
        self._weights -= u * ((p - y) / d)
        u *= math.sqrt(h / (d * self._growth))
        # u u' is exactly symmetric in floating point, so P stays symmetric
        np.multiply(u[:, None], u, out=self._scratch)
        self._covariance -= self._scratch
        self._forget()
        self._labels += 1
        if self._labels % CAP_EVERY_LABELS == 0:
            self._cap()

    # --- time ---

    def _advance_to(self, day: int) -> None:
        """Advance to a day: let the bias drift, drop the previous day's cohort effect, and add forgetting credit."""
        if self._day is not None:
            days = day - self._day
            if days <= 0:  # a late label counts in the current cohort
                return
            self._covariance[BIAS, BIAS] += min(self.bias_drift * days, self.bias_variance) / self._growth
            self._credit = min(1.0, self._credit + days / self.forget_days)
        self._day = day
        self._weights[COHORT] = 0.0
        self._covariance[COHORT, :] = 0.0
        self._covariance[:, COHORT] = 0.0
        self._covariance[COHORT, COHORT] = self.cohort_variance / self._growth

    def _forget(self) -> None:
        share = min(1.0 / self.forget_labels, self._credit)
        self._credit -= share
        self._growth *= 1.0 + share

    def _cap(self) -> None:
        """Cap every variance at its prior by scaling rows and columns of P, and multiply the growth into P."""
        self._covariance *= self._growth
        self._growth = 1.0
        variances = np.maximum(self._covariance.diagonal(), 0.0)
        if np.all(variances <= self._prior):
            return
        scale = np.sqrt(self._prior / np.maximum(variances, self._prior))
        self._covariance *= np.multiply(scale[:, None], scale, out=self._scratch)

    def _restart(self) -> None:
        """Reset P to the prior. The weights stay, unless one is not finite."""
        self._covariance = np.diag(self._prior)
        self._growth = 1.0
        self._restarts += 1
        if not np.all(np.isfinite(self._weights)):
            self._weights = np.zeros(len(self._prior))

    # --- helpers ---

    def _bounded(self, value: Any) -> float:
        if value is None:
            return 0.0
        number = float(value)
        return min(max(number, -self.bound), self.bound) if math.isfinite(number) else 0.0

    def _row(self, x: Mapping[Hashable, Any]) -> NDArray[np.float64]:
        """Inputs by position; the order of `x` does not matter."""
        row = np.zeros(len(self._weights))
        row[BIAS] = 1.0
        for name, value in x.items():
            position = self._positions.get(name)
            if position is not None:
                row[position] = self._bounded(value)
        return row

    # --- state ---

    def scoring_state(self) -> dict[str, Any]:
        """The state that predicting needs: names, weights, and the lower triangle of the symmetric covariance."""
        return {
            "names": list(self._positions),
            "weights": self._weights.tolist(),
            "growth": self._growth,
            "covariance": self._covariance[np.tril_indices(len(self._weights))].tolist(),
        }

    def training_state(self) -> dict[str, Any]:
        """The additional state that learning needs."""
        return {"labels": self._labels, "day": self._day, "credit": self._credit, "restarts": self._restarts}

    def restore(self, scoring: Mapping[str, Any], training: Mapping[str, Any] | None = None) -> None:
        """Restore the states of a classifier with the same parameters, exact to the bit."""
        self._positions = {}
        self._weights, self._prior = self._weights[:2], self._prior[:2]
        self._covariance = np.diag(self._prior)
        self.add(scoring["names"])
        size = len(self._weights)
        self._weights[:] = scoring["weights"]
        self._growth = scoring["growth"]
        lower = np.tril_indices(size)
        self._covariance[lower] = scoring["covariance"]
        self._covariance.T[lower] = scoring["covariance"]
        if training is not None:
            self._labels, self._day = training["labels"], training["day"]
            self._credit, self._restarts = training["credit"], training["restarts"]
