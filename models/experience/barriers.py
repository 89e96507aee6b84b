"""Barriers: reasons for trouble that customers name in tickets, in surveys and when they cancel."""

from __future__ import annotations

from typing import Final

from models.duration import DAY_MS
from models.profile.apply_feedback import BARRIERS
from models.profile.view import ProfileView

BARRIER_DAYS: Final = 90


def recent_barriers(profile_view: ProfileView, at_ms: int) -> list[str]:
    """Return the barriers named in the last 90 days, most frequent first."""
    feedback = profile_view.feedback
    if feedback is None or not feedback.tags:
        return []
    floor = at_ms - BARRIER_DAYS * DAY_MS
    named = [index for when, _, index in feedback.tags if when > floor]
    return [BARRIERS[index] for index in sorted(set(named), key=lambda index: (-named.count(index), index))]
