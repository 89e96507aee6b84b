"""Features of recency and rhythm, activity, goals and onboarding, messages and referrals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.features import section_values
from models.features.columns import ProfileColumns
from models.profile.mergeable import DAY_MS

Floats = NDArray[np.float64]


def ratio(a: Floats, b: Floats) -> Floats:
    """a / b, NaN if b is 0 or unknown."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def recency(c: ProfileColumns) -> Floats:
    return c.recency


def overdue_ratio(c: ProfileColumns) -> Floats:
    # half a day on both sides: a daily customer who was active this morning is not overdue
    return ratio(recency(c) + 0.5, c.gaps[1] + 0.5)


def overdue_z(c: ProfileColumns) -> Floats:
    _, mean, deviation = c.gaps
    return (recency(c) - mean) / (deviation + 0.5)


def log_trend(counter: str, short: int, long: int) -> Callable[[ProfileColumns], Floats]:
    smoothing = 0.1  # events per day; makes the ratio of zeros 1

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
    """Time since the last engagement as a share of the time since the first (1 - t_x / T in BTYD models)."""
    life = c.days_since(c.first_engaged_ms)
    return ratio(recency(c) + 0.5, life + 1.0)


# Journey -------------------------------------------------------------------------------------------------------------


def goal_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.section_value("journey", section_values.LAST_GOAL_MS))


def goal_value_last(c: ProfileColumns) -> Floats:
    return c.section_value("journey", section_values.GOAL_LAST)


def goal_value_mean(c: ProfileColumns) -> Floats:
    return c.section_value("journey", section_values.GOAL_MEAN)


def time_to_first_goal(c: ProfileColumns) -> Floats:
    goal = c.section_value("journey", section_values.FIRST_GOAL_MS)
    return np.where(goal < 1e18, np.maximum(goal - c.first_ms, 0.0) / DAY_MS, np.nan)


def onboarding_share(c: ProfileColumns) -> Floats:
    return c.section_value("journey", section_values.ONBOARDED_SHARE)


def session_minutes(c: ProfileColumns) -> Floats:
    return c.section_value("journey", section_values.SESSION_MINUTES)


# Messages and referrals ----------------------------------------------------------------------------------------------


def open_rate(c: ProfileColumns) -> Floats:
    return ratio(c.count("message_opened", days=30), c.count("message_sent", days=30))


def unsubscribed(c: ProfileColumns) -> Floats:
    return np.nan_to_num(1.0 - c.section_value("identity", section_values.SUBSCRIBED), nan=0.0)


def click_recency(c: ProfileColumns) -> Floats:
    return c.days_since(c.section_value("journey", section_values.CLICKED_MS))


def referred(c: ProfileColumns) -> Floats:
    return c.section_value("identity", section_values.REFERRED, 0.0)
