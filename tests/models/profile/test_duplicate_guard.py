"""The duplicate guard of a profile."""

from __future__ import annotations

import random

import pytest

from models.profile.apply import apply
from models.profile.codec import decode, encode
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.schema import GUARD_IDS, Profile
from tests.models.histories import MINUTE_MS, START_MS, event, profile_of


def test_duplicate_within_the_window_changes_nothing() -> None:
    """An id is a duplicate at the same or a later time, with the same or other content."""
    profile = profile_of([event(id_hash=7, at_ms=START_MS + HOUR_MS)])
    before = encode(profile)
    assert not apply(profile, event(id_hash=7, at_ms=START_MS + HOUR_MS))
    assert not apply(profile, event("Order Completed", id_hash=7, at_ms=START_MS + HOUR_MS + 5 * MINUTE_MS, revenue=5))
    assert encode(profile) == before


@pytest.mark.parametrize(("later_ms", "known"), [(23 * HOUR_MS, True), (24 * HOUR_MS, True), (25 * HOUR_MS, False)])
def test_guard_covers_24_hours_of_event_time(later_ms: int, known: bool) -> None:
    """Within the window an id is recognised. An event an hour older than the window counts as new."""
    first = event(id_hash=7)
    profile = profile_of([first, event(id_hash=8, at_ms=START_MS + later_ms)])
    assert apply(profile, first) is not known


def test_event_without_an_id_is_never_a_duplicate() -> None:
    """It always counts."""
    profile = profile_of([event(id_hash=0)] * 3)
    assert profile.totals[0] == 3
    assert profile.guard == {}


def test_guard_keeps_the_newest_256_ids_and_counts_dropped_ids() -> None:
    """Newest by event time, not by arrival."""
    events = [event(id_hash=i + 1, at_ms=START_MS + i * MINUTE_MS) for i in range(GUARD_IDS + 44)]
    random.Random(1).shuffle(events)
    profile = profile_of(events)
    assert set(profile.guard) == set(range(45, GUARD_IDS + 45))
    assert profile.processing is not None
    assert profile.processing.forgotten == 44
    assert not apply(profile, event(id_hash=45, at_ms=START_MS + 44 * MINUTE_MS))
    assert apply(profile, event(id_hash=44, at_ms=START_MS + 43 * MINUTE_MS))


def test_restart_does_not_change_a_full_guard() -> None:
    """The order that the guard keeps in memory is only an index."""
    rng = random.Random(2)
    events = [event(id_hash=rng.getrandbits(64), at_ms=START_MS + rng.randrange(30 * HOUR_MS)) for _ in range(900)]
    profile, restarted = Profile(), Profile()
    for i, each in enumerate(events):
        assert apply(profile, each) == apply(restarted, each)
        if i % 7 == 0:
            restarted = decode(encode(restarted))
    assert encode(profile) == encode(restarted)


@pytest.mark.parametrize("silence_ms", [HOUR_MS, 25 * HOUR_MS, 40 * DAY_MS])
def test_guard_recognises_the_event_that_ends_a_silence(silence_ms: int) -> None:
    """A redelivery of the event is a duplicate."""
    returning = event(at_ms=START_MS + silence_ms)
    profile = profile_of([event(), returning])
    assert not apply(profile, returning)
