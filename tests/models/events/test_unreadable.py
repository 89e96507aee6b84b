"""Rules of the counts of properties that are present and cannot be used."""

from __future__ import annotations

from itertools import pairwise

import pytest

from models.events.event import Event
from models.events.taxonomy import MEANINGS
from models.events.unreadable import (
    OTHER,
    PAIRS_MAX,
    UnreadableCount,
    UnreadableCounts,
    UnreadableProperty,
    unreadable,
)


def noted(name: str, *properties: str) -> Event:
    """An event on which some properties are noted."""
    event = Event("c", name, 1, 0, {}, False, False)
    for prop in properties:
        unreadable(event, prop)
    return event


def test_event_without_such_a_property_has_no_list() -> None:
    """Rule: nothing is allocated while all is readable, and nothing is counted."""
    counts = UnreadableCounts()
    event = noted("page")
    counts.add(event, 0)
    assert event.unreadable is None
    assert len(counts) == 0


def test_a_property_of_an_event_is_noted_once() -> None:
    """Rule: the profile, labels and accounts read the same property; it counts once per event."""
    assert noted("page", "name", "feature", "name").unreadable == ["name", "feature"]


def test_counts_are_sorted_and_know_their_positions() -> None:
    """Rule: a count has the positions of its first and its newest event, whatever the order of adding."""
    counts = UnreadableCounts()
    for position in (9, 4, 7):
        counts.add(noted("page", "name"), position)
    counts.add(noted("group", "plan"), 5)
    assert list(counts.items()) == [
        (UnreadableProperty("group", "plan"), UnreadableCount(1, 5, 5)),
        (UnreadableProperty("page", "name"), UnreadableCount(3, 4, 9)),
    ]


def test_names_that_the_taxonomy_does_not_list_are_counted_together() -> None:
    """Rule: a metric's label never holds the name of an unknown event, which may contain personal data."""
    counts = UnreadableCounts()
    counts.add(noted("Mail to anna@example.org", "plan"), 1)
    counts.add(noted("Opened c-1042", "plan"), 2)
    assert list(counts.items()) == [(UnreadableProperty(OTHER, "plan"), UnreadableCount(2, 1, 2))]


@pytest.mark.parametrize("batch", [1, 7, 100, 400])
def test_the_bound_keeps_the_first_pairs_of_the_log_for_every_batch_size(batch: int) -> None:
    """Rule: what is counted is a function of the log. Of too many pairs, the first are kept and the rest is summed."""
    names = sorted(MEANINGS)[:4]
    rounds = [(name, number) for number in range(100) for name in names]
    log = [noted(name, f"p{number % 80}") for name, number in rounds]
    whole = UnreadableCounts()
    for start, end in pairwise([*range(0, 400, batch), 400]):
        part = UnreadableCounts()
        for position in reversed(range(start, end)):  # a batch is applied customer by customer
            part.add(log[position], position)
        whole.merge(part)
    counts = dict(whole.items())
    assert len(counts) == PAIRS_MAX + 1
    assert sum(count.events for count in counts.values()) == 400
    assert counts[UnreadableProperty(OTHER, OTHER)] == UnreadableCount(120, 200, 319)
    assert counts[UnreadableProperty(names[0], "p0")] == UnreadableCount(2, 0, 320)
