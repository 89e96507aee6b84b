"""When a log counts as unsorted: shuffled and concatenated logs do, late events and single wrong clocks do not."""

from __future__ import annotations

import random

from models.duration import DAY_MS, HOUR_MS
from models.events.log_order import LATE_MIN, LogOrder

HOURLY = [1_700_000_000_000 + hour * HOUR_MS for hour in range(5_000)]


def order_of(times: list[int]) -> LogOrder:
    order = LogOrder()
    for line, time_ms in enumerate(times, 1):
        order.add(line, time_ms)
    return order


def test_a_shuffled_log_is_unsorted_within_its_first_lines() -> None:
    shuffled = HOURLY[:]
    random.Random(0).shuffle(shuffled)
    assert order_of(shuffled).is_unsorted
    assert order_of(shuffled[: 2 * LATE_MIN]).is_unsorted


def test_logs_of_several_customers_one_after_the_other_are_unsorted() -> None:
    order = order_of(HOURLY + HOURLY)
    assert order.is_unsorted
    assert order.first_late_line == len(HOURLY) + 1
    assert HOURLY[-1] - HOURLY[0] - DAY_MS < order.most_late_ms <= HOURLY[-1] - HOURLY[0]


def test_a_few_late_events_and_the_order_within_a_day_are_accepted() -> None:
    within_a_day = [time for start in range(0, 5_000, 20) for time in reversed(HOURLY[start : start + 20])]
    assert order_of(within_a_day).late == 0
    late = HOURLY[:]
    for place in range(100, 5_000, 200):
        late[place] -= 3 * DAY_MS
    assert order_of(late).late == 25
    assert not order_of(late).is_unsorted


def test_a_wrong_clock_makes_no_other_event_late() -> None:
    future = HOURLY[:]
    for place in (10, 2_000, 4_000):
        future[place] += 40_000 * DAY_MS
    assert order_of(future).late == 0
