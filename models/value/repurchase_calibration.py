"""Online calibration of the probability that a customer buys again within some weeks.

Platt scaling (1999) is a line in log-odds. There is one line for customers who bought once, and one for customers who
bought again: BG/NBD always considers the former alive, and the latter lost too often. The lines are fitted to known
outcomes, with decaying weight, from sums in bins of the log-odds. The sums are bounded and do not depend on the order
of outcomes with equal time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_LIFE_WEEKS: Final = 26.0  # of an outcome's weight, to follow seasons
BINS: Final = 48
LOW, HIGH = -6.0, 6.0  # range of the bins in log-odds: a bin is 0.25 wide, and its mean is known exactly
PRIOR: Final = 10.0  # weight of "already calibrated", in outcomes
STEPS: Final = 25  # maximum of Newton's method, which converges after about five
TOLERANCE: Final = 1e-10
CLIP: Final = 1e-6  # distance of probabilities from 0 and 1


class ReturnCalibration:
    """Two calibration lines, updated as outcomes become known.

    >>> calibration = ReturnCalibration()
    >>> repeats, predicted = np.full(1000, 2), np.full(1000, 0.3)
    >>> calibration.update(10, repeats, predicted, np.arange(1000) < 600)
    >>> calibration.calibrated(repeats[:1], predicted[:1]).round(2).tolist()
    [0.59]
    >>> calibration.calibrated(np.zeros(1), predicted[:1]).round(2).tolist()  # no outcomes of one-time buyers
    [0.3]
    """

    def __init__(self) -> None:
        self._sums = np.zeros((2, 3, BINS))  # for one-time and repeat buyers: outcomes, log-odds, returns
        self._week = 0.0
        self._lines = [np.array([0.0, 1.0])] * 2

    def update(self, week: float, repeats: Floats, predicted: Floats, returned: NDArray[np.bool_]) -> None:
        """Add the predictions of a week and their outcomes. Weeks must not decrease."""
        self._sums *= 0.5 ** ((week - self._week) / HALF_LIFE_WEEKS)
        self._week = week
        odds = log_odds(predicted)
        bins = np.clip(((odds - LOW) / (HIGH - LOW) * BINS).astype(np.intp), 0, BINS - 1)
        for repeat_buyer in (0, 1):
            rows = (repeats > 0) == bool(repeat_buyer)
            for index, values in enumerate((None, odds, returned)):
                weights = None if values is None else values[rows].astype(np.float64)
                self._sums[repeat_buyer, index] += np.bincount(bins[rows], weights, BINS)
        self._lines = [_line(*sums) for sums in self._sums]

    def calibrated(self, repeats: Floats, predicted: Floats) -> Floats:
        """Calibrate predictions with the current lines."""
        (a0, b0), (a1, b1) = self._lines
        repeat_buyer, odds = repeats > 0, log_odds(predicted)
        return np.asarray(1 / (1 + np.exp(-np.where(repeat_buyer, a1 + b1 * odds, a0 + b0 * odds))))


def log_odds(probability: Floats) -> Floats:
    """Return the log-odds of clipped probabilities."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return np.asarray(np.log(p / (1 - p)))


def _line(n: Floats, odds: Floats, returned: Floats) -> Floats:
    """Fit intercept and slope by maximum posterior, with prior means 0 and 1.

    A negative slope would reverse the ranking of predictions, so the prior line replaces it.
    """
    filled = n > 0
    n, returned = n[filled], returned[filled]
    x = np.stack([np.ones_like(n), odds[filled] / n])
    prior = line = np.array([0.0, 1.0])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(line @ x, -30.0, 30.0)))
        gradient = x @ (returned - n * p) - PRIOR * (line - prior)
        hessian = (x * (n * p * (1 - p))) @ x.T + PRIOR * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        line = line + step
        if float(np.abs(step).max()) < TOLERANCE:
            break
    return line if line[1] > 0 else prior
