"""P(a customer buys again within some weeks), calibrated by what became of earlier forecasts.

Platt's line (1999) in log-odds, one for those who bought once and one for those who bought again: BG/NBD holds the
former for alive and the latter for too often gone. It is learned from outcomes that are known by then, older ones
counting less, out of sums in bins of the log-odds: bounded, and free of order within a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_LIFE_WEEKS: Final = 26.0  # of an outcome's weight: seasons pass
BINS: Final = 48
LOW, HIGH = -6.0, 6.0  # log-odds of the bins' ends: a bin is a quarter wide, and its centre is known exactly
PRIOR: Final = 10.0  # outcomes that "it is calibrated as it stands" weighs
STEPS: Final = 25  # of Newton's method at most; it settles after five or so
SETTLED: Final = 1e-10
SURE: Final = 1e-6  # probabilities are kept so far from 0 and 1


class ReturnCalibration:
    """Learns as time passes.

    >>> calibration = ReturnCalibration()
    >>> repeats, foretold = np.full(1000, 2), np.full(1000, 0.3)
    >>> calibration.learn(10, repeats, foretold, np.arange(1000) < 600)
    >>> calibration.calibrated(repeats[:1], foretold[:1]).round(2).tolist()
    [0.59]
    >>> calibration.calibrated(np.zeros(1), foretold[:1]).round(2).tolist()  # of who bought once nothing is known
    [0.3]
    """

    def __init__(self) -> None:
        self._sums = np.zeros((2, 3, BINS))  # for once and again: outcomes, log-odds, came back
        self._week = 0.0
        self._lines = [np.array([0.0, 1.0])] * 2

    def learn(self, week: float, repeats: Floats, foretold: Floats, came: NDArray[np.bool_]) -> None:
        """Takes in forecasts that were made in a week, and their outcomes; weeks do not go back."""
        self._sums *= 0.5 ** ((week - self._week) / HALF_LIFE_WEEKS)
        self._week = week
        odds = log_odds(foretold)
        bins = np.clip(((odds - LOW) / (HIGH - LOW) * BINS).astype(np.intp), 0, BINS - 1)
        for again in (0, 1):
            mine = (repeats > 0) == bool(again)
            for place, what in enumerate((None, odds, came)):
                weights = None if what is None else what[mine].astype(np.float64)
                self._sums[again, place] += np.bincount(bins[mine], weights, BINS)
        self._lines = [_line(*sums) for sums in self._sums]

    def calibrated(self, repeats: Floats, foretold: Floats) -> Floats:
        """What the forecasts are worth by what is known."""
        (a0, b0), (a1, b1) = self._lines
        again, odds = repeats > 0, log_odds(foretold)
        return np.asarray(1 / (1 + np.exp(-np.where(again, a1 + b1 * odds, a0 + b0 * odds))))


def log_odds(probability: Floats) -> Floats:
    """Kept finite."""
    p = np.clip(probability, SURE, 1 - SURE)
    return np.asarray(np.log(p / (1 - p)))


def _line(n: Floats, odds: Floats, came: Floats) -> Floats:
    """Intercept and slope of the largest posterior likelihood, around 0 and 1; a slope below 0 would turn forecasts
    round, and is not believed."""
    some = n > 0
    n, came = n[some], came[some]
    x = np.stack([np.ones_like(n), odds[some] / n])
    usual = line = np.array([0.0, 1.0])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(line @ x, -30.0, 30.0)))
        slope = x @ (came - n * p) - PRIOR * (line - usual)
        bend = (x * (n * p * (1 - p))) @ x.T + PRIOR * np.eye(2)
        step = np.linalg.solve(bend, slope)
        line = line + step
        if float(np.abs(step).max()) < SETTLED:
            break
    return line if line[1] > 0 else usual
