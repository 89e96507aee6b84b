"""Retention accounting equals a batch recomputation from all events: live, with late events, and in partitions."""

from __future__ import annotations

import doctest
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import polars as pl
import pytest
from xxhash import xxh3_64_hexdigest

from models.backtesting.retention_log import RetentionLog
from models.events.event import Event, decode
from models.profile.codec import ProfileError
from models.profile.keys import CONTRACT, SUMS, contract_key
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.subscription_change import CAUSES
from models.retention import accounts as retention
from models.retention import aggregates as retention_sums
from models.retention import kaplan_meier as retention_survival
from models.retention.accounts import GROUPS_KEY, PENDING_KEY
from models.retention.aggregates import (
    FLOWS,
    NAMES_MAX,
    OTHER,
    Sums,
    add,
    is_sums,
    metric_value,
    read_block,
    read_metric,
    read_parts,
)
from models.retention.rates import WINDOWS, SumSeries, ages, cohorts, of_segment, segments
from models.retention.subscription_flows import CHANGES_MAX
from models.retention.subscription_flows import decode as decode_contract
from tests.models.histories import START_MS, World, event, shaken, simulated
from tests.models.retention_batch import active_days, lifetimes, month_of, revenue, terms, use
from tests.models.retention_batch import ages as batch_ages
from tests.paths import SHARED_DATA

DATA = SHARED_DATA
START_DAY = START_MS // DAY_MS


def counted(events: Sequence[Event]) -> Sums:
    log = RetentionLog()
    for each in events:
        log.add(each)
    return log.sums()


def nonzero(sums: Sums) -> dict[tuple[str, int, int], int]:
    return {key: amount for key, amount in sums.items() if amount}


def stored(world: World) -> Sums:
    """Sums in a partition's store, which equal the records that it publishes."""
    found = Sums(int)
    for key, record in world.store.records.items():
        if is_sums(key):
            block = read_block(key, record)
            assert read_metric(metric_value(3, key, record)) == block
            add(found, block)
    return found


@cache
def customers() -> tuple[Event, ...]:
    """Create simulated customers, and others with events that the simulator does not create."""
    found = simulated(customers=60, days=150, seed=3)
    for number, name in enumerate(("Paused", "Resumed", "Cancelled", "Started", "Downgraded", "Cancelled", "Started")):
        at = START_MS + number * 17 * DAY_MS
        for customer in ("x1", "x2", "x3"):
            properties: dict[str, Any] = {
                "mrr": 10 * number + 5,
                "plan": f"p{number % 2}",
                "reason": ("payment_failed", "moved")[number % 2],
            }
            found.append(event(f"Subscription {name}", at, customer, **properties))
            found.append(event("page", at + HOUR_MS, customer, id_hash=hash((number, customer)) & 0xFFFF))
            at += 3 * DAY_MS
    return tuple(sorted(found, key=lambda e: e.time_ms))


def check_use(sums: Sums, events: Sequence[Event]) -> None:
    days = active_days(events)
    first, last = min(days["day"]), max(days["day"])
    series = SumSeries(sums, lambda group: group[0] == "s")
    for window in WINDOWS:
        batch = use(days, window)
        span = range(month_of(first), month_of(last) + 1) if window == "month" else range(first, last + 1)
        for at in span:
            row = series.use(window, at)
            figures = (row.active, row.new, row.returning, row.resurrected, row.dormant, row.before)
            assert figures == batch.get(at, (0,) * 6), (window, at)
    rows = ages(sums, last)
    assert [(row.began, row.on_day, row.on_or_after) for row in rows] == batch_ages(days, last)


def check_revenue(sums: Sums, events: Sequence[Event], every: int = 1) -> None:
    days = [each.time_ms // DAY_MS for each in events]
    first, last = min(days), max(days) + 35
    series = SumSeries(sums, lambda group: group[0] == "s")
    for window in WINDOWS:
        span = range(month_of(first), month_of(last) + 1) if window == "month" else range(first, last + 1, every)
        batch = revenue(events, window, span)
        for at in span:
            row = series.revenue(window, at)
            assert {name: getattr(row, name) for name in FLOWS} == {name: batch[at][name] for name in FLOWS}, (
                window,
                at,
            )
            running = (
                sum(course_at(course, at, window) for course in terms(events).values()) if at == span[-1] else None
            )
            assert running in (None, row.end)


def course_at(course: Sequence[tuple[int, bool, int, str, str]], at: int, window: str) -> bool:
    before = [change for change in course if (month_of(change[0]) if window == "month" else change[0]) <= at]
    return bool(before) and before[-1][1]


def check_survival(sums: Sums, events: Sequence[Event]) -> None:
    today = max(each.time_ms for each in events) // DAY_MS
    life_tables = lifetimes(events, today)
    survival, variance, lost = 1.0, 0.0, dict.fromkeys(CAUSES, 0.0)
    rows = iter(SumSeries(sums).survival(today))
    for age in sorted({days for days, cause in life_tables if cause}):
        at_risk = sum(days >= age for days, _ in life_tables)
        ended = {cause: sum(lifetime == (age, cause) for lifetime in life_tables) for cause in CAUSES}
        row = next(rows)
        assert (row.days, row.at_risk, row.ended) == (age, at_risk, list(ended.values()))
        for cause, count in ended.items():
            lost[cause] += survival * count / at_risk
        deaths = sum(ended.values())
        survival *= (at_risk - deaths) / at_risk
        variance += deaths / (at_risk * (at_risk - deaths)) if deaths < at_risk else math.inf
        assert (row.survival, row.lost) == (survival, list(lost.values()))
        assert sum(row.lost) + row.survival == pytest.approx(1.0, abs=1e-12)
        if 0 < survival < 1:
            deviation = math.sqrt(variance) / math.log(survival)
            ends = [survival ** math.exp(sign * 1.959963984540054 * deviation) for sign in (-1, 1)]
            assert [row.low, row.high] == pytest.approx(sorted(ends), rel=1e-12)
    assert next(rows, None) is None


def test_docstring_examples_hold() -> None:
    """Rule: the figures in docstrings match the code."""
    for module in (retention_sums, retention_survival):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


def test_figures_equal_a_batch_recomputation() -> None:
    """Rule: usage, revenue and survival equal a recomputation from all events, to the last digit."""
    events = customers()
    sums = counted(events)
    check_use(sums, events)
    check_revenue(sums, events)
    check_survival(sums, events)


@pytest.mark.parametrize("lateness_days", [1, 20, 149])
def test_late_events_correct_the_sums(lateness_days: int) -> None:
    """Rule: events in any order give the same sums."""
    events = customers()
    late = shaken(events, lateness_days * DAY_MS, seed=lateness_days)
    assert [e.id_hash for e in late] != [e.id_hash for e in events]
    assert nonzero(counted(late)) == nonzero(counted(events))


@pytest.mark.parametrize("batch", [1, 7, 400])
def test_fold_stores_the_same_sums(batch: int) -> None:
    """Rule: for any batches and restarts, a partition's store has the same sums as the accounting of a file."""
    events = shaken(customers()[: 600 if batch == 1 else 3000], 3 * DAY_MS)
    world = World()
    for number, start in enumerate(range(0, len(events), batch)):
        world.feed(*events[start : start + batch])
        if number % 5 == 0:
            world.restart()
    assert nonzero(stored(world)) == nonzero(counted(events))


def test_partitions_add_up() -> None:
    """Rule: sums of partitions without common customers add up to those of one partition."""
    events = customers()
    both = Sums(int)
    for side in (0, 1):
        add(both, counted([each for each in events if sum(each.customer.encode()) % 2 == side]))
    assert nonzero(both) == nonzero(counted(events))


def test_plans_and_sources_add_up_to_the_total() -> None:
    """Rule: every customer is in exactly one plan and one source, so the figures add up."""
    sums = counted(customers())
    whole = SumSeries(sums, lambda group: group[0] == "s")
    day = whole.newest_day
    assert day is not None
    for by in ("plan", "source"):
        names = segments(sums, by)
        assert len(names) > 2
        for window in WINDOWS:
            at = month_of(day) if window == "month" else day
            parts = [SumSeries(sums, of_segment(by, name)) for name in names]
            for figure in ("start", "start_mrr", "new", "lost_voluntary", "up", "down"):
                own = [getattr(part.revenue(window, at), figure) for part in parts]
                assert sum(own) == getattr(whole.revenue(window, at), figure)
            assert sum(part.use(window, at).active for part in parts) == whole.use(window, at).active


def test_customer_counts_under_the_latest_source() -> None:
    """Rule: when the source is reported late, the customer's whole history moves to it."""
    events = [event("page", START_MS + day * DAY_MS) for day in (0, 1, 5, 40)]
    events.append(event("Subscription Started", START_MS + DAY_MS, mrr=9))
    sums = counted([*events, event("identify", START_MS + 41 * DAY_MS, source="ads")])
    assert {
        segment
        for segment in segments(sums, "source")
        if SumSeries(sums, of_segment("source", segment)).use("day", START_DAY).active
    } == {"ads"}
    left_behind = {key: amount for key, amount in nonzero(sums).items() if key[0].endswith("\0") and key[0] != "s\0"}
    assert left_behind == {}
    assert SumSeries(sums, of_segment("source", "ads")).revenue("day", START_DAY + 20).start == 1


def test_change_before_the_kept_ones_counts_as_too_late() -> None:
    """Rule: changes older than the kept changes of a subscription correct nothing, and are counted as too late."""
    days = range(8, 300, 8)
    changes = [event("Subscription Renewed", START_MS + day * DAY_MS, mrr=day) for day in days]
    settled = counted(changes)
    late = counted([*changes, event("Subscription Started", START_MS, mrr=100)])
    assert SumSeries(late).at("too_late", START_DAY) == 1
    day = START_DAY + 100
    assert SumSeries(late).revenue("day", day) == SumSeries(settled).revenue("day", day)
    check_revenue(settled, changes)
    daily = [event("Subscription Renewed", START_MS + day * DAY_MS, mrr=day) for day in range(3 * CHANGES_MAX)]
    assert SumSeries(counted(daily)).revenue("day", START_DAY + 3 * CHANGES_MAX).start_mrr == 100 * (
        3 * CHANGES_MAX - 1
    )


def test_deleted_customer_ends_the_subscription_and_is_not_kept() -> None:
    """Rule: past figures stay, a running subscription ends without a reason, and a returning customer is new."""
    world = World()
    events = [event("Subscription Started", START_MS, mrr=20), event("page", START_MS + HOUR_MS)]
    world.feed(*events, event("page", START_MS, "c2"))
    assert contract_key(b"cc1") in world.store.records
    world.feed(event("User Deletion Requested", START_MS + 2 * DAY_MS), event("page", START_MS + 3 * DAY_MS))
    assert contract_key(b"cc1") not in world.store.records
    series = SumSeries(stored(world))
    row = series.revenue("day", START_DAY + 2)
    assert (row.start, row.lost_unstated, row.lost_unstated_mrr, row.end) == (1, 1, 2000, 0)
    assert [series.use("day", START_DAY + day).new for day in range(4)] == [2, 0, 0, 1]


def test_deferred_sums_are_equal_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: batches of three events, occasional settlement of blocks, and restarts.

    Rule: the store ends with the same bytes as with settlement in every batch. Until then, one bounded record has the
    pending sums.
    """
    monkeypatch.setattr(retention, "PENDING_BLOCKS", 40)
    at_once, waiting = World(), World()
    pending, largest = 0, 0
    events = customers()[:1_500]
    for start in range(0, len(events), 3):
        batch = events[start : start + 3]
        at_once.feed(*batch)
        waiting.feed(*batch, flush=False)
        pending += PENDING_KEY in waiting.store.records
        if record := waiting.store.records.get(PENDING_KEY):
            largest = max(largest, len(read_parts(record)))
        if len(waiting.points) % 7 == 0:
            waiting.feed()
            assert PENDING_KEY not in waiting.store.records
            assert nonzero(stored(waiting)) == nonzero(stored(at_once))
        if len(waiting.points) % 5 == 0:
            waiting.restart()
    waiting.feed()
    assert pending > 100
    assert 30 < largest <= 40 + 30  # plus the blocks of one more batch
    assert waiting.store.records == at_once.store.records


def test_partition_older_than_the_accounting_has_none() -> None:
    """Rule: a partial history would give wrong figures, so only a new group has the accounting."""
    world = World()
    world.feed(event("page", START_MS))
    assert world.store.records.pop(GROUPS_KEY)
    for key in [key for key in world.store.records if is_sums(key)]:
        del world.store.records[key]
    world.restart()
    world.feed(event("page", START_MS + DAY_MS), event("Subscription Started", START_MS + DAY_MS))
    assert not {key[:1] for key in world.store.records} & {SUMS, CONTRACT}


def test_stored_format_is_stable() -> None:
    """Rule: a change of a record's contents needs a new format version, because existing groups read old records."""
    events = [
        event("identify", START_MS, "c1", id_hash=1, source="ads"),
        event("Subscription Started", START_MS, "c1", id_hash=2, mrr=20, plan="pro"),
        event("page", START_MS + 2 * DAY_MS, "c1", id_hash=3),
        event("Subscription Cancelled", START_MS + 40 * DAY_MS, "c1", id_hash=4, reason="payment_failed"),
    ]
    world = World()
    world.feed(*events)
    kept = sorted((key, value) for key, value in world.store.records.items() if key[:1] in (SUMS, CONTRACT))
    assert xxh3_64_hexdigest(b"".join(key + value for key, value in kept)) == "11c0a16c7a2d27c9"
    record = world.store.records[contract_key(b"cc1")]
    with pytest.raises(ProfileError, match="record has format version 2, but this release reads version 1"):
        decode_contract(bytes([record[0], 2]) + record[2:])
    with pytest.raises(ProfileError, match="a subscription record is damaged"):
        decode_contract(record[:-3])


def test_segments_are_bounded() -> None:
    """Rule: for any number of plans, a partition counts a limited number separately and all others together."""
    names = [f"plan {number}\0/%" for number in range(3 * NAMES_MAX)]
    sums = counted(
        [event("page", START_MS, name) for name in names]
        + [event("identify", START_MS, name, plan=name) for name in names]
    )
    assert len(segments(sums, "plan")) <= NAMES_MAX + 1
    others = SumSeries(sums, of_segment("plan", OTHER)).use("day", START_DAY)
    assert others.active > NAMES_MAX
    assert SumSeries(sums, lambda group: group[0] == "s").use("day", START_DAY).active == len(names)


def test_cohorts_follow_their_customers() -> None:
    """Rule: the first number of a row is the customers who started in that month, later ones those still active."""
    events = customers()
    sums = counted(events)
    today = max(each.time_ms for each in events) // DAY_MS
    days = active_days(events)
    for row in cohorts(sums, today):
        cohort = days.filter(days["first"].map_elements(month_of, pl.Int64) == row.month)
        assert row.first_active == cohort["customer"].n_unique()
        for age, count in enumerate(row.active):
            month = cohort.filter(cohort["day"].map_elements(month_of, pl.Int64) == row.month + age)
            assert count == month["customer"].n_unique()
        courses = [course for course in terms(events).values() if any(change[1] for change in course)]
        own = [course for course in courses if month_of(next(change[0] for change in course if change[1])) == row.month]
        for age, count in enumerate(row.customers):
            assert count == sum(course_at(course, row.month + age, "month") for course in own)


@pytest.mark.parametrize(("name", "length"), [("cdnow", None), ("oulad-2013j", 200_000)])
def test_real_logs_equal_a_batch_recomputation(name: str, length: int | None) -> None:
    """Rule: this also holds for real logs, one whole and one up to a length, to the last digit."""
    import gzip
    from itertools import islice

    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the shared log is missing")
    events = []
    with gzip.open(path) as lines:
        for line in islice(lines, length):
            decoded = decode(line.rstrip(), (), None)
            assert isinstance(decoded, Event)
            events.append(decoded)
    sums = counted(events)
    check_use(sums, events)
    if any(each.name.startswith("Subscription") for each in events):
        check_revenue(sums, events, every=29)
        check_survival(sums, events)
