"""Retention accounting: every figure against a batch recomputation from all events, live, late and in partitions."""

from __future__ import annotations

import doctest
import math
from collections.abc import Sequence
from functools import cache

import pytest
from xxhash import xxh3_64_hexdigest

from models.backtesting.retention_log import RetentionLog
from models.events.event import Event, decode
from models.profile.codec import ProfileError
from models.profile.keys import CONTRACT, SUMS, contract_key
from models.profile.mergeable import DAY_MS, HOUR_MS
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
from models.retention.subscription_flows import CAUSES, CHANGES_MAX
from models.retention.subscription_flows import decode as decode_contract
from tests.models.histories import START_MS, World, event, shaken, simulated
from tests.models.retention_batch import active_days, lifetimes, month_of, revenue, terms, use
from tests.models.retention_batch import ages as batch_ages
from tests.paths import SHARED_DATA

DATA = SHARED_DATA
START_DAY = START_MS // DAY_MS


def counted(events: Sequence[Event]) -> Sums:
    log = RetentionLog()
    for one in events:
        log.add(one)
    return log.sums()


def told(sums: Sums) -> dict[tuple[str, int, int], int]:
    return {key: amount for key, amount in sums.items() if amount}


def stored(world: World) -> Sums:
    """What a partition's store holds, which is what it tells readers of its topic."""
    found = Sums(int)
    for key, record in world.store.records.items():
        if is_sums(key):
            block = read_block(key, record)
            assert read_metric(metric_value(3, key, record)) == block
            add(found, block)
    return found


@cache
def customers() -> tuple[Event, ...]:
    """Simulated ones, and others to whom happens what the simulator does not know."""
    found = simulated(customers=60, days=150, seed=3)
    for number, name in enumerate(("Paused", "Resumed", "Cancelled", "Started", "Downgraded", "Cancelled", "Started")):
        at = START_MS + number * 17 * DAY_MS
        for who in ("x1", "x2", "x3"):
            properties = {
                "mrr": 10 * number + 5,
                "plan": f"p{number % 2}",
                "reason": ("payment_failed", "moved")[number % 2],
            }
            found.append(event(f"Subscription {name}", at, who, **properties))
            found.append(event("page", at + HOUR_MS, who, id_hash=hash((number, who)) & 0xFFFF))
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
    days = [one.time_ms // DAY_MS for one in events]
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
    before = [one for one in course if (month_of(one[0]) if window == "month" else one[0]) <= at]
    return bool(before) and before[-1][1]


def check_survival(sums: Sums, events: Sequence[Event]) -> None:
    today = max(one.time_ms for one in events) // DAY_MS
    life_tables = lifetimes(events, today)
    survival, variance, lost = 1.0, 0.0, dict.fromkeys(CAUSES, 0.0)
    rows = iter(SumSeries(sums).survival(today))
    for age in sorted({days for days, cause in life_tables if cause}):
        at_risk = sum(days >= age for days, _ in life_tables)
        ended = {cause: sum(one == (age, cause) for one in life_tables) for cause in CAUSES}
        row = next(rows)
        assert (row.days, row.at_risk, row.ended) == (age, at_risk, list(ended.values()))
        for cause, count in ended.items():
            lost[cause] += survival * count / at_risk
        deaths = sum(ended.values())
        survival *= 1 - deaths / at_risk
        variance += deaths / (at_risk * (at_risk - deaths)) if deaths < at_risk else math.inf
        assert (row.survival, row.lost) == (survival, list(lost.values()))
        assert sum(row.lost) + row.survival == pytest.approx(1.0, abs=1e-12)
        if 0 < survival < 1:
            deviation = math.sqrt(variance) / math.log(survival)
            ends = [survival ** math.exp(sign * 1.959963984540054 * deviation) for sign in (-1, 1)]
            assert [row.low, row.high] == pytest.approx(sorted(ends), rel=1e-12)
    assert next(rows, None) is None


def test_every_example_in_a_docstring_is_true() -> None:
    """Rule: the figures in the docstrings are those that the code gives."""
    for module in (retention_sums, retention_survival):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed


def test_figures_are_those_of_a_batch() -> None:
    """Rule: use, revenue and survival equal a recomputation from all events, to the last digit."""
    events = customers()
    sums = counted(events)
    check_use(sums, events)
    check_revenue(sums, events)
    check_survival(sums, events)


@pytest.mark.parametrize("lateness_days", [1, 20, 149])
def test_late_events_correct_what_was_counted(lateness_days: int) -> None:
    """Rule: events in any order leave the same sums, each of them."""
    events = customers()
    late = shaken(events, lateness_days * DAY_MS, seed=lateness_days)
    assert [e.id_hash for e in late] != [e.id_hash for e in events]
    assert told(counted(late)) == told(counted(events))


@pytest.mark.parametrize("batch", [1, 7, 400])
def test_the_fold_keeps_the_same_sums_in_its_store(batch: int) -> None:
    """Rule: whatever the batches, and over restarts, a partition's store holds what a file's accounting gives."""
    events = shaken(customers()[: 600 if batch == 1 else 3000], 3 * DAY_MS)
    world = World()
    for number, start in enumerate(range(0, len(events), batch)):
        world.feed(*events[start : start + batch])
        if number % 5 == 0:
            world.restart()
    assert told(stored(world)) == told(counted(events))


def test_partitions_add_up() -> None:
    """Rule: sums of partitions, which share no customer, are those of one."""
    events = customers()
    both = Sums(int)
    for side in (0, 1):
        add(both, counted([one for one in events if sum(one.customer.encode()) % 2 == side]))
    assert told(both) == told(counted(events))


def test_plans_and_sources_add_up_to_all() -> None:
    """Rule: every customer is in one plan and one source, so that their figures add up."""
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


def test_a_customer_counts_under_the_source_that_was_said_last() -> None:
    """Rule: when a source is said late, all that the customer did moves there, and nothing stays behind."""
    events = [event("page", START_MS + day * DAY_MS) for day in (0, 1, 5, 40)]
    events.append(event("Subscription Started", START_MS + DAY_MS, mrr=9))
    sums = counted([*events, event("identify", START_MS + 41 * DAY_MS, source="ads")])
    assert {
        segment
        for segment in segments(sums, "source")
        if SumSeries(sums, of_segment("source", segment)).use("day", START_DAY).active
    } == {"ads"}
    here = {key: amount for key, amount in told(sums).items() if key[0].endswith("\0") and key[0] != "s\0"}
    assert here == {}
    assert SumSeries(sums, of_segment("source", "ads")).revenue("day", START_DAY + 20).start == 1


def test_a_change_before_all_that_is_kept_is_counted_as_too_late() -> None:
    """Rule: beyond the newest changes of a subscription nothing is corrected, and that is said."""
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


def test_who_is_deleted_has_ended_their_subscription_and_is_not_kept() -> None:
    """Rule: what was counted stays, what runs ends without a stated reason; who comes back is new."""
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


def test_sums_that_wait_are_the_same_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: batches of three, blocks brought up to date now and then, and restarts between. Rule: the store ends
    with the same bytes as when every batch does so; until then what is missing stands in one bounded record."""
    monkeypatch.setattr(retention, "PENDING_BLOCKS", 40)
    at_once, waiting = World(), World()
    waited, most = 0, 0
    events = customers()[:1_500]
    for start in range(0, len(events), 3):
        batch = events[start : start + 3]
        at_once.feed(*batch)
        waiting.feed(*batch, flush=False)
        waited += PENDING_KEY in waiting.store.records
        if record := waiting.store.records.get(PENDING_KEY):
            most = max(most, len(read_parts(record)))
        if len(waiting.points) % 7 == 0:
            waiting.feed()
            assert PENDING_KEY not in waiting.store.records
            assert told(stored(waiting)) == told(stored(at_once))
        if len(waiting.points) % 5 == 0:
            waiting.restart()
    waiting.feed()
    assert waited > 100
    assert 30 < most <= 40 + 30  # what one more batch touches
    assert waiting.store.records == at_once.store.records


def test_a_partition_that_is_older_than_the_accounting_has_none() -> None:
    """Rule: half of a history would be counted wrongly; a group that starts afresh is counted whole."""
    world = World()
    world.feed(event("page", START_MS))
    assert world.store.records.pop(GROUPS_KEY)
    for key in [key for key in world.store.records if is_sums(key)]:
        del world.store.records[key]
    world.restart()
    world.feed(event("page", START_MS + DAY_MS), event("Subscription Started", START_MS + DAY_MS))
    assert not {key[:1] for key in world.store.records} & {SUMS, CONTRACT}


def test_what_is_stored_is_read_for_good() -> None:
    """Rule: who changes what a record holds raises a version, or every group that exists reads something else."""
    events = [
        event("identify", START_MS, "c1", id_hash=1, source="ads"),
        event("Subscription Started", START_MS, "c1", id_hash=2, mrr=20, plan="pro"),
        event("page", START_MS + 2 * DAY_MS, "c1", id_hash=3),
        event("Subscription Cancelled", START_MS + 40 * DAY_MS, "c1", id_hash=4, reason="payment_failed"),
    ]
    world = World()
    world.feed(*events)
    kept = sorted((key, value) for key, value in world.store.records.items() if key[:1] in (SUMS, CONTRACT))
    assert xxh3_64_hexdigest(b"".join(key + value for key, value in kept)) == "1049be2f373fffd4"
    record = world.store.records[contract_key(b"cc1")]
    with pytest.raises(ProfileError, match="record has format version 2, but this release reads version 1"):
        decode_contract(bytes([record[0], 2]) + record[2:])
    with pytest.raises(ProfileError, match="a subscription record is damaged"):
        decode_contract(record[:-3])


def test_segments_are_bounded() -> None:
    """Rule: however many plans are named, a partition tells some apart and counts all others together."""
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
    """Rule: a row's first number is who began in that month, and every later one who of them is still there."""
    events = customers()
    sums = counted(events)
    today = max(one.time_ms for one in events) // DAY_MS
    days = active_days(events)
    for row in cohorts(sums, today):
        mine = days.filter(days["first"].map_elements(month_of, int) == row.month)
        assert row.first_active == mine["customer"].n_unique()
        for place, count in enumerate(row.active):
            month = mine.filter(mine["day"].map_elements(month_of, int) == row.month + place)
            assert count == month["customer"].n_unique()
        courses = [course for course in terms(events).values() if any(one[1] for one in course)]
        own = [course for course in courses if month_of(next(one[0] for one in course if one[1])) == row.month]
        for place, count in enumerate(row.customers):
            assert count == sum(course_at(course, row.month + place, "month") for course in own)


@pytest.mark.parametrize("name", ["cdnow", "oulad-2013j"])
def test_real_logs_are_counted_as_by_a_batch(name: str) -> None:
    """Rule: on whole real logs too, to the last digit."""
    import gzip

    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the shared log is not here")
    events = []
    with gzip.open(path) as lines:
        for line in lines:
            one = decode(line.rstrip(), (), None)
            assert isinstance(one, Event)
            events.append(one)
    sums = counted(events)
    check_use(sums, events)
    if any(one.name.startswith("Subscription") for one in events):
        check_revenue(sums, events, every=29)
        check_survival(sums, events)
