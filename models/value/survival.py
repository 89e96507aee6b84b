"""Survival S(t) of each plan's subscriptions: hazards of a partition's life table, shrunk if there are few data.

Actuarial life table (Cutler and Ederer 1958): a subscription that ended in its j-th 30 days is at risk for the whole
period, a subscription that is in it now is at risk for half of it. Shrinkage has three levels. The overall hazard is
shrunk to the configured one. The hazard of an age is shrunk to the overall hazard. The hazard of a plan at an age is
shrunk to the hazard of that age times the plan's ratio of observed to expected ends (the indirectly standardised ratio,
itself shrunk to 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from models.definition.value_settings import ValueSettings
from models.profile.mergeable import DAY_MS
from models.retention.life_table import ENDED, PERIOD_DAYS, LifeTable, LifeTableCell

MONTH_MS: Final = PERIOD_DAYS * DAY_MS
AGES: Final = 36  # of 30 days each; all older subscriptions share one hazard
PRIOR_MONTHS: Final = 100.0  # weight of the configured churn, in observed subscription months
AGE_MONTHS: Final = 100.0  # weight of the overall hazard against the hazard of an age
PLAN_MONTHS: Final = 50.0  # weight of the hazard of an age against the plan's hazard at that age
PLAN_ENDS: Final = 10.0  # weight of "the plan is like all others", in ends
HAZARD_MAX: Final = (
    1.0 - 1e-9
)  # the log of survival stays finite; half of a running month counts, so ends can exceed it

Table = tuple[list[float], list[float]]
"""By age: subscriptions that ended, and subscriptions at risk."""


class SubscriptionSurvival:
    """Survival of a partition's subscriptions as of a day.

    Args:
        life_tables: The life table at the beginning of the day.
        period: The 30-day period (since 1970) of the day.
        settings: Discount, months ahead, and the churn to assume without data.
    """

    def __init__(self, life_tables: LifeTable, period: int, settings: ValueSettings) -> None:
        self._life_tables, self._period, self._settings = life_tables, period, settings
        self._hazards: dict[str, list[float]] = {}
        self._log_survivals: dict[str, list[float]] = {}  # at each age
        self._discounted: dict[tuple[str, int, float], float] = {}

    def hazards(self, plan: str) -> list[float]:
        """Share of subscriptions that end within the 30 days of each age; the last applies to all later ages."""
        hazards = self._hazards.get(plan)
        if hazards is None:
            hazards = self._hazards[plan] = self._plan_hazards(plan)
        return hazards

    def discounted_months(self, plan: str, age: int, ahead: float) -> float:
        """Sum d^k S(age + k) / S(age + ahead) over whole months k, from `ahead` to the configured months.

        This is the present value of one unit of money per month, of a subscription that lasts `ahead` months.
        """
        age = min(age, AGES)
        key = plan, age, ahead
        total = self._discounted.get(key)
        if total is None:
            d = self._settings.monthly
            start = self._log_survival(plan, age + ahead)
            months = range(math.ceil(ahead), self._settings.months)
            terms = [d**k * math.exp(self._log_survival(plan, age + k) - start) for k in months]
            total = self._discounted[key] = math.fsum(terms)
        return total

    def survival(self, plan: str, months: float) -> float:
        """Share of subscriptions that last this many months (of 30 days) or longer."""
        return math.exp(self._log_survival(plan, months))

    def _log_survival(self, plan: str, months: float) -> float:
        """Log of S; the hazard is constant between whole ages and after the last one."""
        logs = self._log_survivals.get(plan)
        if logs is None:
            steps = [math.log1p(-hazard) for hazard in self.hazards(plan)]
            logs = self._log_survivals[plan] = [0.0, *itertools.accumulate(steps)]
        whole = min(math.floor(months), AGES)
        return logs[whole] + (months - whole) * (logs[whole + 1] - logs[whole])

    @cached_property
    def _plans(self) -> dict[str, Table]:
        plans: dict[str, dict[LifeTableCell, int]] = {}
        for cell, number in self._life_tables.counts.items():
            plans.setdefault(cell[0], {})[cell] = number
        return {plan: life_table(counts, self._period) for plan, counts in plans.items()}

    @cached_property
    def _overall_hazards(self) -> list[float]:
        ended, at_risk = ([sum(column) for column in zip(*tables, strict=True)] for tables in self._columns())
        overall = (sum(ended) + PRIOR_MONTHS * self._settings.churn) / (sum(at_risk) + PRIOR_MONTHS)
        return [
            min((ends + AGE_MONTHS * overall) / (months + AGE_MONTHS), HAZARD_MAX)
            for ends, months in zip(ended, at_risk, strict=True)
        ]

    def _columns(self) -> tuple[list[list[float]], list[list[float]]]:
        zeros = [0.0] * (AGES + 1)
        tables = list(self._plans.values())
        return [zeros, *(ended for ended, _ in tables)], [zeros, *(at_risk for _, at_risk in tables)]

    def _plan_hazards(self, plan: str) -> list[float]:
        overall, table = self._overall_hazards, self._plans.get(plan)
        if table is None:
            return overall
        ended, at_risk = table
        expected = math.fsum(hazard * months for hazard, months in zip(overall, at_risk, strict=True))
        ratio = (sum(ended) + PLAN_ENDS) / (expected + PLAN_ENDS)
        return [
            min((ends + PLAN_MONTHS * ratio * hazard) / (months + PLAN_MONTHS), HAZARD_MAX)
            for ends, months, hazard in zip(ended, at_risk, overall, strict=True)
        ]


def life_table(counts: Mapping[LifeTableCell, int], period: int) -> Table:
    """Build the table of ended and at risk by age; the last age includes all older subscriptions.

    >>> ended, at_risk = life_table({("", 0, 660): 4, ("", 1, 0): 1, ("", 1, 1): 2}, 661)
    >>> ended[:3], at_risk[:3]
    ([1.0, 2.0, 0.0], [7.0, 4.0, 0.0])
    """
    ended, at_risk = [0.0] * (AGES + 1), [0.0] * (AGES + 1)
    for (_, kind, at), number in counts.items():
        age, last = (at, 1.0) if kind == ENDED else (max(period - at, 0), 0.5)
        if kind == ENDED:
            ended[min(age, AGES)] += number
        for earlier in range(min(age, AGES)):
            at_risk[earlier] += number
        at_risk[min(age, AGES)] += number * (max(age - AGES, 0) + last)
    return ended, at_risk
