"""The contest: champion and challenger learn from the same labels, and the better one answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MEMBERS = ("champion", "challenger")
JUDGED = ("champion", "challenger", "prior", "answer")

HALF_LIFE_LABELS = 2000
"""Half-life of the log losses: two labels in three of what counts are among the last 3,200."""

DECAY = 0.5 ** (1.0 / HALF_LIFE_LABELS)

SETTLE_LABELS = 1000
"""Labels that must pass after the start or a switch before the next one."""

LEAD_ERRORS = 2.0
"""The other one must lead by this many standard errors of the paired difference ..."""

LEAD_SHARE = 0.005
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
class Switch:
    """One change of who answers: when, to whom, and the losses that decided it."""

    labels: int
    day: int
    answering: str
    champion: float
    challenger: float


class Contest:
    """Prequential log loss of each member, decayed by label, and the choice of who answers (Gama et al. 2013).

    Hysteresis: the other one takes over only with a lead of 2 standard errors of the paired difference and half a
    percent of the loss, and not within 1,000 labels of the start or the last switch.

    Examples
    --------
    >>> contest = Contest()
    >>> for i in range(1500):
    ...     contest.judge(i % 2 == 0, i // 100, 0.5, 0.7 if i % 2 == 0 else 0.3, 0.5, 0.5)
    >>> contest.answering, contest.switches[0].labels
    ('challenger', 1000)
    >>> {name: round(loss, 3) for name, loss in contest.losses.items()}
    {'champion': 0.693, 'challenger': 0.357, 'prior': 0.693, 'answer': 0.693}
    """

    def __init__(self) -> None:
        self.answering = MEMBERS[0]
        self.switches: list[Switch] = []
        self._labels = 0
        self._since = 0
        self._weight = 0.0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._lead = 0.0  # decayed sum of champion's loss minus challenger's, and of its square
        self._lead2 = 0.0

    def judge(self, y: bool, day: int, champion: float, challenger: float, prior: float, answer: float) -> None:
        """Count one matured label against the probabilities that each gave before it was known."""
        losses = (log_loss(champion, y), log_loss(challenger, y), log_loss(prior, y), log_loss(answer, y))
        self._sums = [DECAY * total + loss for total, loss in zip(self._sums, losses, strict=True)]
        lead = losses[0] - losses[1]
        self._weight = DECAY * self._weight + 1.0
        self._lead = DECAY * self._lead + lead
        self._lead2 = DECAY * self._lead2 + lead * lead
        self._labels += 1
        self._since += 1
        if self._since >= SETTLE_LABELS and self._overtaken():
            self._switch(day)

    @property
    def losses(self) -> dict[str, float]:
        """Decayed mean log loss by name; NaN before the first label."""
        if not self._weight:
            return dict.fromkeys(JUDGED, math.nan)
        return {name: total / self._weight for name, total in zip(JUDGED, self._sums, strict=True)}

    def _overtaken(self) -> bool:
        mean = self._lead / self._weight
        error = math.sqrt(max(self._lead2 / self._weight - mean * mean, 0.0) / self._weight)
        lead = mean if self.answering == "champion" else -mean
        return lead > max(LEAD_ERRORS * error, LEAD_SHARE * self.losses[self.answering])

    def _switch(self, day: int) -> None:
        self.answering = MEMBERS[1 - MEMBERS.index(self.answering)]
        losses = self.losses
        self.switches.append(Switch(self._labels, day, self.answering, losses["champion"], losses["challenger"]))
        del self.switches[:-SWITCHES_KEPT]
        self._since = 0

    def state(self) -> dict[str, Any]:
        """As data, exactly."""
        return {
            "answering": self.answering,
            "switches": [asdict(switch) for switch in self.switches],
            "labels": self._labels,
            "since": self._since,
            "weight": self._weight,
            "sums": self._sums,
            "lead": self._lead,
            "lead2": self._lead2,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Contest:
        """The contest that `state` was taken from."""
        contest = cls()
        contest.answering = state["answering"]
        contest.switches = [Switch(**switch) for switch in state["switches"]]
        contest._labels, contest._since = state["labels"], state["since"]
        contest._weight, contest._sums = state["weight"], list(state["sums"])
        contest._lead, contest._lead2 = state["lead"], state["lead2"]
        return contest
