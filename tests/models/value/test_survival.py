"""How long subscriptions last: hazards that find what was drawn from, and give way to others where little is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.definition.value_settings import DEFAULTS, ValueSettings
from models.retention.life_table import ENDED, RUNNING, LifeTable, Place
from models.value.survival import AGES, SubscriptionSurvival, life_table

TODAY = 20_000


def drawn(hazard: float, customers: int, seed: int, plan: str = "pro") -> dict[Place, int]:
    """Subscriptions that began in the last three years and end at this hazard in each 30 days."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(TODAY - 1080, TODAY, customers)
    lasted = 30 * np.log(rng.random(customers)) / np.log(1 - hazard)
    counts: dict[Place, int] = {}
    for start, days in zip(starts.tolist(), lasted.tolist(), strict=True):
        gone = start + days < TODAY
        place = (plan, ENDED, int(days) // 30) if gone else (plan, RUNNING, start // 30)
        counts[place] = counts.get(place, 0) + 1
    return counts


@pytest.mark.parametrize("hazard", [0.02, 0.08])
def test_the_hazard_of_drawn_subscriptions_is_found(hazard: float) -> None:
    """Rule: half of an unfinished period counts, running ones do not make it too low; a year's survival within 5 %."""
    found = SubscriptionSurvival(LifeTable(drawn(hazard, 8_000, 1)), TODAY // 30, DEFAULTS)
    assert found.survival("pro", 12) == pytest.approx((1 - hazard) ** 12, rel=0.05)


def test_a_plan_with_few_customers_is_like_all_others_and_one_with_many_like_itself() -> None:
    """Rule: evidence moves a plan from everybody's hazard to its own."""
    counts = drawn(0.03, 4_000, 2, "steady") | drawn(0.15, 4_000, 3, "fickle") | drawn(0.5, 3, 4, "new")
    found = SubscriptionSurvival(LifeTable(counts), TODAY // 30, DEFAULTS)
    steady, fickle, new, unknown = (found.survival(plan, 6) for plan in ("steady", "fickle", "new", "never seen"))
    assert steady == pytest.approx(0.97**6, rel=0.05)
    assert fickle == pytest.approx(0.85**6, rel=0.1)
    assert fickle < new < unknown < steady


def test_nothing_seen_is_the_configured_churn() -> None:
    """Rule: the prior alone."""
    assert SubscriptionSurvival(LifeTable({}), 666, ValueSettings(churn=0.2)).survival("pro", 3) == pytest.approx(
        0.8**3
    )


@given(st.integers(0, 60), st.integers(0, 40), st.floats(0, 40), st.integers(0, 9))
def test_survival_never_rises(age: int, more: int, ahead: float, seed: int) -> None:
    """Rule: S falls from 1; what lasts of who is still there is worth at most its discounted months, at any age."""
    found = SubscriptionSurvival(LifeTable(drawn(0.1, 40, seed)), TODAY // 30, DEFAULTS)
    assert found.survival("pro", 0) == 1
    assert 0 < found.survival("pro", age + more) <= found.survival("pro", age) <= 1
    full = sum(DEFAULTS.monthly**k for k in range(DEFAULTS.months) if k >= ahead)
    assert 0 <= found.lasting("pro", age, ahead) <= full + 1e-9


def test_a_life_table_counts_everybody_at_every_age_they_reached() -> None:
    """Rule: at risk at an age are those who ended at it or later, and those who run; the last age holds all older."""
    ended, at_risk = life_table(
        {("", ENDED, AGES + 4): 2, ("", RUNNING, 660 - AGES - 3): 1, ("", RUNNING, 659): 3}, 660
    )
    assert (at_risk[0], at_risk[1], at_risk[2]) == (6, 2 + 1 + 1.5, 3)
    assert (ended[AGES], at_risk[AGES]) == (2, 2 * 5 + 3.5)
