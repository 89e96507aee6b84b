"""Who comes back, foretold and calibrated: nothing is known before its time, and a line bends what is off."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.value import repurchase_backtest as return_check
from models.value import repurchase_calibration as return_calibration
from models.value.repurchase_backtest import AHEAD_WEEKS, backtest_repurchases, report
from models.value.repurchase_calibration import ReturnCalibration


def buyers(customers: int, end: int, seed: int) -> dict[str, list[int]]:
    """Who buy at rates of their own, and leave one day in 200: not as BG/NBD has it."""
    rng, found = np.random.default_rng(seed), {}
    for number in range(customers):
        day, rate = int(rng.integers(0, 60)), rng.gamma(0.6, 0.05)
        gone, days = day + rng.exponential(200), set()
        while day < min(end, gone):
            days.add(day)
            day += 1 + int(rng.exponential(1 / max(rate, 1e-4)))
        found[str(number)] = sorted(days)
    return {name: days for name, days in found.items() if days}


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    for module in (return_calibration, return_check):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


@pytest.mark.parametrize("repeats", [0, 3])
def test_a_line_bends_what_is_off(repeats: int) -> None:
    """Rule: forecasts too sure of themselves by a factor in log-odds are set right within 2 points at either end."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(-2, 2, 20_000)
    sure = 1 / (1 + np.exp(-2 * truth))
    calibration = ReturnCalibration()
    x = np.full(len(sure), float(repeats))
    calibration.update(1, x, sure, rng.random(len(sure)) < 1 / (1 + np.exp(-truth)))
    ends = np.array([0.05, 0.5, 0.95])
    expected = 1 / (1 + np.exp(-np.log(ends / (1 - ends)) / 2))
    assert calibration.calibrated(np.full(3, float(repeats)), ends) == pytest.approx(expected, abs=0.02)


def test_order_within_a_week_changes_nothing_but_the_last_bits() -> None:
    """Rule: outcomes of a time are a set."""
    rng = np.random.default_rng(2)
    p, x = rng.random(500), rng.integers(0, 4, 500).astype(float)
    came, order = rng.random(500) < p, rng.permutation(500)
    lines = []
    for places in (np.arange(500), order):
        calibration = ReturnCalibration()
        calibration.update(3, x[places], p[places], came[places])
        lines.append(calibration.calibrated(x, p))
    assert lines[0] == pytest.approx(lines[1], rel=1e-9)


def test_what_comes_later_changes_no_forecast() -> None:
    """Rule: a week's forecasts, calibrated or not, are the same if the log ends when their outcome is known; the
    outcomes are counted from the days themselves."""
    days = buyers(150, 270, 4)
    every = list(backtest_repurchases(days, 150, 269))
    assert len(every) == (270 - 150 - 7 * AHEAD_WEEKS) // 7 + 1
    cut = 150 + 7 * (AHEAD_WEEKS + 1)
    known = {name: [day for day in mine if day < cut] for name, mine in days.items()}
    first, second = backtest_repurchases({name: mine for name, mine in known.items() if mine}, 150, cut - 1)
    for mine, all_ in ((first, every[0]), (second, every[1])):
        assert mine.predicted.tolist() == all_.predicted.tolist()
        assert mine.calibrated.tolist() == all_.calibrated.tolist()
        assert mine.returned.tolist() == all_.returned.tolist()
    inside = [any(150 <= day < 150 + 7 * AHEAD_WEEKS for day in mine) for mine in days.values() if mine[0] < 150]
    assert every[0].returned.tolist() == inside


def test_the_report_adds_up() -> None:
    """Rule: classes hold all forecasts; each figure is the mean of theirs; calibration makes log loss and error smaller
    on customers who do not leave as BG/NBD says."""
    weeks = list(backtest_repurchases(buyers(500, 320, 5), 200, 319))
    found = report(weeks)
    assert found is not None
    came = np.concatenate([week.returned for week in weeks])
    assert found.forecasts == len(came) == sum(one.forecasts for one in found.classes)
    assert sum(one.came * one.forecasts for one in found.classes) == pytest.approx(came.sum())
    assert found.kept
    assert found.log_loss_calibrated < found.log_loss
    assert found.ece_calibrated < found.ece
    assert report([]) is None
