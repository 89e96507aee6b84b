"""Which events move the clock: wrong clocks in a log, pauses of the feed, and logs of one customer."""

from __future__ import annotations

import pytest

from models.events.event import Event
from models.pipeline.clock_guard import AGAINST_MAX, HELD_BYTES, HELD_MAX, LAST_JUMP_MS, ClockGuard, PlausibleLog
from models.pipeline.effects import OffsetEvent
from tests.models.histories import DAY_MS, START_MS, event

HOUR_MS = DAY_MS // 24
FAR_MS = START_MS + 27_000 * DAY_MS  # in the year 2098


def busy(count: int = 400, customers: int = 20, start_ms: int = START_MS) -> list[Event]:
    """One event an hour, of one customer after the other."""
    return [event("page", start_ms + n * HOUR_MS, f"c{n % customers}") for n in range(count)]


def plausible(log: list[Event]) -> tuple[list[Event], int]:
    found = PlausibleLog(2 * DAY_MS)
    return list(found.events(log)), found.implausible


def moved(log: list[Event], wrong: Event, at: int) -> list[Event]:
    return [*log[:at], wrong, *log[at:]]


@pytest.mark.parametrize("at", [0, 1, 7, 200, 399, 400], ids=lambda at: f"line{at + 1}")
@pytest.mark.parametrize("ahead_ms", [3 * DAY_MS, 400 * DAY_MS, FAR_MS - START_MS], ids=["days", "a-year", "2098"])
def test_one_event_with_a_wrong_clock_changes_that_event_only(at: int, ahead_ms: int) -> None:
    """Rule: it is applied at the time of its neighbours, wherever it stands; all others are unchanged and in order."""
    log = busy()
    near_ms = log[min(at, 399)].time_ms
    wrong = event("page", near_ms + ahead_ms, "c3")
    found, implausible = plausible(moved(log, wrong, at))
    others = [each for each in found if each.id_hash != wrong.id_hash]
    assert others == log
    [applied] = [each for each in found if each.id_hash == wrong.id_hash]
    if at < 400 or ahead_ms > LAST_JUMP_MS:  # nothing contradicts a plausible jump of the last event
        assert implausible == 1
        assert applied.clamped
        assert abs(applied.time_ms - near_ms) <= (AGAINST_MAX + 1) * HOUR_MS


@pytest.mark.parametrize(
    ("customers", "apart"),
    [(["c3"] * 5, 0), (["c3"] * 5, 3), (["c3"] * 5, 40), (["c3", "c7", "c9"], 1), (["c3", "c7", "c9"], 40)],
)
def test_several_wrong_clocks_do_not_confirm_each_other(customers: list[str], apart: int) -> None:
    """Rule: a minority that stays ahead while the others do not never moves the clock, whether one device sends its
    events in a row or several devices are mixed with the others."""
    log = busy()
    for number, customer in enumerate(customers):
        wrong = event("page", FAR_MS + number * 90 * DAY_MS, customer)
        log = moved(log, wrong, 50 + number * (apart + 1))
    found, implausible = plausible(log)
    assert implausible == len(customers)
    assert max(each.time_ms for each in found) == START_MS + 399 * HOUR_MS


@pytest.mark.parametrize("pause_days", [3, 30, 700])
def test_a_pause_of_the_feed_is_no_wrong_clock(pause_days: int) -> None:
    """Rule: a log in order of time is unchanged, however long it pauses."""
    log = busy(50) + busy(50, start_ms=START_MS + pause_days * DAY_MS)
    assert plausible(log) == (log, 0)


def test_a_finite_log_reports_its_longest_pause_and_its_first_wrong_clock() -> None:
    """Rule: for a report on the log; the wrong clock is no pause."""
    log = moved(busy(50) + busy(50, start_ms=START_MS + 30 * DAY_MS), event("page", FAR_MS, "c1"), 70)
    found = PlausibleLog(2 * DAY_MS)
    assert len(list(found.events(log))) == 101
    assert (found.implausible, found.first_implausible) == (1, 71)
    assert (found.paused_ms, found.longest_pause_ms) == (START_MS + 49 * HOUR_MS, 30 * DAY_MS - 49 * HOUR_MS)


def test_late_events_after_a_pause_do_not_hold_it_back() -> None:
    """Rule: stragglers from before the pause delay the clock by some events, and change no time."""
    late = [event("page", START_MS + 40 * HOUR_MS, f"late{n}") for n in range(4)]
    after = busy(50, start_ms=START_MS + 9 * DAY_MS)
    log = [*busy(50), after[0], late[0], after[1], late[1], *after[2:9], *late[2:], *after[9:]]
    found, implausible = plausible(log)
    assert implausible == 0
    assert sorted(found, key=lambda each: each.id_hash) == sorted(log, key=lambda each: each.id_hash)


@pytest.mark.parametrize("gap_days", [3, 60, 400])
@pytest.mark.parametrize("count", [1, 2, 5, 3 * HELD_MAX])
def test_a_log_of_one_customer_keeps_its_times(gap_days: int, count: int) -> None:
    """Rule: without other customers nothing contradicts, and nothing is ever lost."""
    log = [event("Order Completed", START_MS + n * gap_days * DAY_MS, "only") for n in range(count)]
    assert plausible(log) == (log, 0)


def admitted(log: list[Event], cuts: list[int], *, restart: bool = False) -> list[OffsetEvent]:
    """What a partition applies of the log, in batches that end at these offsets."""
    guard, clock_ms = ClockGuard(2 * DAY_MS), 0
    found: list[OffsetEvent] = []
    entries = [OffsetEvent(n, each) for n, each in enumerate(log)]
    for start, stop in zip([0, *cuts], [*cuts, len(log)], strict=True):
        preview = guard.copy().admit(entries[start:stop], clock_ms).newest_ms
        batch = guard.admit(entries[start:stop], clock_ms)
        assert preview == batch.newest_ms
        assert len(preview) == stop - start
        found += batch.events
        clock_ms = max([clock_ms, *(each.event.time_ms for each in batch.events)])
        if restart:
            guard, state = ClockGuard(2 * DAY_MS), guard.state()
            guard.restore(state)
    return found


@pytest.mark.parametrize("size", [1, 3, 17])
@pytest.mark.parametrize("restart", [False, True])
def test_batches_and_restarts_change_nothing(size: int, restart: bool) -> None:
    """Rule: what is applied, when and in which order is a function of the log."""
    log = busy(60) + busy(60, start_ms=START_MS + 20 * DAY_MS)
    for at in (3, 30, 31, 61, 100):
        log = moved(log, event("page", FAR_MS + at, f"c{at % 5}", nested={"a": [1, None, 2**70]}), at)
    whole = admitted(log, [])
    assert admitted(log, list(range(size, len(log), size)), restart=restart) == whole
    assert {entry.offset for entry in whole} == set(range(len(log)))


def test_what_is_held_is_bounded() -> None:
    """Rule: neither many events nor large ones make the state large."""
    guard = ClockGuard(DAY_MS)
    entries = [OffsetEvent(n, event("page", FAR_MS + n, "c1", text="x" * 5_000)) for n in range(1_000)]
    guard.admit([OffsetEvent(0, event("page", START_MS, "c1"))], START_MS)
    for entry in entries:
        guard.admit([entry], START_MS)
        assert len(guard.held) <= HELD_MAX
        assert sum(len(data) for _, data in (guard.state() or [0, []])[1]) <= HELD_BYTES


def test_the_time_of_receipt_confirms_an_event_in_live_running() -> None:
    """Rule: an event that is not after its receipt is not held, however long the partition was idle."""
    entry = OffsetEvent(1, event("page", START_MS + 90 * DAY_MS, "c1"))
    guard = ClockGuard(DAY_MS)
    assert guard.admit([entry], START_MS, START_MS + 90 * DAY_MS).events == [entry]
    assert guard.admit([entry], START_MS).events == []
    assert guard.waits
    assert guard.finish(START_MS, START_MS + 90 * DAY_MS).events == [entry]


def test_a_new_partition_begins_with_its_first_event_unless_that_was_clamped() -> None:
    """Rule: the first customer of a new group does not wait; a clock that is known to be wrong is no beginning."""
    first = event("page", START_MS, "c1")
    clamped = Event("c1", "page", FAR_MS, 1, {}, False, True)
    assert ClockGuard(DAY_MS, begins_at_once=True).admit([OffsetEvent(0, first)], 0).events
    guard = ClockGuard(DAY_MS, begins_at_once=True)
    assert not guard.admit([OffsetEvent(0, clamped)], 0).events
    assert not guard.waits
