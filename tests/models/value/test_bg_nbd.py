"""BG/NBD: the formulas against the paper's and a simulation, the fit from cells against one from every customer."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from models.value import bg_nbd as purchases
from models.value.bg_nbd import BgNbd, Cohort, NoEstimate, PurchaseCells, PurchaseHistory, fit

PAPER = BgNbd(0.243, 4.414, 0.793, 2.426)  # Fader, Hardie, Lee (2005), a tenth of the CDNOW customers, in weeks


def drawn(model: BgNbd, customers: int, weeks: float, seed: int) -> tuple[list[PurchaseHistory], Cohort]:
    """Customers drawn from the model, who began in the first 84 days; as occasions and as rows, whole days."""
    rng = np.random.default_rng(seed)
    rate, leaves = rng.gamma(model.r, 1 / model.alpha, customers), rng.beta(model.a, model.b, customers)
    begun, end, found = rng.integers(0, 84, customers), int(weeks * 7), []
    for first, lam, p in zip(begun.tolist(), rate.tolist(), leaves.tolist(), strict=True):
        days, at = {first}, float(first)
        while rng.random() >= p or len(days) == 1:
            at += rng.exponential(7 / max(lam, 1e-9))
            if at >= end:
                break
            days.add(int(at))
        found.append(PurchaseHistory(len(days) - 1, first, max(days)))
    x, first, last = np.array(found, float).T
    return found, Cohort(np.ones(customers), x, (last - first) / 7, (end - first) / 7)


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    found = doctest.testmod(purchases)
    assert found.attempted
    assert not found.failed


def test_p_alive_is_the_papers_formula() -> None:
    """Rule: P(alive) follows from the share of the likelihood that says alive; 1 for who never bought again."""
    c = Cohort(np.ones(3), np.array([0.0, 2.0, 26.0]), np.array([0.0, 30.43, 30.86]), np.array([38.86, 38.86, 31.0]))
    r, alpha, a, b = PAPER
    by_hand = [
        1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t)) ** (r + x)) for _, x, t, T in zip(*c, strict=True)
    ]
    assert PAPER.alive(c).tolist() == pytest.approx([1.0, *by_hand[1:]], rel=1e-12)
    assert PAPER.forecast(c, 39.0)[1] == pytest.approx(1.226, abs=2e-3)  # the customer of the authors' spreadsheet


def test_a_short_forecast_is_the_derivative_of_nothing_but_the_formula() -> None:
    """Rule: forecasts of a new customer, weeks in a row, add up to the expectation for all of them."""
    new = Cohort(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    for weeks in (1.0, 10.0, 200.0):
        assert float(PAPER.forecast(new, weeks)[0]) == pytest.approx(float(PAPER.expected(weeks)), rel=1e-9)


@pytest.mark.law
def test_cells_estimate_as_well_as_every_customer() -> None:
    """Rule: parameters from cells are within 5 % of those from a batch fit to every customer."""
    occasions, cohort = drawn(BgNbd(0.25, 4.8, 0.73, 2.2), 12_000, 39, seed=3)
    cells = PurchaseCells()
    for one in occasions:
        cells.move(None, one)
    assert len(cells.sums) < 700
    assert tuple(fit(cells.as_of(39 * 7))) == pytest.approx(tuple(fit(cohort)), rel=0.05)


@pytest.mark.law
def test_a_forecast_is_what_drawn_customers_do() -> None:
    """Rule: customers drawn from the model buy in the next weeks what it foretells, within 5 %."""
    truth = BgNbd(0.6, 6.0, 0.8, 3.0)
    begun, cohort = drawn(truth, 20_000, 30, seed=5)
    later, _ = drawn(truth, 20_000, 50, seed=5)
    assert float(truth.expected(cohort.age).sum()) == pytest.approx(sum(o.repeats for o in begun), rel=0.05)
    assert float(truth.expected(cohort.age + 20).sum()) == pytest.approx(sum(o.repeats for o in later), rel=0.05)


def test_who_comes_back_is_foretold_in_the_right_share() -> None:
    """Rule: of customers drawn from the model as many buy again as it says, within 2 points, rare and keen buyers."""
    truth, later = BgNbd(0.6, 6.0, 0.8, 3.0), 20
    customers = 40_000
    rng = np.random.default_rng(11)
    rate, leaves = rng.gamma(truth.r, 1 / truth.alpha, customers), rng.beta(truth.a, truth.b, customers)
    x, t_x, returned = np.zeros(customers), np.zeros(customers), np.zeros(customers, bool)
    alive, at = np.ones(customers, bool), np.zeros(customers)
    while alive.any():  # everybody's next purchase at once, until all are gone or past the end
        at = np.where(alive, at + rng.exponential(1 / np.maximum(rate, 1e-9)), at)
        before = alive & (at <= 30)
        returned |= alive & (at > 30) & (at <= 30 + later)
        x, t_x = x + before, np.where(before, at, t_x)
        alive = before & (rng.random(customers) >= leaves)
    cohort = Cohort(np.ones(customers), x, t_x, np.full(customers, 30.0))
    foretold = truth.returns(cohort, later)
    for low, high in ((0, 0), (1, 1), (2, 4), (5, 99)):
        mine = (x >= low) & (x <= high)
        assert mine.sum() > 1_000
        assert returned[mine].mean() == pytest.approx(foretold[mine].mean(), abs=0.02)


@pytest.mark.parametrize("occasions", [[], [PurchaseHistory(0, 5, 5)]])
def test_without_a_second_purchase_there_is_no_estimate(occasions: list[PurchaseHistory]) -> None:
    """Rule: where nothing can be learned that is said, not made up."""
    cells = PurchaseCells()
    for one in occasions:
        cells.move(None, one)
    with pytest.raises(NoEstimate, match="second day"):
        fit(cells.as_of(100))
