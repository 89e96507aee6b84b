"""A customer's plan, tenure, answers, barriers and goals at a training snapshot, kept until its label matures."""

from __future__ import annotations

from typing import Final

import msgspec

from models.definition.goals import Goals
from models.experience.barriers import BARRIER_DAYS
from models.features.scoring_point import ScoringPoint
from models.profile.mergeable import DAY_MS
from models.profile.schema import StampedNumber
from models.profile.subscription import plan_of

UNKNOWN: Final = -1


class ExperienceContext(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The context at the snapshot. Answers are the newest of each kind, in per mille of their scale."""

    plan: str
    tenure_days: int
    csat: int = UNKNOWN
    nps: int = UNKNOWN
    ces: int = UNKNOWN
    barriers: int = 0
    """A bit per tag of `models.profile.apply_feedback.BARRIERS` named in the 90 days before."""
    goals: list[tuple[str, int]] = []
    """Label of each declared goal and the customer's status (`models.definition.goals`)."""


def experience_context(point: ScoringPoint, goals: Goals) -> ExperienceContext:
    """Build the context of a customer at a scoring point."""
    profile_view, at_ms = point.profile_view, point.at_ms
    feedback = profile_view.feedback
    plan = plan_of(profile_view.identity, profile_view.subscription)
    tenure = max(at_ms - profile_view.first_ms, 0) // DAY_MS
    statuses = goals.statuses(profile_view.journey, profile_view.first_ms) if goals else []
    if feedback is None:
        return ExperienceContext(plan, tenure, goals=statuses)
    named, floor = 0, at_ms - BARRIER_DAYS * DAY_MS
    for when, _, index in feedback.tags:
        if when > floor:
            named |= 1 << index
    return ExperienceContext(
        plan, tenure, _newest(feedback.csat), _newest(feedback.nps), _newest(feedback.ces), named, statuses
    )


def _newest(answers: list[StampedNumber]) -> int:
    return answers[-1][2] if answers else UNKNOWN
