"""Champion/challenger selection: both learn from the same labels, and the better one is the active model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MEMBERS = ("champion", "challenger")
MEASURED = ("champion", "challenger", "prior", "answer")
"""Predictions with a log loss; `answer` is the published probability."""

HALF_LIFE_DAYS = 28
"""Half-life of the log losses, in days on which labels were released. Four weeks average over weekdays, and a lead from
another season does not decide for long."""

DECAY = 0.5 ** (1.0 / HALF_LIFE_DAYS)

SETTLE_DAYS = 28
"""Minimum number of days of release between the start or a switch and the next switch."""

SETTLE_LABELS = 1000
"""Minimum number of labels between the start or a switch and the next switch."""

LEAD_ERRORS = 3.0
"""The challenger must lead by this many standard errors of the paired difference, clustered by day: labels of one day
are correlated, and a standard error over labels would take every unusual week for a lead."""

LEAD_SHARE = 0.01
"""The challenger must also lead by this share of the loss: a switch changes the reasons of every customer."""

SWITCHES_KEPT = 32

EPSILON = 1e-7
"""Probabilities are clipped this far from 0 and 1 in the log loss: frozen probabilities may have any value."""


def log_loss(p: float, y: bool) -> float:
    """Log loss: minus the log of the probability of the observed label.

    >>> round(log_loss(0.9, True), 3), round(log_loss(0.9, False), 3), round(log_loss(1.0, False), 1)
    (0.105, 2.303, 16.1)
    """
    given = p if y else 1.0 - p
    return -math.log(min(given, 1.0)) if given > EPSILON else -math.log(EPSILON)  # NaN costs the largest loss


@dataclass(frozen=True)
class ChampionSwitch:
    """One change of the active model: when, to which model (`answering`), and the log losses at the switch."""

    labels: int
    day: int
    answering: str
    champion: float
    challenger: float


class ChampionSelector:
    """Select the active model by prequential log loss, decayed by day of release (Gama et al. 2013).

    The champion is active by default. The challenger becomes active when it leads by 3 standard errors of the paired
    difference, clustered by day, and by 1% of the loss. The champion becomes active again when it is no longer behind.
    A switch needs at least 28 days and 1,000 labels since the start or the last switch.

    Examples
    --------
    >>> selector = ChampionSelector()
    >>> for i in range(4000):
    ...     selector.update(i % 2 == 0, i // 100, 0.5, 0.7 if i % 2 == 0 else 0.3, 0.5, 0.5)
    >>> selector.active, selector.switches[0].labels
    ('challenger', 2800)
    >>> {name: round(loss, 3) for name, loss in selector.losses.items()}
    {'champion': 0.693, 'challenger': 0.357, 'prior': 0.693, 'answer': 0.693}
    """

    def __init__(self) -> None:
        self.active = MEMBERS[0]
        self.switches: list[ChampionSwitch] = []
        self._labels = 0
        self._since_labels = 0
        self._since_days = 0
        self._day = -1
        self._weight = 0.0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._today = [0.0, 0.0]  # labels; sum of the champion's loss minus the challenger's loss (the lead)
        self._totals = [0.0] * 5  # decayed over days: labels, lead, lead squared, lead times labels, labels squared

    def update(self, y: bool, day: int, champion: float, challenger: float, prior: float, answer: float) -> None:
        """Add one matured label and the probabilities that were predicted before it was known."""
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
            return dict.fromkeys(MEASURED, math.nan)
        return {name: total / self._weight for name, total in zip(MEASURED, self._sums, strict=True)}

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
        if labels <= 0.0:
            return False
        mean = lead / labels
        if self.active != "champion":
            return mean <= 0.0
        # ratio estimator: the spread of each day's lead around the mean times its labels (Cochran 1977, 6.4)
        spread = max(lead2 - 2.0 * mean * lead_labels + mean * mean * labels2, 0.0)
        error = math.sqrt(spread) / labels
        return mean > max(LEAD_ERRORS * error, LEAD_SHARE * self.losses["champion"])

    def _switch(self, day: int) -> None:
        self.active = MEMBERS[1 - MEMBERS.index(self.active)]
        losses = self.losses
        self.switches.append(ChampionSwitch(self._labels, day, self.active, losses["champion"], losses["challenger"]))
        del self.switches[:-SWITCHES_KEPT]
        self._since_labels = self._since_days = 0

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`, exact to the bit."""
        return {
            "answering": self.active,
            "switches": [asdict(switch) for switch in self.switches],
            "counts": [self._labels, self._since_labels, self._since_days, self._day],
            "weight": self._weight,
            "sums": self._sums,
            "today": self._today,
            "totals": self._totals,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> ChampionSelector:
        """Return the selector that `state` was taken from."""
        selector = cls()
        selector.active = state["answering"]
        selector.switches = [ChampionSwitch(**switch) for switch in state["switches"]]
        selector._labels, selector._since_labels, selector._since_days, selector._day = state["counts"]
        selector._weight, selector._sums = state["weight"], list(state["sums"])
        selector._today, selector._totals = list(state["today"]), list(state["totals"])
        return selector
