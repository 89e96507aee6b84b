"""Survival of subscriptions: the Kaplan-Meier estimate with Greenwood's variance, and cumulative incidence by cause.

Each customer is one observation: their first subscription, from start to end, in days. A running subscription is
censored on the day of the report. The sums count ended subscriptions by age. The ages of running subscriptions follow
from the days on which they started.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

Z_95: Final = 1.959963984540054


class SurvivalAge(msgspec.Struct, frozen=True):
    """The estimate at an age (days since the start) at which subscriptions ended."""

    days: int
    at_risk: int
    """Subscriptions that lasted at least this long."""
    ended: list[int]
    """Ends by cause, in the order of `models.profile.subscription_change.CAUSES`."""
    survival: float
    low: float
    high: float
    """95% confidence interval from log(-log S), which stays within 0 and 1 (Kalbfleisch and Prentice 1980)."""
    lost: list[float]
    """Cumulative incidence of each cause (Aalen-Johansen); with the survival they add up to 1."""


def kaplan_meier(ended: Sequence[Mapping[int, int]], running: Mapping[int, int]) -> list[SurvivalAge]:
    """Estimate the survival curve at each age with an end.

    Kaplan and Meier (1958): S(t) = product over ages a <= t of 1 - d(a) / n(a). Greenwood (1926):
    Var S(t) = S(t)^2 sum of d(a) / (n(a) (n(a) - d(a))).

    Args:
        ended: Per cause, the number of ended subscriptions by age.
        running: The number of running (censored) subscriptions by current age; they are at risk at that age.

    >>> [row] = kaplan_meier([{2: 1}], {1: 1, 5: 3})
    >>> row.at_risk, row.survival, round(row.low, 3), round(row.high, 3)
    (4, 0.75, 0.128, 0.961)
    """
    ages = sorted({age for cause in ended for age, count in cause.items() if count})
    censored = sorted((age, count) for age, count in running.items() if count)
    at_risk = sum(count for _, count in censored) + sum(sum(cause.values()) for cause in ended)
    survival, log_survival, greenwood, index = 1.0, 0.0, 0.0, 0
    lost = [0.0] * len(ended)
    rows = []
    for age in ages:
        while index < len(censored) and censored[index][0] < age:
            at_risk -= censored[index][1]
            index += 1
        ends = [cause.get(age, 0) for cause in ended]
        deaths = sum(ends)
        lost = [share + survival * count / at_risk for share, count in zip(lost, ends, strict=True)]
        survival *= (at_risk - deaths) / at_risk
        if deaths < at_risk:
            log_survival += math.log1p(-deaths / at_risk)
            greenwood += deaths / (at_risk * (at_risk - deaths))
        rows.append(SurvivalAge(age, at_risk, ends, survival, *_interval(survival, log_survival, greenwood), lost[:]))
        at_risk -= deaths
    return rows


def _interval(survival: float, log_survival: float, greenwood: float) -> tuple[float, float]:
    if not 0 < survival < 1:
        return survival, survival
    spread = math.exp(Z_95 * math.sqrt(greenwood) / -log_survival)
    return math.exp(log_survival * spread), math.exp(log_survival / spread)


def median_days(rows: Sequence[SurvivalAge]) -> int | None:
    """Return the age at which survival falls to 50% or less; None if it never does."""
    return next((row.days for row in rows if row.survival <= 0.5), None)
