"""The contest: champion and challenger learn from the same labels, and the better one answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MEMBERS = ("champion", "challenger")
JUDGED = ("champion", "challenger", "prior", "answer")

HALF_LIFE_DAYS = 28
"""Half-life of the log losses, in days on which labels were released: four weeks, so that weekdays even out and a lead
that belongs to another season does not decide for long."""

DECAY = 0.5 ** (1.0 / HALF_LIFE_DAYS)

SETTLE_DAYS = 28
"""Days of release that must pass after the start or a switch before the next one."""

SETTLE_LABELS = 1000
"""Labels that must be judged after the start or a switch before the next one."""

LEAD_ERRORS = 3.0
"""The challenger must lead by this many standard errors of the paired difference. The unit is the day: labels of one
day share its weather, and a standard error over labels would call every odd week a lead ..."""

LEAD_SHARE = 0.01
"""... and by this share of the loss: a switch changes every customer's reasons, and has to be worth that."""

SWITCHES_KEPT = 32

EPSILON = 1e-7
"""Probabilities are held this far from 0 and 1 when judged: a frozen one may come from anywhere."""


def log_loss(p: float, y: bool) -> float:
    """Minus the log of the probability given to what happened.

    >>> round(log_loss(0.9, True), 3), round(log_loss(0.9, False), 3), round(log_loss(1.0, False), 1)
    (0.105, 2.303, 16.1)
    """
    given = p if y else 1.0 - p
    return -math.log(min(given, 1.0)) if given > EPSILON else -math.log(EPSILON)  # what is no number was no answer


@dataclass(frozen=True)
class ChampionSwitch:
    """One change of who answers: when, to whom, and the losses that decided it."""

    labels: int
    day: int
    answering: str
    champion: float
    challenger: float


class ChampionSelector:
    """Prequential log loss of each member, decayed by day of release, and who answers (Gama et al. 2013).

    The champion answers unless it is clearly beaten: the challenger takes over with a lead of 3 standard errors of the
    paired difference, clustered by day, and one percent of the loss; the champion comes back when it is no longer
    behind. Neither happens within 28 days and 1,000 labels of the start or the last switch.

    Examples
    --------
    >>> contest = ChampionSelector()
    >>> for i in range(4000):
    ...     contest.judge(i % 2 == 0, i // 100, 0.5, 0.7 if i % 2 == 0 else 0.3, 0.5, 0.5)
    >>> contest.answering, contest.switches[0].labels
    ('challenger', 2800)
    >>> {name: round(loss, 3) for name, loss in contest.losses.items()}
    {'champion': 0.693, 'challenger': 0.357, 'prior': 0.693, 'answer': 0.693}
    """

    def __init__(self) -> None:
        self.answering = MEMBERS[0]
        self.switches: list[ChampionSwitch] = []
        self._labels = 0
        self._since_labels = 0
        self._since_days = 0
        self._day = -1
        self._weight = 0.0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._today = [0.0, 0.0]  # labels, and sum of champion's loss minus challenger's
        self._totals = [0.0] * 5  # decayed over days: labels, lead, lead squared, lead times labels, labels squared

    def judge(self, y: bool, day: int, champion: float, challenger: float, prior: float, answer: float) -> None:
        """Count one matured label against the probabilities that each gave before it was known."""
        if day > self._day:
            self._end_day()
            self._day = day
            if self._since_days >= SETTLE_DAYS and self._since_labels >= SETTLE_LABELS and self._overtaken():
                self._switch(day)
        losses = (log_loss(champion, y), log_loss(challenger, y), log_loss(prior, y), log_loss(answer, y))
        self._sums = [total + loss for total, loss in zip(self._sums, losses, strict=True)]
        self._weight += 1.0
        self._today[0] += 1.0
        self._today[1] += losses[0] - losses[1]
        self._labels += 1
        self._since_labels += 1

    @property
    def losses(self) -> dict[str, float]:
        """Decayed mean log loss by name; NaN before the first label."""
        if not self._weight:
            return dict.fromkeys(JUDGED, math.nan)
        return {name: total / self._weight for name, total in zip(JUDGED, self._sums, strict=True)}

    def _end_day(self) -> None:
        labels, lead = self._today
        if not labels:
            return
        terms = (labels, lead, lead * lead, lead * labels, labels * labels)
        self._totals = [DECAY * total + term for total, term in zip(self._totals, terms, strict=True)]
        self._sums = [DECAY * total for total in self._sums]
        self._weight *= DECAY
        self._today = [0.0, 0.0]
        self._since_days += 1

    def _overtaken(self) -> bool:
        labels, lead, lead2, lead_labels, labels2 = self._totals
        mean = lead / labels
        if self.answering != "champion":
            return mean <= 0.0
        # ratio estimator: the spread of each day's lead around the mean times its labels (Cochran 1977, 6.4)
        spread = max(lead2 - 2.0 * mean * lead_labels + mean * mean * labels2, 0.0)
        error = math.sqrt(spread) / labels
        return mean > max(LEAD_ERRORS * error, LEAD_SHARE * self.losses["champion"])

    def _switch(self, day: int) -> None:
        self.answering = MEMBERS[1 - MEMBERS.index(self.answering)]
        losses = self.losses
        self.switches.append(
            ChampionSwitch(self._labels, day, self.answering, losses["champion"], losses["challenger"])
        )
        del self.switches[:-SWITCHES_KEPT]
        self._since_labels = self._since_days = 0

    def state(self) -> dict[str, Any]:
        """As data, exactly."""
        return {
            "answering": self.answering,
            "switches": [asdict(switch) for switch in self.switches],
            "counts": [self._labels, self._since_labels, self._since_days, self._day],
            "weight": self._weight,
            "sums": self._sums,
            "today": self._today,
            "totals": self._totals,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> ChampionSelector:
        """The contest that `state` was taken from."""
        contest = cls()
        contest.answering = state["answering"]
        contest.switches = [ChampionSwitch(**switch) for switch in state["switches"]]
        contest._labels, contest._since_labels, contest._since_days, contest._day = state["counts"]
        contest._weight, contest._sums = state["weight"], list(state["sums"])
        contest._today, contest._totals = list(state["today"]), list(state["totals"])
        return contest
