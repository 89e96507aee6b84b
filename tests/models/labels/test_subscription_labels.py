"""Which ends of subscriptions are churn labels."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from models.events.event import Event
from models.labels.labeller import Labeller
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, PendingSnapshot, ProcessingState, Profile
from tests.models.histories import START_MS, definition, event

VOLUNTARY = 2  # index of the definition among those of `tests.models.histories.CHURN`, sorted by name


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


def change(kind: str, on: float, key: str | None = None, **properties: Any) -> Event:
    if key is not None:
        properties["subscription_id"] = key
    if kind == "Cancelled":
        properties.setdefault("reason", "cancellation_requested")
    return event(f"Subscription {kind}", day(on), **properties)


def labelled(*events: Event) -> tuple[int, bool]:
    """The day of the first match after a snapshot on day 1, -1 for none; and whether the customer can still churn."""
    labeller, profile = Labeller(definition()), Profile(matched=[0] * 3)
    pending = PendingSnapshot(day(1), 7, [NEVER_MS] * 3)
    processing = ProcessingState(pending=[pending])
    for each in events:
        apply(profile, each)
        if each.name in labeller.watched:
            labeller.match(profile, processing, each, False)
    match_ms = pending.first_match_ms[VOLUNTARY]
    on = -1 if match_ms == NEVER_MS else (match_ms - START_MS) // DAY_MS
    return on, bool(labeller.eligible(profile, profile.newest_ms) >> VOLUNTARY & 1)


STARTS = (change("Started", 0, "A"), change("Started", 0, "B"))


def test_end_of_an_add_on_is_no_label() -> None:
    assert labelled(*STARTS, change("Cancelled", 5, "B")) == (-1, True)


def test_last_end_is_the_label_in_any_order_of_arrival() -> None:
    """A late end of the other subscription does not hide it."""
    for order in itertools.permutations([change("Cancelled", 4, "A"), change("Cancelled", 5, "B")]):
        assert labelled(*STARTS, *order) == (5, False)


def test_scheduled_end_of_an_add_on_is_no_label() -> None:
    """A definition may name the scheduled end; it counts when all that run are scheduled to end."""
    text = """
[churn.definitions.scheduled]
event = "Subscription Cancel Scheduled"
"""
    labeller = Labeller(definition(text))
    profile, processing = Profile(matched=[0]), ProcessingState()
    results = []
    for each in (*STARTS, change("Cancel Scheduled", 5, "B"), change("Cancel Scheduled", 6, "A")):
        apply(profile, each)
        results.append(labeller.match(profile, processing, each, False))
    assert results == [False, False, False, True]


@pytest.mark.parametrize(("old", "new"), [(None, None), ("A", "B")])
def test_switch_is_no_label(old: str | None, new: str | None) -> None:
    """An end and a start of one time, in either order of the log, with and without ids."""
    end, start = change("Cancelled", 5, old), change("Started", 5, new)
    for order in ((end, start), (start, end)):
        assert labelled(change("Started", 0, old), *order) == (-1, True)


def test_late_evidence_of_another_subscription_withdraws_the_label() -> None:
    """In time it would have prevented it."""
    assert labelled(STARTS[0], change("Cancelled", 5, "A"), change("Started", 2, "B")) == (-1, True)
    assert labelled(STARTS[0], change("Cancelled", 5, "A"), change("Started", 7, "B")) == (5, True)


def test_without_ids_every_end_is_a_label() -> None:
    assert labelled(change("Started", 0), change("Cancelled", 5)) == (5, False)
    assert labelled(change("Started", 0), change("Cancelled", 5), change("Started", 6)) == (5, True)
    assert labelled(change("Started", 0), change("Started", 6), change("Cancelled", 5)) == (5, True)
