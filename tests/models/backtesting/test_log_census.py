"""Counts of a log: names, rejected lines, customers, ids and gaps between active days."""

from __future__ import annotations

from models.backtesting.log_census import IDS_REMEMBERED, LogCensus, Tally
from models.duration import DAY_MS
from models.events.rejection import Rejected
from tests.models.histories import START_MS, event


def test_counts_have_the_line_of_the_first_occurrence() -> None:
    found = LogCensus()
    found.add(1, Rejected("not_json", ""))
    for line, name in enumerate(["page", "Level Finished", "page", "Level Finished"], 2):
        found.add(line, event(name, START_MS + line * DAY_MS, f"c{line}"))
    assert (found.lines, found.events, found.rejected["not_json"]) == (5, 4, (1, 1))
    assert found.known["page"] == (2, 2)
    assert found.unknown["Level Finished"] == (2, 3)
    assert (found.customers, found.visitors, found.last_ms - found.first_ms) == (4, 0, 3 * DAY_MS)


def test_a_repeated_id_of_the_same_customer_is_a_duplicate() -> None:
    found = LogCensus()
    for customer, id_hash in (("a", 7), ("a", 7), ("b", 7), ("a", 0), ("a", 0)):
        found.add(1, event("page", START_MS, customer, id_hash=id_hash))
    assert (found.duplicates, found.without_id) == (1, 2)
    assert IDS_REMEMBERED > 10**6


def test_gaps_are_counted_between_days_with_engagement() -> None:
    """Setup: two events on a day, one that the customer did not cause, and one out of order."""
    found = LogCensus()
    for day, name in ((0, "page"), (0, "page"), (3, "Email Sent"), (5, "page"), (4, "page"), (600, "page")):
        found.add(1, event(name, START_MS + day * DAY_MS))
    assert [(days, count) for days, count in enumerate(found.gaps) if count] == [(5, 1), (400, 1)]


def test_keys_above_the_limit_are_counted_together() -> None:
    tally = Tally(limit=2)
    for line, key in enumerate("abcdca", 1):
        tally.add(key, line)
    assert tally.most_frequent(3) == [("(others)", (3, 3)), ("a", (2, 1)), ("b", (1, 2))]
    assert tally.total == 6
