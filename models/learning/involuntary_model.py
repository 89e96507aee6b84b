"""The model of the second cause: how likely a customer is lost by a payment, from what is known of cards and payments.

It learns from the same labels as the first, at the same time, and scores from the same matrix of features, by a few of
its columns: losses by payment are rare, and what foretells them is known. `FEATURES` are those that help on simulated
customers, whose hazard is known: python -m benchmarks.quality.involuntary.
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
    # who likes to be here sees to the card
    *("events_90d", "active_days_90", "automated_share_30", "csat_mean", "nps_last", "message_open_rate_30"),
)
"""Which columns it reads. The last six raise the AUC late in simulated logs from .973 to .978; all columns
together give .981, and twice the snapshot, which is more than a message may have."""

BASE_RATE: Final = 0.003
"""Share of customers believed to be lost by a payment within its horizon before anything is known."""

TERMS: Final = (
    PriorTerm("dunning_open", centre=0.0, scale=1.0, weight=4.0),
    PriorTerm("card_expires_in_days", centre=30.0, scale=-15.0, weight=0.7),
)
"""Before labels: a payment that is open, and a card that ends before the month does."""

LABELS_A_LOSS: Final = 10
"""Labels that one loss is worth as evidence: as many as there are to one of churn where 10 % leave. Where one in 400 is
lost, a thousand labels have said little."""


class InvoluntaryModel:
    """A champion and a prior on the columns of payments.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "dunning_open"), (True, False), "c0ffee")
    >>> head, level = InvoluntaryModel(space), np.array([2.0, np.nan])
    >>> for i in range(3000):
    ...     open_ = float(i % 10 == 0)
    ...     head.learn(np.array([1.0, open_]), level, i % 30 == 0, i // 100)
    >>> scores = head.scorer("1-a").score(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([level, level]))
    >>> scores.probability.round(2)
    array([0.01, 0.28])
    """

    def __init__(self, space: FeatureSpace) -> None:
        self.space = space
        self.champion = Champion(space)
        self.prior = Prior(space, TERMS, BASE_RATE)
        self.journal = QualityLog()
        self.labels = 0
        self.positives = 0
        known = np.array([name in FEATURES for name in space.names], dtype=bool)
        self._hidden = ~np.concatenate([known, known[space.relative_columns]])

    def learn(self, x: Floats, m: Floats, y: bool, release_day: int, probability: float | None = None) -> None:
        """Learn one matured label; see `models.learning.model.Model.learn`."""
        values = self.space.values(x, m)
        values[self._hidden] = np.nan  # a value that is never seen carries no weight, and costs nothing
        label = bool(y)
        learned, guessed = self.champion.learn(values, label, release_day), self.prior.learn(values, label)
        w = trust(self.evidence)
        said = sigmoid(w * learned + (1.0 - w) * guessed) if probability is None else probability
        self.journal.judge(label, release_day, said, sigmoid(guessed))
        self.labels += 1
        self.positives += label

    @property
    def evidence(self) -> int:
        """Labels' worth of what was learned: by it the prior gives way."""
        return LABELS_A_LOSS * self.positives

    def scorer(self, version: str) -> Scorer:
        """An immutable view."""
        return Scorer(self.space, self.champion, self.champion, self.prior, "champion", self.evidence, version)

    def scoring_state(self) -> dict[str, Any]:
        """What predicting needs."""
        return {"positives": self.positives, "champion": self.champion.scoring_state(), "prior": self.prior.state()}

    def training_state(self) -> dict[str, Any]:
        """What learning needs besides."""
        return {
            "champion": self.champion.training_state(),
            "journal": self.journal.state(),
            "labels": self.labels,
        }

    @classmethod
    def restore(
        cls, space: FeatureSpace, scoring: Mapping[str, Any], training: Mapping[str, Any] | None = None
    ) -> InvoluntaryModel:
        """The head that the states were taken from."""
        head = cls(space)
        head.positives = scoring["positives"]
        champion = None if training is None else training["champion"]
        head.champion = Champion.restore(space, scoring["champion"], champion)
        head.prior.base, head.prior.variance = scoring["prior"]["base"], scoring["prior"]["variance"]
        if training is not None:
            head.journal, head.labels = QualityLog.restore(training["journal"]), training["labels"]
        return head
