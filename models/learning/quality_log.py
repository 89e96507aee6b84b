"""Quality log: prequential quality of the published probabilities, one row per day of release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from models.learning.champion_challenger import DECAY, log_loss
from models.metrics.prequential import Prequential

DAYS_KEPT = 400
"""A year and a month, so that a season can be compared with the previous year; about 25 KB as JSON."""

UNDEFINED = -1.0
"""Encodes an undefined AUC or ECE in the state, which has numbers only."""


class QualityDay(NamedTuple):
    """One day on which labels were released.

    Attributes
    ----------
    day
        Day since 1970.
    labels, positives
        Number of labels released on this day, and of positive labels among them.
    log_loss, prior
        Log loss of the published probabilities and of the prior, decayed up to the end of the day (half-life 28 days).
    auc, ece
        AUC and ECE of the published probabilities, decayed up to the end of the day (half-life 5,000 labels); None
        while undefined.
    """

    day: int
    labels: int
    positives: int
    log_loss: float
    prior: float
    auc: float | None
    ece: float | None


class QualityLog:
    """Measures each published probability when its label is released, and keeps one row per day.

    Examples
    --------
    >>> log = QualityLog()
    >>> for i in range(400):
    ...     log.update(i % 4 == 0, day=i // 100, probability=0.6 if i % 4 == 0 else 0.2, prior=0.25)
    >>> [(row.day, row.labels, row.positives, round(row.log_loss, 3), row.auc) for row in log.days()][-1]
    (3, 100, 25, 0.295, 1.0)
    >>> [(bin.n, round(bin.mean_probability, 3), bin.rate) for bin in log.quality.reliability(2)]
    [(292, 0.2, 0.0), (97, 0.6, 1.0)]
    """

    def __init__(self) -> None:
        self.quality = Prequential()
        self._past_days: list[QualityDay] = []
        self._day = -1
        self._labels = self._positives = 0
        self._weight = self._loss = self._prior_loss = 0.0

    def update(self, y: bool, day: int, probability: float, prior: float) -> None:
        """Add one matured label, the probability that was published for it and the prior's probability."""
        if day > self._day:
            if self._labels:
                self._past_days.append(self._today())
                del self._past_days[:-DAYS_KEPT]
                self._weight, self._loss, self._prior_loss = (
                    DECAY * total for total in (self._weight, self._loss, self._prior_loss)
                )
            self._day, self._labels, self._positives = day, 0, 0
        self._labels += 1
        self._positives += y
        self._weight += 1.0
        self._loss += log_loss(probability, y)
        self._prior_loss += log_loss(prior, y)
        if 0.0 <= probability <= 1.0:  # a frozen probability may have any value; the log loss has counted it already
            self.quality.update(probability, int(y))

    def days(self) -> list[QualityDay]:
        """Return one row per day, oldest first; the last row is the current day so far."""
        return [*self._past_days, self._today()][-DAYS_KEPT:] if self._labels else []

    def _today(self) -> QualityDay:
        return QualityDay(
            day=self._day,
            labels=self._labels,
            positives=self._positives,
            log_loss=self._loss / self._weight,
            prior=self._prior_loss / self._weight,
            auc=self.quality.auc,
            ece=self.quality.ece,
        )

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`, exact to the bit."""
        return {
            "quality": self.quality.to_state(),
            "days": [[UNDEFINED if value is None else value for value in row] for row in self._past_days],
            "today": [self._day, self._labels, self._positives],
            "sums": [self._weight, self._loss, self._prior_loss],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any] | None) -> QualityLog:
        """Return the log that `state` was taken from, an empty log for a model snapshot without one."""
        log = cls()
        if state is None:
            return log
        log.quality = Prequential.from_state(state["quality"])
        log._past_days = [
            QualityDay(*row, *(None if value == UNDEFINED else value for value in (auc, ece)))
            for *row, auc, ece in state["days"]
        ]
        log._day, log._labels, log._positives = state["today"]
        log._weight, log._loss, log._prior_loss = state["sums"]
        return log
