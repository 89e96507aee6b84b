"""Features of tickets, surveys, reviews, mentions and barriers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.features import section_values
from models.features.columns import ProfileColumns
from models.features.engagement import tenure
from models.profile.mergeable import DAY_MS

Floats = NDArray[np.float64]


def tickets_open(c: ProfileColumns) -> Floats:
    """Tickets with an id are objects; see `models.profile.ticket_object`. The rest is a balance of events."""
    known = c.section_value("feedback", section_values.OPEN, 0.0)
    balance = c.total("ticket") + c.total("ticket_reopened") - c.total("ticket_solved")
    earlier = balance - c.section_value("feedback", section_values.COUNTED, 0.0)  # of releases without objects
    return known + np.maximum(earlier + c.section_value("feedback", section_values.UNMATCHED, 0.0), 0.0)


def ticket_rate(c: ProfileColumns) -> Floats:
    """Log ratio of the tickets of 30 days to the customer's own monthly rate."""
    own = c.total("ticket") / np.maximum(tenure(c) / 30.0, 1.0)
    return np.log((c.count("ticket", days=30) + 0.5) / (own + 0.5))


def barriers(c: ProfileColumns) -> Floats:
    out = np.zeros(c.n)
    for i, section in c.sections("feedback"):
        floor = c.now_list[i] - 90 * DAY_MS
        out[i] = sum(stamp[0] > floor for stamp in section.tags)
    return out


def time_to_solve(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.SOLVE_HOURS)


def csat_mean(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.CSAT_MEAN)


def csat_last(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.CSAT_LAST)


def csat_trend(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.CSAT_TREND)


def nps_last(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.NPS_LAST)


def ces_last(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.CES_LAST)


def days_since_survey(c: ProfileColumns) -> Floats:
    return c.days_since(c.section_value("feedback", section_values.ANSWERED_MS))


def no_answer(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.NO_ANSWER, 1.0)


def sentiment(c: ProfileColumns) -> Floats:
    return c.section_value("feedback", section_values.SENTIMENT) / 1000
