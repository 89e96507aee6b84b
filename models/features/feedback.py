"""What customers say, as numbers: tickets, surveys, reviews and mentions, named barriers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.features import section_values as readings
from models.features.columns import ProfileColumns
from models.features.engagement import tenure
from models.profile.mergeable import DAY_MS

Floats = NDArray[np.float64]


def tickets_open(c: ProfileColumns) -> Floats:
    return np.maximum(c.total("ticket") + c.total("ticket_reopened") - c.total("ticket_solved"), 0.0)


def ticket_rate(c: ProfileColumns) -> Floats:
    """Tickets of 30 days against the customer's own monthly rate."""
    own = c.total("ticket") / np.maximum(tenure(c) / 30.0, 1.0)
    return np.log((c.count("ticket", days=30) + 0.5) / (own + 0.5))


def barriers(c: ProfileColumns) -> Floats:
    out = np.zeros(c.n)
    for i, part in c.parts_at("feedback"):
        floor = c.now_list[i] - 90 * DAY_MS
        out[i] = sum(stamp[0] > floor for stamp in part.tags)
    return out


def time_to_solve(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.SOLVE_HOURS)


def csat_mean(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.CSAT_MEAN)


def csat_last(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.CSAT_LAST)


def csat_trend(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.CSAT_TREND)


def nps_last(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.NPS_LAST)


def ces_last(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.CES_LAST)


def days_since_survey(c: ProfileColumns) -> Floats:
    return c.days_since(c.part("feedback", readings.ANSWERED_MS))


def no_answer(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.NO_ANSWER, 1.0)


def sentiment(c: ProfileColumns) -> Floats:
    return c.part("feedback", readings.SENTIMENT) / 1000
