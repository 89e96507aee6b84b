"""Whether silence is the feed's: by its own rhythm, for as long again, and the same however it is asked."""

from __future__ import annotations

import doctest

import pytest

from models.duration import DAY_MS, HOUR_MS, MINUTE_MS
from models.labels import feed_outages as module
from models.labels.feed_outages import GAPS_KEPT, LEAST_MS, NOTED_MS, FeedOutages

START = 20_000 * DAY_MS


def steady(days: int, every_ms: int = MINUTE_MS, pause_ms: int = 0) -> FeedOutages:
    """An event a minute, and each midnight a pause."""
    feed, at = FeedOutages(), START
    if at - feed.newest_ms >= NOTED_MS:
        feed.record_gap(at)
    for day in range(days):
        feed.record_activity(at := START + (day + 1) * DAY_MS - pause_ms, DAY_MS // every_ms)
        if pause_ms >= NOTED_MS:
            feed.record_gap(at := at + pause_ms)
            feed.record_activity(at, 1)
    return feed


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("pause_h", "limit_h"), [(0, 6), (1, 6), (8, 24)])
def test_what_is_usual_is_learned(pause_h: int, limit_h: int) -> None:
    """A feed that never rests is missed after six hours, one that rests for a night after three such nights."""
    feed = steady(40, pause_ms=pause_h * HOUR_MS)
    newest = feed.newest_ms
    assert not feed.silent(newest + (limit_h - 3) * HOUR_MS)
    assert feed.silent(newest + (limit_h + 1) * HOUR_MS)


def test_a_thin_feed_is_silent_now_and_then_and_means_nothing_by_it() -> None:
    feed = steady(40, every_ms=DAY_MS)
    assert not feed.silent(feed.newest_ms + 300 * DAY_MS)


def test_after_a_gap_silence_means_nothing_for_as_long_again() -> None:
    """Customers need time to come back before what they did not do is their own."""
    feed = steady(40)
    begin = feed.newest_ms
    feed.record_gap(begin + 4 * DAY_MS)
    feed.record_activity(begin + 9 * DAY_MS, 5_000)
    assert [feed.silent(begin + round(day * DAY_MS)) for day in (0.2, 0.3, 4.0, 7.9, 8.1)] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_a_label_that_a_gap_hides_a_tenth_of_is_none() -> None:
    feed = steady(40)
    begin = feed.newest_ms
    feed.record_gap(end := begin + 4 * DAY_MS)
    feed.record_activity(end + 40 * DAY_MS, 40_000)
    assert feed.is_censored(begin - 10 * DAY_MS, begin + 20 * DAY_MS, end + 30 * DAY_MS)
    assert not feed.is_censored(begin - 30 * DAY_MS, begin + 20 * DAY_MS, end + 30 * DAY_MS)
    assert not feed.is_censored(begin - 30 * DAY_MS, begin, end)


def test_an_outage_in_pieces_hides_as_much_as_one() -> None:
    feed = steady(40)
    begin = feed.newest_ms
    for piece in range(1, 5):
        feed.record_gap(begin + piece * DAY_MS)
        feed.record_activity(begin + piece * DAY_MS, 30)
    assert feed.is_censored(begin - 10 * DAY_MS, begin + 20 * DAY_MS, begin + 30 * DAY_MS)


def test_what_was_silent_at_a_time_does_not_depend_on_what_came_later() -> None:
    """Asked in the middle of a gap, in a batch that ends there or in one that saw its end."""
    early, late = steady(40), steady(40)
    begin = early.newest_ms
    late.record_gap(begin + 5 * DAY_MS)
    for step in range(5 * 24):
        at = begin + step * HOUR_MS
        assert early.silent(at) == late.silent(at)
        assert early.is_censored(begin - DAY_MS, begin + DAY_MS, at) == late.is_censored(
            begin - DAY_MS, begin + DAY_MS, at
        )


def test_gaps_are_bounded_and_a_restored_state_answers_the_same() -> None:
    feed = steady(40)
    for _ in range(40):
        feed.record_gap(feed.newest_ms + 3 * DAY_MS)
        feed.record_activity(feed.newest_ms + 60 * DAY_MS, 60_000)
    again = FeedOutages()
    again.restore(feed.state())
    again.record_activity(again.newest_ms, 0)
    assert again.state() == feed.state()
    assert len(feed.state()[-1]) == GAPS_KEPT
    for hour in range(0, 400, 7):
        assert again.silent(feed.newest_ms + hour * HOUR_MS) == feed.silent(feed.newest_ms + hour * HOUR_MS)
    assert LEAST_MS > NOTED_MS


def test_the_time_before_the_first_event_is_no_gap() -> None:
    """Also where hundreds of events came before a customer did anything."""
    feed = FeedOutages()
    feed.record_activity(0, 500)
    assert not feed.silent(START - DAY_MS)
    feed.record_gap(START)
    feed.record_activity(START, 500)
    assert not feed.is_censored(START - 20 * DAY_MS, START + 5 * DAY_MS, START + DAY_MS)
