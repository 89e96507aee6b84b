"""A scoring point: one customer at one time for which the log triggers a score."""

from __future__ import annotations

from typing import Final

import msgspec

from models.profile.schema import NEVER_MS
from models.profile.view import ProfileView

# Triggers of a scoring point
EVENT: Final = "event"
DECISIVE: Final = "decisive"
SNAPSHOT: Final = "snapshot"
SILENCE: Final = "silence"

LogPosition = tuple[int, int, int]
"""A position in a batch. Events are ordered by their index. Deadlines come before the event that advances the clock
past them, ordered by due time and then by hash."""


class ScoringPoint(msgspec.Struct, gc=False):
    """A scoring point. Its features and its score are in the same row of the batch's arrays."""

    key: bytes
    at_ms: int
    trigger: str
    profile_view: ProfileView
    """View of the profile at that time."""
    position: LogPosition
    clock_ms: int
    """The partition's clock; the due time for a deadline."""
    offset: int = -1
    """Offset of the event that triggered the score, -1 for a deadline."""
    id_hash: int = 0
    event_ms: int = 0
    """Time of the event; the due time for a deadline."""
    eligible: bool = True
    """Whether the customer can still churn."""
    due_to_publish: bool = False
    """Whether the score is published even without a new band: after a decisive event, or after a day."""
    oldest_new_ms: int = NEVER_MS
    """Earliest of the events since the previous score."""
    first: bool = False
    """Whether no earlier score of the customer is stored."""


def event_position(index: int) -> LogPosition:
    """Return the position of the event at an index of the batch."""
    return 2 * index + 1, 0, 0


def deadline_position(raised_by: int, due_ms: int, order: int) -> LogPosition:
    """Return the position of a deadline that the event at index `raised_by` advanced the clock past."""
    return 2 * raised_by, due_ms, order
