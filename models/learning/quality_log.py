"""The journal: how good the answers have been, day of release by day, and how they stand now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from models.learning.champion_challenger import DECAY, log_loss
from models.metrics.prequential import Prequential

DAYS_KEPT = 400
"""A year and a month, so that a season can be seen beside the one before; some 25 KB as JSON."""

UNDEFINED = -1.0
"""In the state, which holds numbers only: no AUC yet, because one class has not been seen."""


class QualityDay(NamedTuple):
    """One day on which labels were released.

    Attributes
    ----------
    day
        Since 1970.
    labels, positives
        Released on this day; how many of them had churned.
    log_loss, prior
        Of the answers and of the prior alone, decayed up to the end of this day (half-life 28 days).
    auc, ece
        Of the answers, decayed up to the end of this day (half-life 5,000 labels); None while undefined.
    """

    day: int
    labels: int
    positives: int
    log_loss: float
    prior: float
    auc: float | None
    ece: float | None


class QualityLog:
    """Judges each answer when its label is released, and keeps a row a day.

    Examples
    --------
    >>> journal = QualityLog()
    >>> for i in range(400):
    ...     journal.judge(i % 4 == 0, day=i // 100, answer=0.6 if i % 4 == 0 else 0.2, prior=0.25)
    >>> [(row.day, row.labels, row.positives, round(row.log_loss, 3), row.auc) for row in journal.days()][-1]
    (3, 100, 25, 0.295, 1.0)
    >>> [(bin.n, round(bin.mean_probability, 3), bin.rate) for bin in journal.quality.reliability(2)]
    [(292, 0.2, 0.0), (97, 0.6, 1.0)]
    """

    def __init__(self) -> None:
        self.quality = Prequential()
        self._ended: list[QualityDay] = []
        self._day = -1
        self._labels = self._positives = 0
        self._weight = self._answer = self._prior = 0.0

    def judge(self, y: bool, day: int, answer: float, prior: float) -> None:
        """Count one matured label against what was answered, and what the prior alone would have answered."""
        if day > self._day:
            if self._labels:
                self._ended.append(self._today())
                del self._ended[:-DAYS_KEPT]
                self._weight, self._answer, self._prior = (
                    DECAY * total for total in (self._weight, self._answer, self._prior)
                )
            self._day, self._labels, self._positives = day, 0, 0
        self._labels += 1
        self._positives += y
        self._weight += 1.0
        self._answer += log_loss(answer, y)
        self._prior += log_loss(prior, y)
        if 0.0 <= answer <= 1.0:  # a frozen one may come from anywhere; log loss has punished it already
            self.quality.update(answer, int(y))

    def days(self) -> list[QualityDay]:
        """A row for each day, oldest first, the last one as it is so far."""
        return [*self._ended, self._today()][-DAYS_KEPT:] if self._labels else []

    def _today(self) -> QualityDay:
        return QualityDay(
            self._day,
            self._labels,
            self._positives,
            self._answer / self._weight,
            self._prior / self._weight,
            self.quality.auc,
            self.quality.ece,
        )

    def state(self) -> dict[str, Any]:
        """As data, exactly."""
        return {
            "quality": self.quality.to_state(),
            "days": [[UNDEFINED if one is None else one for one in row] for row in self._ended],
            "today": [self._day, self._labels, self._positives],
            "sums": [self._weight, self._answer, self._prior],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any] | None) -> QualityLog:
        """The journal that `state` was taken from; an empty one for a snapshot from before there were journals."""
        journal = cls()
        if state is None:
            return journal
        journal.quality = Prequential.from_state(state["quality"])
        journal._ended = [
            QualityDay(*counts, *losses, *(None if one == UNDEFINED else one for one in undefined))
            for *row, auc, ece in state["days"]
            for counts, losses, undefined in [(row[:3], row[3:], (auc, ece))]
        ]
        journal._day, journal._labels, journal._positives = state["today"]
        journal._weight, journal._answer, journal._prior = state["sums"]
        return journal
