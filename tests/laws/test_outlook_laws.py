"""What scores say of worth: read from what the partition has learned, and the same however the log is cut."""

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

LINE_MS = 28 * DAY_MS * 714  # a line of four weeks, in 2024


def log() -> list[Event]:
    """Of 260 who buy and 120 who subscribe to a plan that lasts or to one that does not, over 90 days."""
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
    return sorted(found, key=lambda one: (one.time_ms, one.id_hash))


LOG = log()


class Run(NamedTuple):
    """Every value of `churn-scores` in order, and what the last batch read."""

    told: list[tuple[bytes, bytes | None]]
    value_forecasts: DailyForecasts


def run(size: int) -> Run:
    """The log in batches, each by a partition made anew."""
    world, found = World(), []
    for start in range(0, len(LOG), size):
        effects = world.feed(*LOG[start : start + size])
        values, histories = to_records(world.partition.context, effects, world.store)
        world.store.apply(histories)
        found += [(one.customer, one.value) for one in values]
        world.restart()
    return Run(found, effects.value_forecasts)


@pytest.fixture(scope="module")
def whole() -> Run:
    return run(len(LOG))


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    found = doctest.testmod(value_forecast)
    assert found.attempted
    assert not found.failed


def test_however_the_log_is_cut_every_score_says_the_same(whole: Run) -> None:
    """Rule: value included, byte for byte, also when another process goes on after each batch."""
    assert sorted(run(97).told, key=str) == sorted(whole.told, key=str)


def test_a_plan_that_does_not_last_is_worth_less(whole: Run) -> None:
    """Rule: two who begin on the same day at the same price differ by what became of others on their plans."""
    newest = {customer: msgspec.json.decode(value) for customer, value in whole.told if value is not None}
    lasting, brief = newest[b"n0"], newest[b"n1"]
    assert (lasting["customer"]["plan"], brief["customer"]["plan"]) == ("lasting", "brief")
    ahead = {name: one["value"]["clv"] + one["value"]["clv_at_risk"] for name, one in (("l", lasting), ("b", brief))}
    assert ahead["b"] < 0.8 * ahead["l"]


@pytest.mark.parametrize(("days", "rhythm"), [(28, False), (84, True)])
def test_what_is_learned_holds_from_the_day_after_the_line_on(whole: Run, days: int, rhythm: bool) -> None:
    """Rule: on the day of the next four weeks' first order what was known, from the day after what was learned: values
    after four weeks, rhythms after twelve."""
    line = LINE_MS + days * DAY_MS
    first = min(one.time_ms for one in LOG if one.name == "Order Completed" and one.time_ms >= line)
    before, after = (whole.value_forecasts.at(day).purchase_model for day in (first, first + DAY_MS))
    assert before.purchases == USUAL
    assert (after.purchases != USUAL) is rhythm
    assert (before.order_value is None) is not rhythm
    assert after.order_value is not None
    assert after.order_value.population_mean == pytest.approx(47, rel=0.1)  # 5 to 89, all as likely
