"""Feed outages: learned from the feed's own rhythm, and a function of the log alone."""

from __future__ import annotations

import doctest

import pytest

from models.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models.labels import feed_outages as module
from models.labels.feed_outages import GAPS_KEPT, LEAST_MS, NOTED_MS, FeedOutages

START = 20_000 * DAY_MS


def steady(days: int, every_ms: int = MINUTE_MS, pause_ms: int = 0) -> FeedOutages:
    """One event per minute, and a pause each midnight."""
    feed, at = FeedOutages(), START
    if at - feed.newest_ms >= NOTED_MS:
        feed.record_gap(at)
    for day in range(days):
        feed.record_activity(at := START + (day + 1) * DAY_MS - pause_ms, DAY_MS // every_ms)
        if pause_ms >= NOTED_MS:
            feed.record_gap(at := at + pause_ms)
            feed.record_activity(at, 1)
    return feed


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("pause_h", "limit_h"), [(0, 6), (1, 6), (8, 24)])
def test_usual_gap_is_learned_from_the_feed(pause_h: int, limit_h: int) -> None:
    """Without pauses a gap is an outage after 6 h; with pauses of 8 h it is one after 24 h."""
    feed = steady(40, pause_ms=pause_h * HOUR_MS)
    newest = feed.newest_ms
    assert not feed.silent(newest + (limit_h - 3) * HOUR_MS)
    assert feed.silent(newest + (limit_h + 1) * HOUR_MS)


def test_gap_of_a_sparse_feed_is_no_outage() -> None:
    feed = steady(40, every_ms=DAY_MS)
    assert not feed.silent(feed.newest_ms + 300 * DAY_MS)


def test_recovery_from_an_outage_lasts_as_long_as_the_outage() -> None:
    """Customers need time to return before their silence is evidence."""
    feed = steady(40)
    begin = feed.newest_ms
    feed.record_gap(begin + 4 * DAY_MS)
    feed.record_activity(begin + 9 * DAY_MS, 5_000)
    assert [feed.silent(begin + round(day * DAY_MS)) for day in (0.2, 0.3, 4.0, 7.9, 8.1)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_label_is_censored_if_an_outage_covers_more_than_a_tenth() -> None:
    feed = steady(40)
    begin = feed.newest_ms
    feed.record_gap(end := begin + 4 * DAY_MS)
    feed.record_activity(end + 40 * DAY_MS, 40_000)
    assert feed.is_censored(begin - 10 * DAY_MS, begin + 20 * DAY_MS, end + 30 * DAY_MS)
    assert not feed.is_censored(begin - 30 * DAY_MS, begin + 20 * DAY_MS, end + 30 * DAY_MS)
    assert not feed.is_censored(begin - 30 * DAY_MS, begin, end)


def test_several_outages_censor_like_one() -> None:
    feed = steady(40)
    begin = feed.newest_ms
    for piece in range(1, 5):
        feed.record_gap(begin + piece * DAY_MS)
        feed.record_activity(begin + piece * DAY_MS, 30)
    assert feed.is_censored(begin - 10 * DAY_MS, begin + 20 * DAY_MS, begin + 30 * DAY_MS)


def test_later_events_do_not_change_the_result_for_an_earlier_time() -> None:
    """A time within a gap gives the same result before and after the end of the gap is known."""
    early, late = steady(40), steady(40)
    begin = early.newest_ms
    late.record_gap(begin + 5 * DAY_MS)
    for step in range(5 * 24):
        at = begin + step * HOUR_MS
        assert early.silent(at) == late.silent(at)
        assert early.is_censored(begin - DAY_MS, begin + DAY_MS, at) == late.is_censored(
            begin - DAY_MS, begin + DAY_MS, at
        )


def test_gaps_are_bounded_and_restored_state_gives_the_same_results() -> None:
    feed = steady(40)
    for _ in range(40):
        feed.record_gap(feed.newest_ms + 3 * DAY_MS)
        feed.record_activity(feed.newest_ms + 60 * DAY_MS, 60_000)
    restored = FeedOutages()
    restored.restore(feed.state())
    restored.record_activity(restored.newest_ms, 0)
    assert restored.state() == feed.state()
    assert len(feed.state()[-1]) == GAPS_KEPT
    for hour in range(0, 400, 7):
        assert restored.silent(feed.newest_ms + hour * HOUR_MS) == feed.silent(feed.newest_ms + hour * HOUR_MS)
    assert LEAST_MS > NOTED_MS


def test_time_before_the_first_event_is_no_gap() -> None:
    """Includes a feed with hundreds of events before the first customer-caused event."""
    feed = FeedOutages()
    feed.record_activity(0, 500)
    assert not feed.silent(START - DAY_MS)
    feed.record_gap(START)
    feed.record_activity(START, 500)
    assert not feed.is_censored(START - 20 * DAY_MS, START + 5 * DAY_MS, START + DAY_MS)
