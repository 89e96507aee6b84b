"""Gamma-Gamma: formulas, and the fit to cells against the fit to customers and the published estimates."""

from __future__ import annotations

import doctest
import gzip
import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gamma as gamma_law

from models.value import gamma_gamma as spending
from models.value import mle as likelihood
from models.value.bg_nbd import BgNbd, Cohort
from models.value.bg_nbd import fit as fit_purchases
from models.value.gamma_gamma import GammaGamma, Spenders, SpendHistory, SpendingCells, fit
from models.value.mle import NoEstimate
from tests.models.cdnow_sample import sample
from tests.paths import SHARED_DATA

CDNOW = SHARED_DATA / "cdnow.jsonl.gz"
NOTE = GammaGamma(6.25, 3.74, 15.44)  # Fader and Hardie (2013), repeat purchases of a tenth of the CDNOW customers


def drawn(model: GammaGamma, customers: int, seed: int) -> list[SpendHistory]:
    """Draw customers with two to nine purchases, in cents."""
    rng = np.random.default_rng(seed)
    nu = rng.gamma(model.q, 1 / model.gamma, customers)
    x = rng.integers(2, 10, customers)
    total = rng.gamma(model.p * x, 1 / nu)
    return [SpendHistory(int(n), max(round(100 * z), 1)) for n, z in zip(x, total, strict=True)]


def rows(spent: list[SpendHistory]) -> Spenders:
    x, revenue = np.array([each[:2] for each in spent], float).T
    return Spenders(np.ones(len(x)), x, revenue / x / 100)


def test_docstring_examples_pass() -> None:
    """Rule: the code gives the values in the docstrings."""
    for module in (spending, likelihood):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


def test_the_likelihood_is_that_of_the_mixture() -> None:
    """Rule: eq. 1a is the integral over nu of Gamma(px, nu x) for the mean, weighted by Gamma(q, gamma) for nu."""
    x, mean = 3, 27.0
    p, q, scale = NOTE

    def density(nu: float) -> float:
        return float(gamma_law.pdf(mean, p * x, scale=1 / (nu * x)) * gamma_law.pdf(nu, q, scale=1 / scale))

    by_hand, _ = quad(density, 0, 5)
    spender = Spenders(np.ones(1), np.array([float(x)]), np.array([mean]))
    assert NOTE.log_likelihood(spender) == pytest.approx(np.log(by_hand), rel=1e-6)


@pytest.mark.law
def test_fit_to_cells_is_close_to_fit_to_customers() -> None:
    """Rule: on simulated customers, the fit to cells and the fit to customers agree within 2%. The fit recovers the
    population mean within 2%, and q, which describes how customers differ, within 10%."""
    spent = drawn(NOTE, 8_000, 7)
    cells = SpendingCells()
    for history in spent:
        cells.move(None, history)
    assert len(cells.sums) < 300
    batch = fit(rows(spent))
    assert tuple(fit(cells.spenders())) == pytest.approx(tuple(batch), rel=0.02)
    assert batch.population_mean == pytest.approx(NOTE.population_mean, rel=0.02)
    assert batch.q == pytest.approx(NOTE.q, rel=0.1)


def test_expected_value_matches_the_next_purchase() -> None:
    """Rule: simulated customers with high and with low spending next spend what the model expects, within 3%."""
    rng, customers = np.random.default_rng(3), 40_000
    nu = rng.gamma(NOTE.q, 1 / NOTE.gamma, customers)
    x = rng.integers(1, 6, customers)
    past, following = rng.gamma(NOTE.p * x, 1 / nu) / x, rng.gamma(NOTE.p, 1 / nu)
    expected = NOTE.expected(x.astype(np.float64), past)
    high = past > np.median(past)
    for rows_ in (high, ~high):
        assert expected[rows_].mean() == pytest.approx(following[rows_].mean(), rel=0.03)
    assert abs(past[high].mean() / following[high].mean() - 1) > 0.05  # the past mean alone predicts worse


SPENT = st.builds(SpendHistory, st.integers(1, 40), st.integers(1, 10**7))


@given(st.lists(st.lists(SPENT, min_size=1, max_size=4), max_size=8), st.randoms(use_true_random=False))
def test_cells_depend_neither_on_order_nor_on_partitions(customers: list[list[SpendHistory]], rng: object) -> None:
    """Rule: the cells depend only on each customer's latest history, in any order and over any partitions."""
    once = SpendingCells()
    for histories in customers:
        once.move(None, histories[-1])
    parts = [SpendingCells(), SpendingCells()]
    for number, histories in enumerate(reversed(customers)):
        for before, after in zip([None, *histories], histories, strict=False):
            parts[number % 2].move(before, after)
    merged = parts[0].merge(parts[1])
    assert merged.sums == once.sums
    assert sum(sums[0] for sums in merged.sums.values()) == len(customers)


@pytest.mark.parametrize("spent", [[], [SpendHistory(1, 500), SpendHistory(1, 900)]])
def test_without_a_second_purchase_there_is_no_estimate(spent: list[SpendHistory]) -> None:
    """Rule: insufficient data raise an error that names it."""
    cells = SpendingCells()
    for history in spent:
        cells.move(None, history)
    with pytest.raises(NoEstimate, match="second purchase"):
        fit(cells.spenders())


def test_fit_is_independent_of_the_currency() -> None:
    """Rule: in a currency worth a thousandth, gamma is a thousand times as large, and p and q are equal."""
    found = rows(drawn(NOTE, 3_000, 5))
    p, q, scale = fit(found)
    assert fit(found._replace(mean=found.mean * 1000)) == pytest.approx((p, q, 1000 * scale), rel=1e-3)


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW log is not available")
def test_published_cdnow_estimates_are_reproduced() -> None:
    """Rule: on the papers' sample of CDNOW over 39 weeks, the fits give p 6.25, q 3.74, gamma 15.44 for the 946 repeat
    customers, within 1%, and r 0.243, alpha 4.414, a 0.793, b 2.426 for all 2,357 customers, within 2%."""
    in_sample, bought = sample(), defaultdict[str, dict[int, float]](dict)
    with gzip.open(CDNOW) as lines:
        for line in lines:
            order = json.loads(line)
            if order["userId"] in in_sample and (date := order["timestamp"][:10]) < "1997-10-01":
                day = int(np.datetime64(date).astype(int))
                days = bought[order["userId"]]
                days[day] = days.get(day, 0.0) + (order["properties"].get("revenue") or 0.0)
    repeat_values = [values for days in bought.values() if sum(values := [days[day] for day in sorted(days)][1:]) > 0]
    assert (len(bought), len(repeat_values)) == (2_357, 946)
    x = np.array([float(len(values)) for values in repeat_values])
    found = fit(Spenders(np.ones(len(x)), x, np.array([sum(values) for values in repeat_values]) / x))
    assert tuple(found) == pytest.approx(tuple(NOTE), rel=0.01)
    end = int(np.datetime64("1997-09-30").astype(int))
    rhythm = np.array([(len(d) - 1, (max(d) - min(d)) / 7, (end - min(d)) / 7) for d in bought.values()]).T
    batch = fit_purchases(Cohort(np.ones(len(bought)), *rhythm))
    assert tuple(batch) == pytest.approx(tuple(BgNbd(0.243, 4.414, 0.793, 2.426)), rel=0.02)
