"""One customer at one time at which the log demands a score."""

from __future__ import annotations

from typing import Final

import msgspec

from models.profile.schema import NEVER_MS
from models.profile.view import ProfileView

# What made a point
EVENT: Final = "event"
DECISIVE: Final = "decisive"
SNAPSHOT: Final = "snapshot"
SILENCE: Final = "silence"

LogPosition = tuple[int, int, int]
"""Where something stands in a batch: events by their place, deadlines before the event that moved the clock past them,
by due time and then by hash."""


class ScoringPoint(msgspec.Struct, gc=False):
    """A scoring point. Its features and its score stand in the same row of the batch's arrays."""

    key: bytes
    at_ms: int
    trigger: str
    profile_view: ProfileView
    """Who the customer was then."""
    place: LogPosition
    clock_ms: int
    """The partition's clock: of a deadline, its due time."""
    offset: int = -1
    """Of the event that caused it, -1 for a deadline."""
    id_hash: int = 0
    event_ms: int = 0
    """The event's own time, that of a deadline its due time."""
    eligible: bool = True
    """The customer can still churn."""
    due_to_publish: bool = False
    """Told whatever comes of it: by a decisive event, or after a day."""
    oldest_new_ms: int = NEVER_MS
    """Earliest of the events since the score before."""
    first: bool = False
    """No score of this customer is remembered."""


def event_position(place: int) -> LogPosition:
    """Of the event at this place of a batch."""
    return 2 * place + 1, 0, 0


def deadline_position(raised_by: int, due_ms: int, order: int) -> LogPosition:
    """Of a deadline that the event at place `raised_by` moved the clock past."""
    return 2 * raised_by, due_ms, order
