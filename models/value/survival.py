"""S(t) of each plan's subscriptions: hazards of a partition's life table, shrunk where little was seen.

Actuarial life table (Cutler and Ederer 1958): of those at risk in the j-th 30 days of a subscription, who ended in them
count whole, who is in them now counts half. From many to few: one hazard for everybody is shrunk to the configured one,
that of an age to everybody's, and a plan's to that of its ages times how many more or fewer of the plan ended than
those ages say (the indirectly standardised ratio, shrunk to 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from models.definition.value_settings import ValueSettings
from models.profile.mergeable import DAY_MS
from models.retention.life_table import ENDED, PERIOD_DAYS, LifeTable, Place

MONTH_MS: Final = PERIOD_DAYS * DAY_MS
AGES: Final = 36  # of 30 days; who is older has the hazard of all who are
PRIOR_MONTHS: Final = 100.0  # subscriptions seen for a month that the configured churn weighs
AGE_MONTHS: Final = 100.0  # the same, of everybody's hazard against an age's
PLAN_MONTHS: Final = 50.0  # the same, of an age's hazard against a plan's at that age
PLAN_ENDS: Final = 10.0  # ends that "the plan is like all others" weighs
HAZARD_MAX: Final = 0.95

Table = tuple[list[float], list[float]]
"""By age: subscriptions that ended, and those at risk."""


class SubscriptionSurvival:
    """What a partition's subscriptions let expect on a day.

    Args:
        lives: The numbers as of its beginning.
        period: The 30 days since 1970 that the day lies in.
        settings: Discount, months ahead, and the churn to expect before any was seen.
    """

    def __init__(self, life_tables: LifeTable, period: int, settings: ValueSettings) -> None:
        self._lives, self._period, self._settings = life_tables, period, settings
        self._hazards: dict[str, list[float]] = {}
        self._logs: dict[str, list[float]] = {}  # of survival, at each age
        self._lasting: dict[tuple[str, int, float], float] = {}

    def hazards(self, plan: str) -> list[float]:
        """Of each age, the share that ends within its 30 days; the last for all later ones."""
        found = self._hazards.get(plan)
        if found is None:
            found = self._hazards[plan] = self._plan(plan)
        return found

    def lasting(self, plan: str, age: int, ahead: float) -> float:
        """Sum over k of d^k S(age + k) / S(age + ahead), k from `ahead` on (whole months) up to the months counted.

        What each unit of money a month is worth today of who will still be there after `ahead` months.
        """
        age = min(age, AGES)
        key = plan, age, ahead
        found = self._lasting.get(key)
        if found is None:
            d = self._settings.monthly
            start = self._log_survival(plan, age + ahead)
            months = range(math.ceil(ahead), self._settings.months)
            terms = [d**k * math.exp(self._log_survival(plan, age + k) - start) for k in months]
            found = self._lasting[key] = math.fsum(terms)
        return found

    def survival(self, plan: str, months: float) -> float:
        """The share that lasts so many months (of 30 days) or longer."""
        return math.exp(self._log_survival(plan, months))

    def _log_survival(self, plan: str, months: float) -> float:
        """Between whole ages, and after the last one, the hazard is even."""
        logs = self._logs.get(plan)
        if logs is None:
            falls = [math.log1p(-hazard) for hazard in self.hazards(plan)]
            logs = self._logs[plan] = [0.0, *itertools.accumulate(falls)]
        whole = min(math.floor(months), AGES)
        return logs[whole] + (months - whole) * (logs[whole + 1] - logs[whole])

    @cached_property
    def _plans(self) -> dict[str, Table]:
        plans: dict[str, dict[Place, int]] = {}
        for place, number in self._lives.counts.items():
            plans.setdefault(place[0], {})[place] = number
        return {plan: life_table(counts, self._period) for plan, counts in plans.items()}

    @cached_property
    def _everybody(self) -> list[float]:
        ended, at_risk = ([sum(column) for column in zip(*tables, strict=True)] for tables in self._sides())
        overall = (sum(ended) + PRIOR_MONTHS * self._settings.churn) / (sum(at_risk) + PRIOR_MONTHS)
        return [
            min((ends + AGE_MONTHS * overall) / (months + AGE_MONTHS), HAZARD_MAX)
            for ends, months in zip(ended, at_risk, strict=True)
        ]

    def _sides(self) -> tuple[list[list[float]], list[list[float]]]:
        nobody = [0.0] * (AGES + 1)
        tables = list(self._plans.values())
        return [nobody, *(ended for ended, _ in tables)], [nobody, *(at_risk for _, at_risk in tables)]

    def _plan(self, plan: str) -> list[float]:
        usual, table = self._everybody, self._plans.get(plan)
        if table is None:
            return usual
        ended, at_risk = table
        expected = math.fsum(hazard * months for hazard, months in zip(usual, at_risk, strict=True))
        ratio = (sum(ended) + PLAN_ENDS) / (expected + PLAN_ENDS)
        return [
            min((ends + PLAN_MONTHS * ratio * hazard) / (months + PLAN_MONTHS), HAZARD_MAX)
            for ends, months, hazard in zip(ended, at_risk, usual, strict=True)
        ]


def life_table(counts: Mapping[Place, int], period: int) -> Table:
    """Ended and at risk by age, the last age with all that is older.

    >>> ended, at_risk = life_table({("", 0, 660): 4, ("", 1, 0): 1, ("", 1, 1): 2}, 661)
    >>> ended[:3], at_risk[:3]
    ([1.0, 2.0, 0.0], [7.0, 4.0, 0.0])
    """
    ended, at_risk = [0.0] * (AGES + 1), [0.0] * (AGES + 1)
    for (_, kind, at), number in counts.items():
        age, last = (at, 1.0) if kind == ENDED else (max(period - at, 0), 0.5)
        if kind == ENDED:
            ended[min(age, AGES)] += number
        for passed in range(min(age, AGES)):
            at_risk[passed] += number
        at_risk[min(age, AGES)] += number * (max(age - AGES, 0) + last)
    return ended, at_risk
