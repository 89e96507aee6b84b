"""Express a reason's contribution to the log-odds in percentage points of churn risk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def reason_points(reason: Mapping[str, Any], log_odds: float) -> float:
    """Return how many percentage points one reason adds to the probability.

    Args:
        reason: One of a score's `reasons` or `protective`. Its `points` are used if it has them.
        log_odds: The score's log-odds. Without `points`: p - sigmoid(log_odds - contribution), in percentage points.

    >>> reason_points({"contribution": 1.0, "points": 12.3}, 0.0)
    12.3
    >>> round(reason_points({"contribution": 1.0}, 0.0), 1), round(reason_points({"contribution": -1.0}, 0.0), 1)
    (23.1, -23.1)
    """
    points = reason.get("points")
    if points is not None:
        return float(points)
    return 100 * (probability_of(log_odds) - probability_of(log_odds - reason["contribution"]))


def points_text(points: float) -> str:
    """Format percentage points with a sign and the digits that matter.

    >>> [points_text(p) for p in (12.3, -3.04, 1.0, -0.04, -100.0)]
    ['+12 points', '-3.0 points', '+1.0 points', '0.0 points', '-100 points']
    """
    if abs(points) < 0.05:
        return "0.0 points"
    return f"{points:+.{1 if abs(points) < 9.95 else 0}f} points"


def probability_of(log_odds: float) -> float:
    """Convert log-odds to a probability.

    >>> probability_of(0.0), probability_of(-800.0)
    (0.5, 0.0)
    """
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0
