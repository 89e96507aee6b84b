"""What customers do, as numbers: recency and rhythm, activity, goals and onboarding, messages and referrals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.features import section_values as readings
from models.features.columns import ProfileColumns
from models.profile.mergeable import DAY_MS

Floats = NDArray[np.float64]


def ratio(a: Floats, b: Floats) -> Floats:
    """a / b, NaN where b is 0 or unknown."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def recency(c: ProfileColumns) -> Floats:
    return c.recency


def overdue_ratio(c: ProfileColumns) -> Floats:
    # half a day more on either side: a daily customer seen this morning is not overdue
    return ratio(recency(c) + 0.5, c.gaps[1] + 0.5)


def overdue_z(c: ProfileColumns) -> Floats:
    _, mean, deviation = c.gaps
    return (recency(c) - mean) / (deviation + 0.5)


def log_trend(counter: str, short: int, long: int) -> Callable[[ProfileColumns], Floats]:
    smoothing = 0.1  # events a day: what "nearly nothing" is, so that a ratio of zeros is 1

    def trend(c: ProfileColumns) -> Floats:
        a, b = c.count(counter, days=short) / short, c.count(counter, days=long) / long
        return np.log((a + smoothing) / (b + smoothing))

    return trend


def vs_peak(c: ProfileColumns) -> Floats:
    return ratio(c.count("engaged", days=28), np.maximum(c.peak(28), c.count("engaged", days=28)))


def stickiness(c: ProfileColumns) -> Floats:
    return ratio(c.active_days(7) / 7, c.active_days(30) / 30)


def streak_broken(c: ProfileColumns) -> Floats:
    length, since = c.streak
    return np.where((length >= 5) & (since >= 2), 1.0, 0.0)


def automated_share(c: ProfileColumns) -> Floats:
    automated = c.count("automated", days=30)
    return ratio(automated, automated + c.count("engaged", days=30))


def tenure(c: ProfileColumns) -> Floats:
    return c.days_since(c.first_ms)


def silent_share(c: ProfileColumns) -> Floats:
    """Share of the life since first engagement that passed since the last (t_x / T of BTYD models, turned around)."""
    life = c.days_since(c.first_engaged_ms)
    return ratio(recency(c) + 0.5, life + 1.0)


# Journey -------------------------------------------------------------------------------------------------------------


def goal_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.part("journey", readings.LAST_GOAL_MS))


def goal_value_last(c: ProfileColumns) -> Floats:
    return c.part("journey", readings.GOAL_LAST)


def goal_value_mean(c: ProfileColumns) -> Floats:
    return c.part("journey", readings.GOAL_MEAN)


def time_to_first_goal(c: ProfileColumns) -> Floats:
    goal = c.part("journey", readings.FIRST_GOAL_MS)
    return np.where(goal < 1e18, np.maximum(goal - c.first_ms, 0.0) / DAY_MS, np.nan)


def onboarding_share(c: ProfileColumns) -> Floats:
    return c.part("journey", readings.ONBOARDED_SHARE)


def session_minutes(c: ProfileColumns) -> Floats:
    return c.part("journey", readings.SESSION_MINUTES)


# Messages and referrals ----------------------------------------------------------------------------------------------


def open_rate(c: ProfileColumns) -> Floats:
    return ratio(c.count("message_opened", days=30), c.count("message_sent", days=30))


def unsubscribed(c: ProfileColumns) -> Floats:
    return np.nan_to_num(1.0 - c.part("identity", readings.SUBSCRIBED), nan=0.0)


def click_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.part("journey", readings.CLICKED_MS))


def referred(c: ProfileColumns) -> Floats:
    return c.part("identity", readings.REFERRED, 0.0)
