"""Customer value in scores: based on the partition's learned parameters, and independent of batches."""

from __future__ import annotations

import doctest
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from models.events.event import Event
from models.pipeline.score_history import to_records
from models.profile.mergeable import DAY_MS
from models.value import forecast_state as value_forecast
from models.value.forecast_state import DailyForecasts
from models.value.purchase_value import USUAL
from tests.models.histories import World, event

LINE_MS = 28 * DAY_MS * 714  # a boundary between four-week periods, in 2024


def log() -> list[Event]:
    """Events of 260 buyers and of 120 subscribers, half of them to a short-lived plan, over 90 days."""
    rng, found = np.random.default_rng(2), []
    for customer in range(260):
        day, rate = int(rng.integers(0, 20)), rng.gamma(1.0, 0.08)
        while day < 90:
            at = LINE_MS + day * DAY_MS + customer * 1000
            found.append(event("Order Completed", at, f"b{customer}", revenue=float(rng.integers(5, 90))))
            day += 1 + int(rng.exponential(1 / max(rate, 1e-2)))
    for customer in range(120):
        plan, day = ("lasting", "brief")[customer % 2], int(rng.integers(0, 40))
        at = LINE_MS + day * DAY_MS + customer
        found.append(event("Subscription Started", at, f"s{customer}", mrr=50, plan=plan))
        if plan == "brief":
            found.append(event("Subscription Cancelled", at + 25 * DAY_MS, f"s{customer}"))
        found += [event("page", at + d * DAY_MS, f"s{customer}") for d in (9, 18, 24)]
    found += [event("Subscription Started", LINE_MS + 79 * DAY_MS, f"n{n}", mrr=50, plan=("lasting", "brief")[n])
              for n in (0, 1)]  # fmt: skip
    return sorted(found, key=lambda each: (each.time_ms, each.id_hash))


LOG = log()


class Run(NamedTuple):
    """All records of `churn-scores` in order, and the value forecasts of the last batch."""

    published: list[tuple[bytes, bytes | None]]
    value_forecasts: DailyForecasts


def run(size: int) -> Run:
    """Process the log in batches, each with a new partition."""
    world, found = World(), []
    for start in range(0, len(LOG), size):
        effects = world.feed(*LOG[start : start + size])
        values, histories = to_records(world.partition.context, effects, world.store)
        world.store.apply(histories)
        found += [(each.customer, each.value) for each in values]
        world.restart()
    return Run(found, effects.value_forecasts)


@pytest.fixture(scope="module")
def whole() -> Run:
    return run(len(LOG))


def test_docstring_examples_hold() -> None:
    """Rule: the figures in docstrings match the code."""
    found = doctest.testmod(value_forecast)
    assert found.attempted
    assert not found.failed


def test_scores_do_not_depend_on_batches(whole: Run) -> None:
    """Rule: scores with their values are equal byte for byte, even if another process continues after each batch."""
    assert sorted(run(97).published, key=str) == sorted(whole.published, key=str)


def test_customer_of_a_short_lived_plan_has_less_value(whole: Run) -> None:
    """Rule: two customers with the same start and price differ by the retention of other customers on their plans."""
    newest = {customer: msgspec.json.decode(value) for customer, value in whole.published if value is not None}
    lasting, brief = newest[b"n0"], newest[b"n1"]
    assert (lasting["customer"]["plan"], brief["customer"]["plan"]) == ("lasting", "brief")
    ahead = {
        name: score["value"]["clv"] + score["value"]["clv_at_risk"] for name, score in (("l", lasting), ("b", brief))
    }
    assert ahead["b"] < 0.8 * ahead["l"]


@pytest.mark.parametrize(("days", "rhythm"), [(28, False), (84, True)])
def test_learned_parameters_apply_from_the_next_day(whole: Run, days: int, rhythm: bool) -> None:
    """Rule: parameters learned at the first order of a four-week period apply from the next day on. Order values are
    learned after four weeks, purchase rhythms after twelve."""
    line = LINE_MS + days * DAY_MS
    first = min(each.time_ms for each in LOG if each.name == "Order Completed" and each.time_ms >= line)
    before, after = (whole.value_forecasts.at(day).purchase_model for day in (first, first + DAY_MS))
    assert before.purchases == USUAL
    assert (after.purchases != USUAL) is rhythm
    assert (before.order_values == {}) is not rhythm
    [code] = after.order_values
    assert after.order_values[code].population_mean == pytest.approx(47, rel=0.1)  # uniform from 5 to 89
