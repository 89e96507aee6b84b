"""The model of involuntary churn (payment failure): a champion and a prior on the features of cards and payments.

It learns from the same labels as the voluntary model, at the same time, and scores from a few columns of the same
feature matrix: involuntary churn is rare, and its predictors are known. `FEATURES` are the columns that help on
simulated customers, whose hazard is known: python -m benchmarks.quality.involuntary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.learning.bayesian_logistic import sigmoid
from models.learning.champion import Champion
from models.learning.feature_space import FeatureSpace
from models.learning.prior import Prior, PriorTerm, trust
from models.learning.quality_log import QualityLog
from models.learning.scorer import Scorer

Floats = NDArray[np.float64]

FEATURES: Final = (
    *("dunning_open", "payments_failed_30", "card_expires_in_days", "recovered_rate"),
    *("renewal_in_days", "plan_known", "cancel_scheduled", "tenure_days"),
    # engaged customers update an expiring card
    *("events_90d", "active_days_90", "automated_share_30", "csat_mean", "nps_last", "message_open_rate_30"),
)
"""Columns that the model reads. The last six raise the AUC late in simulated logs from .973 to .978. All columns
together give .981, but double the model snapshot, beyond the size limit of a message."""

BASE_RATE: Final = 0.003
"""Prior share of customers who churn involuntarily within the horizon."""

TERMS: Final = (
    PriorTerm("dunning_open", centre=0.0, scale=1.0, weight=4.0),
    PriorTerm("card_expires_in_days", centre=30.0, scale=-15.0, weight=0.7),
)
"""Terms of the prior: an open failed payment, and a card that expires within a month."""

LABELS_PER_POSITIVE: Final = 10
"""Labels that one positive label counts as: the ratio of labels to positives at a churn rate of 10%. At one positive in
400, a thousand labels are little evidence."""


class InvoluntaryModel:
    """A champion and a prior on the columns of cards and payments.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "dunning_open"), (True, False), "c0ffee")
    >>> model, peer_means = InvoluntaryModel(space), np.array([2.0, np.nan])
    >>> for i in range(3000):
    ...     dunning = float(i % 10 == 0)
    ...     model.learn(np.array([1.0, dunning]), peer_means, i % 30 == 0, i // 100)
    >>> scores = model.scorer("1-a").score(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([peer_means, peer_means]))
    >>> scores.probability.round(2)
    array([0.01, 0.28])
    """

    def __init__(self, space: FeatureSpace) -> None:
        self.space = space
        self.champion = Champion(space)
        self.prior = Prior(space, TERMS, BASE_RATE)
        self.quality_log = QualityLog()
        self.labels = 0
        self.positives = 0
        known = np.array([name in FEATURES for name in space.names], dtype=bool)
        self._hidden = ~np.concatenate([known, known[space.relative_columns]])

    def learn(self, x: Floats, m: Floats, y: bool, release_day: int, probability: float | None = None) -> None:
        """Learn one matured label; see `models.learning.model.Model.learn`."""
        values = self.space.values(x, m)
        values[self._hidden] = np.nan  # a value that is always missing has no weight and no cost
        label = bool(y)
        champion, prior = self.champion.learn(values, label, release_day), self.prior.learn(values, label)
        w = trust(self.evidence)
        predicted = sigmoid(w * champion + (1.0 - w) * prior) if probability is None else probability
        self.quality_log.update(label, release_day, predicted, sigmoid(prior))
        self.labels += 1
        self.positives += label

    @property
    def evidence(self) -> int:
        """Number of labels that the learned weights count as; it sets their weight against the prior."""
        return LABELS_PER_POSITIVE * self.positives

    def scorer(self, version: str) -> Scorer:
        """Return an immutable view."""
        return Scorer(
            space=self.space,
            champion=self.champion,
            challenger=self.champion,
            prior=self.prior,
            active="champion",
            labels=self.evidence,
            version=version,
        )

    def scoring_state(self) -> dict[str, Any]:
        """The state that predicting needs."""
        return {"positives": self.positives, "champion": self.champion.scoring_state(), "prior": self.prior.state()}

    def training_state(self) -> dict[str, Any]:
        """The additional state that learning needs."""
        return {
            "champion": self.champion.training_state(),
            "journal": self.quality_log.state(),
            "labels": self.labels,
        }

    @classmethod
    def restore(
        cls, space: FeatureSpace, scoring: Mapping[str, Any], training: Mapping[str, Any] | None = None
    ) -> InvoluntaryModel:
        """Return the model that the states were taken from."""
        model = cls(space)
        model.positives = scoring["positives"]
        champion = None if training is None else training["champion"]
        model.champion = Champion.restore(space, scoring["champion"], champion)
        model.prior.base, model.prior.variance = scoring["prior"]["base"], scoring["prior"]["variance"]
        if training is not None:
            model.quality_log, model.labels = QualityLog.restore(training["journal"]), training["labels"]
        return model
