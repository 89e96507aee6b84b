"""Columns, compared with an oracle that counts over the list of events."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from models.events.event import Event
from models.features.active_days import GAP_HALF_LIFE_DAYS
from models.features.columns import ProfileColumns
from models.profile.codec import decode, encode
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.schema import NEVER_MS, Profile, advance
from tests.models.histories import START_MS, event, profile_of

CASES = [(seed, idle) for seed in range(10) for idle in (0, 1, 5, 24, 49, 24 * 20, 24 * 95, 24 * 400)]


def history(seed: int) -> list[Event]:
    """About 150 events over up to a year, in bursts, out of order, some automated."""
    rng = random.Random(seed)
    span = rng.choice((3, 40, 89, 200, 365))
    events = []
    for _ in range(rng.choice((1, 2, 12, 60))):
        start = START_MS + rng.randrange(span * DAY_MS)
        for _ in range(rng.randrange(1, 5)):
            name = rng.choice(("page", "Feature Used", "Ticket Created", "Email Sent"))
            automated = rng.random() < 0.2
            at = start + rng.randrange(3 * HOUR_MS)
            events.append(event(name, at, feature=f"f{rng.randrange(9)}", automated=automated))
    return events


class Oracle:
    """The same values, counted over the list of events."""

    def __init__(self, events: list[Event], now_ms: int) -> None:
        self.now_ms = now_ms
        self.today = now_ms // DAY_MS
        self.hour = now_ms // HOUR_MS
        self.engaged = [e for e in events if e.name != "Email Sent" and not e.automated]
        self.ages = sorted({self.today - e.time_ms // DAY_MS for e in self.engaged})
        self.newest_day = max(e.time_ms for e in events) // DAY_MS
        self.tickets = [e for e in events if e.name == "Ticket Created"]

    def count(self, events: list[Event], days: int = 0, hours: int = 0) -> int:
        if days:
            return sum(self.today - e.time_ms // DAY_MS < days for e in events)
        return sum(self.hour - e.time_ms // HOUR_MS < hours for e in events)

    def streak(self) -> tuple[int, float]:
        if not self.ages:
            return 0, np.nan
        length = 1
        while self.ages[0] + length in self.ages:
            length += 1
        return length, max(self.ages[0] - 1, 0)

    def gaps(self) -> tuple[int, float, float]:
        gaps = [b - a for a, b in zip(self.ages, self.ages[1:], strict=False)]
        if not gaps:
            return 0, np.nan, np.nan
        weights = [2 ** (-age / GAP_HALF_LIFE_DAYS) for age in self.ages[:-1]]
        mean = float(np.average(gaps, weights=weights))
        deviation = float(np.sqrt(np.average([(g - mean) ** 2 for g in gaps], weights=weights)))
        return len(gaps), mean, deviation if len(gaps) > 1 else np.nan

    def peak(self, days: int) -> int:
        ages = [self.newest_day - e.time_ms // DAY_MS for e in self.engaged]
        return max(sum(k <= age < k + days for age in ages) for k in range(96 - days + 1))

    def used(self, low: int, high: int) -> int:
        last: dict[str, int] = {}
        for e in self.engaged:
            if e.name in ("page", "Feature Used"):
                last[e.properties["feature"]] = max(last.get(e.properties["feature"], 0), e.time_ms // DAY_MS)
        return sum(low <= self.today - day < high for day in last.values())


@pytest.mark.parametrize(("seed", "idle_hours"), CASES)
def test_columns_equal_counts_over_the_list_of_events(seed: int, idle_hours: int) -> None:
    """Counts, active days and weeks, streak, gaps, peak and features used: at the last event and long after it."""
    events = history(seed)
    now_ms = max(e.time_ms for e in events) + idle_hours * HOUR_MS
    columns, oracle = ProfileColumns([profile_of(events)], [now_ms]), Oracle(events, now_ms)
    for days in (1, 2, 7, 14, 28, 30, 90):
        assert columns.count("engaged", days=days) == oracle.count(oracle.engaged, days=days)
        assert columns.count("ticket", days=days) == oracle.count(oracle.tickets, days=days)
        assert columns.active_days(days) == sum(age < days for age in oracle.ages)
    for hours in (1, 2, 24):
        assert columns.count("engaged", hours=hours) == oracle.count(oracle.engaged, hours=hours)
    for weeks in (1, 4, 12):
        assert columns.active_weeks(weeks) == len({age // 7 for age in oracle.ages if age < 7 * weeks})
    assert [float(x[0]) for x in columns.streak] == pytest.approx(oracle.streak(), nan_ok=True)
    assert [float(x[0]) for x in columns.gaps] == pytest.approx(oracle.gaps(), nan_ok=True, abs=1e-6)
    assert columns.total("engaged") == len(oracle.engaged)
    assert columns.peak(28) == oracle.peak(28)
    for low, high in ((0, 7), (0, 30), (30, 90)):
        assert columns.used_features(low, high) == oracle.used(low, high)


def test_row_has_the_same_bits_in_any_batch() -> None:
    """All histories at once and each alone give the same bits."""
    profiles = [profile_of(history(seed)) for seed in range(20)] + [Profile()]
    now = [max(p.newest_ms, START_MS) + i * 7 * HOUR_MS for i, p in enumerate(profiles)]
    columns_to_compare: list[Callable[[ProfileColumns], np.ndarray]] = [
        lambda c: c.count("engaged", days=30),
        lambda c: c.active_weeks(12),
        lambda c: np.stack(c.streak, axis=1),
        lambda c: np.stack(c.gaps, axis=1),
        lambda c: c.peak(28),
        lambda c: c.used_features(0, 30),
    ]
    for read in columns_to_compare:
        together = read(ProfileColumns(profiles, now))
        for i, profile in enumerate(profiles):
            assert read(ProfileColumns([profile], [now[i]]))[0].tobytes() == together[i].tobytes()


def test_never_is_missing_and_a_future_time_has_age_zero() -> None:
    """0 and NEVER_MS stand for "not yet"; a time after the scoring time has no negative age."""
    columns = ProfileColumns([Profile()] * 4, [START_MS] * 4)
    since = columns.days_since(np.array([0.0, float(NEVER_MS), np.nan, START_MS + DAY_MS]))
    assert np.isnan(since[:3]).all()
    assert since[3] == 0


def test_count_above_255_is_read_from_both_bytes() -> None:
    """Both bytes of the count."""
    for count in (255, 256, 257, 512, 777):
        profile = profile_of([event(at_ms=START_MS, id_hash=0)] * count)
        for read in (profile, decode(encode(profile))):
            columns = ProfileColumns([Profile(), read, profile_of([event()])], [START_MS] * 3)
            assert columns.count("engaged", days=1).tolist() == [0, count, 1]
            assert columns.count("engaged", hours=1).tolist() == [0, count, 1]


def test_two_byte_counters_are_read_beside_one_byte_counters() -> None:
    """Every counter of every row, with or without a high byte."""
    many = [event("Error Shown", START_MS, id_hash=0)] * 300 + [event("Ticket Created", START_MS, id_hash=0)] * 3
    profiles = [profile_of(many), profile_of(many[299:]), profile_of([event("Email Sent", START_MS, id_hash=0)] * 256)]
    columns = ProfileColumns(profiles, [START_MS] * 3)
    assert columns.count("error", days=7).tolist() == [300, 1, 0]
    assert columns.count("ticket", days=7).tolist() == [3, 3, 0]
    assert columns.count("message_sent", days=30).tolist() == [0, 0, 256]
    assert columns.total("error").tolist() == [300, 1, 0]


def test_counter_outside_the_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="COUNTED"):
        ProfileColumns([Profile()], [START_MS]).count("identity", days=7)


def test_bin_of_256_events_is_read_a_day_later_and_by_its_row_only() -> None:
    """The low bytes are all zero and may be dropped: the high byte then stands alone, for its own row."""
    full = profile_of([event(at_ms=START_MS, id_hash=0)] * 256)
    advance(full, START_MS + DAY_MS)
    alone = [profile_of([event("Email Sent", START_MS)]), full, profile_of([event(at_ms=START_MS)])]
    columns = ProfileColumns(alone, [START_MS + DAY_MS] * 3)
    assert columns.count("engaged", days=2).tolist() == [0, 256, 1]
    assert ProfileColumns([full], [START_MS + DAY_MS]).count("engaged", days=2).tolist() == [256]


def test_scoring_time_before_the_newest_event_is_replaced_by_it() -> None:
    """A profile is relative to its newest event."""
    profile = profile_of([event(at_ms=START_MS)])
    assert ProfileColumns([profile], [START_MS - DAY_MS]).now_ms.tolist() == [START_MS]


def test_empty_batch_has_empty_columns() -> None:
    """Columns of no rows."""
    columns = ProfileColumns([], [])
    assert columns.count("engaged", days=7).shape == (0,)
    assert columns.active_days(7).shape == (0,)
    assert columns.gaps[1].shape == (0,)
    assert columns.peak(28).shape == (0,)
    assert columns.streak[0].shape == (0,)


def test_orders_on_one_day_are_one_order_day_and_a_refund_is_none() -> None:
    """Order days, not orders; NaN without an order."""
    ordered = profile_of(event("Order Completed", START_MS + h * HOUR_MS) for h in (1, 2, 30))
    refunded = profile_of([event("Order Refunded")])
    assert ProfileColumns([ordered], [START_MS + 9 * DAY_MS]).order_days.tolist() == [2]
    assert np.isnan(ProfileColumns([refunded, Profile()], [START_MS] * 2).order_days).all()
