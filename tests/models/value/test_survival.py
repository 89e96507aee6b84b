"""Survival of subscriptions: hazards recover the simulated ones, and shrink to the overall hazard with few data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition.value_settings import DEFAULTS, ValueSettings
from models.retention.life_table import ENDED, RUNNING, LifeTable, LifeTableCell
from models.value.survival import AGES, SubscriptionSurvival, life_table

TODAY = 20_000


def drawn(hazard: float, customers: int, seed: int, plan: str = "pro") -> dict[LifeTableCell, int]:
    """Draw subscriptions that started in the last three years and end with this hazard in each 30 days."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(TODAY - 1080, TODAY, customers)
    lasted = 30 * np.log(rng.random(customers)) / np.log(1 - hazard)
    counts: dict[LifeTableCell, int] = {}
    for start, days in zip(starts.tolist(), lasted.tolist(), strict=True):
        ended = start + days < TODAY
        cell = (plan, ENDED, int(days) // 30) if ended else (plan, RUNNING, start // 30)
        counts[cell] = counts.get(cell, 0) + 1
    return counts


@pytest.mark.parametrize("hazard", [0.02, 0.08])
def test_simulated_hazard_is_recovered(hazard: float) -> None:
    """Rule: an unfinished period counts half, so censoring causes no bias: a year's survival is within 5%."""
    found = SubscriptionSurvival(LifeTable(drawn(hazard, 8_000, 1)), TODAY // 30, DEFAULTS)
    assert found.survival("pro", 12) == pytest.approx((1 - hazard) ** 12, rel=0.05)


def test_plan_hazard_is_shrunk_to_the_overall_hazard() -> None:
    """Rule: the more data a plan has, the closer its hazard is to its own rate."""
    counts = drawn(0.03, 4_000, 2, "steady") | drawn(0.15, 4_000, 3, "fickle") | drawn(0.5, 3, 4, "new")
    found = SubscriptionSurvival(LifeTable(counts), TODAY // 30, DEFAULTS)
    steady, fickle, new, unknown = (found.survival(plan, 6) for plan in ("steady", "fickle", "new", "never seen"))
    assert steady == pytest.approx(0.97**6, rel=0.05)
    assert fickle == pytest.approx(0.85**6, rel=0.1)
    assert fickle < new < unknown < steady


def test_without_data_the_configured_churn_applies() -> None:
    """Rule: without data the hazard is the prior."""
    assert SubscriptionSurvival(LifeTable({}), 666, ValueSettings(churn=0.2)).survival("pro", 3) == pytest.approx(
        0.8**3
    )


@given(st.integers(0, 60), st.integers(0, 40), st.floats(0, 40), st.integers(0, 9))
def test_survival_never_rises(age: int, more: int, ahead: float, seed: int) -> None:
    """Rule: S starts at 1 and never rises; discounted survival is at most the sum of the discounts, at any age."""
    found = SubscriptionSurvival(LifeTable(drawn(0.1, 40, seed)), TODAY // 30, DEFAULTS)
    assert found.survival("pro", 0) == 1
    assert 0 < found.survival("pro", age + more) <= found.survival("pro", age) <= 1
    full = sum(DEFAULTS.monthly**k for k in range(DEFAULTS.months) if k >= ahead)
    assert 0 <= found.discounted_months("pro", age, ahead) <= full + 1e-9


def test_life_table_counts_subscriptions_at_risk_at_every_age() -> None:
    """Rule: at risk at an age are subscriptions that ended at it or later, or still run; the last age has all older."""
    ended, at_risk = life_table(
        {("", ENDED, AGES + 4): 2, ("", RUNNING, 660 - AGES - 3): 1, ("", RUNNING, 659): 3}, 660
    )
    assert (at_risk[0], at_risk[1], at_risk[2]) == (6, 2 + 1 + 1.5, 3)
    assert (ended[AGES], at_risk[AGES]) == (2, 2 * 5 + 3.5)
