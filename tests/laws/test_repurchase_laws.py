"""Backtest and calibration of repurchase forecasts: no future data is used, and calibration corrects log-odds."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.value import repurchase_backtest, repurchase_calibration
from models.value.repurchase_backtest import AHEAD_WEEKS, backtest_repurchases, report
from models.value.repurchase_calibration import ReturnCalibration


def buyers(customers: int, end: int, seed: int) -> dict[str, list[int]]:
    """Draw customers with individual purchase rates who leave after 200 days on average, which violates BG/NBD."""
    rng, found = np.random.default_rng(seed), {}
    for number in range(customers):
        day, rate = int(rng.integers(0, 60)), rng.gamma(0.6, 0.05)
        gone, days = day + rng.exponential(200), set()
        while day < min(end, gone):
            days.add(day)
            day += 1 + int(rng.exponential(1 / max(rate, 1e-4)))
        found[str(number)] = sorted(days)
    return {name: days for name, days in found.items() if days}


def test_docstring_examples_hold() -> None:
    """Rule: the figures in docstrings match the code."""
    for module in (repurchase_calibration, repurchase_backtest):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


@pytest.mark.parametrize("repeats", [0, 3])
def test_calibration_corrects_overconfidence(repeats: int) -> None:
    """Rule: forecasts with log-odds off by a factor are corrected to within 2 percentage points at both ends."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(-2, 2, 20_000)
    overconfident = 1 / (1 + np.exp(-2 * truth))
    calibration = ReturnCalibration()
    x = np.full(len(overconfident), float(repeats))
    calibration.update(1, x, overconfident, rng.random(len(overconfident)) < 1 / (1 + np.exp(-truth)))
    ends = np.array([0.05, 0.5, 0.95])
    expected = 1 / (1 + np.exp(-np.log(ends / (1 - ends)) / 2))
    assert calibration.calibrated(np.full(3, float(repeats)), ends) == pytest.approx(expected, abs=0.02)


def test_order_within_a_week_changes_only_the_last_bits() -> None:
    """Rule: outcomes of the same week are a set."""
    rng = np.random.default_rng(2)
    p, x = rng.random(500), rng.integers(0, 4, 500).astype(float)
    returned, order = rng.random(500) < p, rng.permutation(500)
    lines = []
    for rows in (np.arange(500), order):
        calibration = ReturnCalibration()
        calibration.update(3, x[rows], p[rows], returned[rows])
        lines.append(calibration.calibrated(x, p))
    assert lines[0] == pytest.approx(lines[1], rel=1e-9)


def test_later_orders_change_no_forecast() -> None:
    """Rule: a week's forecasts, calibrated or not, are the same if the log ends once their outcomes are known. Outcomes
    equal those counted from the order days."""
    days = buyers(150, 270, 4)
    every = list(backtest_repurchases(days, 150, 269))
    assert len(every) == (270 - 150 - 7 * AHEAD_WEEKS) // 7 + 1
    cut = 150 + 7 * (AHEAD_WEEKS + 1)
    known = {name: [day for day in own if day < cut] for name, own in days.items()}
    first, second = backtest_repurchases({name: own for name, own in known.items() if own}, 150, cut - 1)
    for shorter, full in ((first, every[0]), (second, every[1])):
        assert shorter.predicted.tolist() == full.predicted.tolist()
        assert shorter.calibrated.tolist() == full.calibrated.tolist()
        assert shorter.returned.tolist() == full.returned.tolist()
    inside = [any(150 <= day < 150 + 7 * AHEAD_WEEKS for day in own) for own in days.values() if own[0] < 150]
    assert every[0].returned.tolist() == inside


def test_report_adds_up() -> None:
    """Rule: classes contain all forecasts, and each figure is their mean. Calibration reduces log loss and calibration
    error for customers who violate BG/NBD."""
    weeks = list(backtest_repurchases(buyers(500, 320, 5), 200, 319))
    found = report(weeks)
    assert found is not None
    returned = np.concatenate([week.returned for week in weeks])
    assert found.forecasts == len(returned) == sum(row.forecasts for row in found.classes)
    assert sum(row.came * row.forecasts for row in found.classes) == pytest.approx(returned.sum())
    assert found.kept
    assert found.log_loss_calibrated < found.log_loss
    assert found.ece_calibrated < found.ece
    assert report([]) is None
