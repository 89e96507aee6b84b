"""Subscriptions with ids in the retention accounting, and records of earlier releases."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from models.backtesting.retention_log import RetentionLog
from models.events.event import Event
from models.profile.mergeable import DAY_MS
from models.profile.subscription_change import change_of
from models.retention.rates import Revenue, SumSeries
from models.retention.subscription_flows import decode
from tests.models.histories import START_MS, World, event

START_DAY = START_MS // DAY_MS


def change(kind: str, on: float, key: str | None = None, **properties: Any) -> Event:
    if key is not None:
        properties["subscription_id"] = key
    return event(f"Subscription {kind}", START_MS + int(on * DAY_MS), **properties)


def revenue(events: list[Event], on: int, window: str = "day") -> Revenue:
    log = RetentionLog()
    for each in events:
        log.add(each)
    return SumSeries(log.sums()).revenue(window, START_DAY + on)


LIFE = [
    change("Started", 0, "A", mrr=49, plan="pro"),
    change("Started", 4, "B", mrr=10, plan="addon"),
    change("Cancelled", 31, "B", reason="cancellation_requested"),
    change("Cancelled", 60, "A", reason="payment_failed"),
]


@pytest.mark.parametrize("seed", range(6))
def test_add_on_is_expansion_then_contraction_and_the_last_end_is_the_loss(seed: int) -> None:
    """The customer is counted once, under the plan with the highest price, for any order of arrival."""
    events = random.Random(seed).sample(LIFE, len(LIFE))
    assert (revenue(events, 0).new, revenue(events, 0).new_mrr) == (1, 4900)
    assert (revenue(events, 4).up, revenue(events, 4).new) == (1000, 0)
    contraction = revenue(events, 31)
    assert (contraction.down, contraction.lost_voluntary, contraction.end) == (1000, 0, 1)
    loss = revenue(events, 60)
    assert (loss.start_mrr, loss.lost_involuntary, loss.lost_involuntary_mrr, loss.end) == (4900, 1, 4900, 0)


@pytest.mark.parametrize("keys", [(None, None), ("A", "B")])
def test_switch_of_plans_is_no_loss(keys: tuple[str | None, str | None]) -> None:
    """An end and a start of one time change the price, in either order of the log."""
    old, new = keys
    ends = [change("Cancelled", 14, old), change("Started", 14, new, mrr=49, plan="pro")]
    for order in (ends, ends[::-1]):
        row = revenue([change("Started", 0, old, mrr=20, plan="basic"), *order], 14)
        assert (row.up, row.lost_unstated, row.new, row.back, row.end) == (2900, 0, 0, 0, 1)


def test_deletion_ends_all_subscriptions() -> None:
    world = World()
    world.feed(*LIFE[:2], event("User Deletion Requested", START_MS + 9 * DAY_MS))
    assert not [key for key in world.store.records if key[:1] == b"r"]


def test_record_of_an_earlier_release_continues() -> None:
    """Its changes have six values, and it has no objects. Its first change keeps its meaning."""
    changes = [(START_MS, 2**63, 0, 4900, "pro", 2), (START_MS + DAY_MS, 5, 1, 9900, "team", 2)]
    old = [1, "ads", [START_MS - DAY_MS, 7], [True, True, False, 2000, "basic", 2], [3, -1, "basic", 2], changes]
    record = decode(msgspec.msgpack.encode(old))
    timeline = record.timeline()
    assert (timeline.base.price, timeline.steps[-1][1].price, timeline.steps[-1][1].plan) == (2000, 9900, "team")
    assert record.add(change_of(change("Cancelled", 1)))
    assert record.timeline().steps[-1][1].running is False


@pytest.mark.parametrize(("mrr", "currency"), [(4900, "JPY"), (4900, "EUR"), ("4900.000", "KWD")])
def test_revenue_has_one_unit_whatever_decimals_the_currency_has(mrr: Any, currency: str) -> None:
    """Rule: figures are hundredths of a unit of the currency, as the report prints them."""
    assert revenue([change("Started", 0, "A", mrr=mrr, currency=currency)], 1).start_mrr == 490_000
