"""How long subscriptions last: the Kaplan-Meier estimate with Greenwood's variance, and its causes apart.

One observation a customer: the first time from a start to an end, in days. Who still runs is censored on the day of
the look. Ages at an end are counted in the sums; ages at the look follow from the days on which running ones began.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

Z_95: Final = 1.959963984540054


class SurvivalAge(msgspec.Struct, frozen=True):
    """What is known at an age (days since the start) at which somebody's subscription ended."""

    days: int
    at_risk: int
    """Subscriptions that lasted this long or longer."""
    ended: list[int]
    """By cause, in the order of `models.retention.subscription_flows.CAUSES`."""
    survival: float
    low: float
    high: float
    """Of 95 % confidence, from log(-log S): never below 0 or above 1 (Kalbfleisch and Prentice, 1980)."""
    lost: list[float]
    """Share lost so far to each cause (Aalen-Johansen); with the survival they add up to 1."""


def kaplan_meier(ended: Sequence[Mapping[int, int]], running: Mapping[int, int]) -> list[SurvivalAge]:
    """The survival curve, at each age with an end.

    Kaplan and Meier (1958): S(t) = product over ages a <= t of 1 - d(a) / n(a). Greenwood (1926):
    Var S(t) = S(t)^2 sum of d(a) / (n(a) (n(a) - d(a))).

    Args:
        ended: For each cause, how many ended at which age.
        running: How many run at the look, by the age that they have then; they are at risk at that age.

    >>> [row] = kaplan_meier([{2: 1}], {1: 1, 5: 3})
    >>> row.at_risk, row.survival, round(row.low, 3), round(row.high, 3)
    (4, 0.75, 0.128, 0.961)
    """
    ages = sorted({age for cause in ended for age, count in cause.items() if count})
    left = sorted((age, count) for age, count in running.items() if count)
    at_risk = sum(count for _, count in left) + sum(sum(cause.values()) for cause in ended)
    survival, greenwood, place = 1.0, 0.0, 0
    lost = [0.0] * len(ended)
    rows = []
    for age in ages:
        while place < len(left) and left[place][0] < age:
            at_risk -= left[place][1]
            place += 1
        now = [cause.get(age, 0) for cause in ended]
        deaths = sum(now)
        lost = [share + survival * count / at_risk for share, count in zip(lost, now, strict=True)]
        survival *= 1 - deaths / at_risk
        greenwood += deaths / (at_risk * (at_risk - deaths)) if deaths < at_risk else math.inf
        rows.append(SurvivalAge(age, at_risk, now, survival, *_band(survival, greenwood), lost[:]))
        at_risk -= deaths
    return rows


def _band(survival: float, greenwood: float) -> tuple[float, float]:
    if not 0 < survival < 1:
        return survival, survival
    spread = math.exp(Z_95 * math.sqrt(greenwood) / abs(math.log(survival)))
    return survival**spread, survival ** (1 / spread)


def median_days(rows: Sequence[SurvivalAge]) -> int | None:
    """The age by which half have ended, None while more than half last."""
    return next((row.days for row in rows if row.survival <= 0.5), None)
