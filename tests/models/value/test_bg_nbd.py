"""BG/NBD: formulas against the paper and a simulation, the fit to cells against the fit to individual customers."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.value import bg_nbd as purchases
from models.value.bg_nbd import BgNbd, Cohort, NoEstimate, PurchaseCells, PurchaseHistory, fit

PAPER = BgNbd(0.243, 4.414, 0.793, 2.426)  # Fader, Hardie, Lee (2005), a tenth of the CDNOW customers, in weeks


def drawn(model: BgNbd, customers: int, weeks: float, seed: int) -> tuple[list[PurchaseHistory], Cohort]:
    """Draw customers from the model, who start in the first 84 days; as histories and as rows, in whole days."""
    rng = np.random.default_rng(seed)
    rate, dropout = rng.gamma(model.r, 1 / model.alpha, customers), rng.beta(model.a, model.b, customers)
    starts, end, histories = rng.integers(0, 84, customers), int(weeks * 7), []
    for first, lam, p in zip(starts.tolist(), rate.tolist(), dropout.tolist(), strict=True):
        days, at = {first}, float(first)
        while rng.random() >= p or len(days) == 1:
            at += rng.exponential(7 / max(lam, 1e-9))
            if at >= end:
                break
            days.add(int(at))
        histories.append(PurchaseHistory(len(days) - 1, first, max(days)))
    x, first, last = np.array(histories, float).T
    return histories, Cohort(np.ones(customers), x, (last - first) / 7, (end - first) / 7)


def test_docstring_examples_pass() -> None:
    """Rule: the code gives the values in the docstrings."""
    found = doctest.testmod(purchases)
    assert found.attempted
    assert not found.failed


def test_p_alive_is_the_papers_formula() -> None:
    """Rule: P(alive) is the alive share of the likelihood, and 1 for customers without a repeat purchase."""
    c = Cohort(np.ones(3), np.array([0.0, 2.0, 26.0]), np.array([0.0, 30.43, 30.86]), np.array([38.86, 38.86, 31.0]))
    r, alpha, a, b = PAPER
    by_hand = [
        1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t)) ** (r + x)) for _, x, t, T in zip(*c, strict=True)
    ]
    assert PAPER.alive(c).tolist() == pytest.approx([1.0, *by_hand[1:]], rel=1e-12)
    assert PAPER.forecast(c, 39.0)[1] == pytest.approx(1.226, abs=2e-3)  # the example of the authors' spreadsheet


def test_forecast_of_a_new_customer_is_the_expectation() -> None:
    """Rule: eq. 10 for a new customer equals eq. 9, for any number of weeks."""
    new = Cohort(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    for weeks in (1.0, 10.0, 200.0):
        assert float(PAPER.forecast(new, weeks)[0]) == pytest.approx(float(PAPER.expected(weeks)), rel=1e-9)


@pytest.mark.law
def test_fit_to_cells_is_close_to_fit_to_customers() -> None:
    """Rule: parameters from cells are within 5% of those from a fit to individual customers."""
    histories, cohort = drawn(BgNbd(0.25, 4.8, 0.73, 2.2), 12_000, 39, seed=3)
    cells = PurchaseCells()
    for history in histories:
        cells.move(None, history)
    assert len(cells.sums) < 700
    assert tuple(fit(cells.as_of(39 * 7))) == pytest.approx(tuple(fit(cohort)), rel=0.05)


@pytest.mark.law
def test_expectation_matches_simulated_customers() -> None:
    """Rule: simulated customers make the predicted number of purchases, within 5%."""
    truth = BgNbd(0.6, 6.0, 0.8, 3.0)
    earlier, cohort = drawn(truth, 20_000, 30, seed=5)
    later, _ = drawn(truth, 20_000, 50, seed=5)
    assert float(truth.expected(cohort.age).sum()) == pytest.approx(sum(o.repeats for o in earlier), rel=0.05)
    assert float(truth.expected(cohort.age + 20).sum()) == pytest.approx(sum(o.repeats for o in later), rel=0.05)


def test_return_probability_matches_simulated_customers() -> None:
    """Rule: the predicted share of simulated customers buys again, within 2 points, for rare and frequent buyers."""
    truth, later = BgNbd(0.6, 6.0, 0.8, 3.0), 20
    customers = 40_000
    rng = np.random.default_rng(11)
    rate, dropout = rng.gamma(truth.r, 1 / truth.alpha, customers), rng.beta(truth.a, truth.b, customers)
    x, t_x, returned = np.zeros(customers), np.zeros(customers), np.zeros(customers, bool)
    alive, at = np.ones(customers, bool), np.zeros(customers)
    while alive.any():  # the next purchase of all customers at once, until all have left or passed the end
        at = np.where(alive, at + rng.exponential(1 / np.maximum(rate, 1e-9)), at)
        before = alive & (at <= 30)
        returned |= alive & (at > 30) & (at <= 30 + later)
        x, t_x = x + before, np.where(before, at, t_x)
        alive = before & (rng.random(customers) >= dropout)
    cohort = Cohort(np.ones(customers), x, t_x, np.full(customers, 30.0))
    predicted = truth.returns(cohort, later)
    for low, high in ((0, 0), (1, 1), (2, 4), (5, 99)):
        rows = (x >= low) & (x <= high)
        assert rows.sum() > 1_000
        assert returned[rows].mean() == pytest.approx(predicted[rows].mean(), abs=0.02)


@pytest.mark.parametrize("histories", [[], [PurchaseHistory(0, 5, 5)]])
def test_without_a_second_purchase_there_is_no_estimate(histories: list[PurchaseHistory]) -> None:
    """Rule: insufficient data raise an error that names it."""
    cells = PurchaseCells()
    for history in histories:
        cells.move(None, history)
    with pytest.raises(NoEstimate, match="second day"):
        fit(cells.as_of(100))
