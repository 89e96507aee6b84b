"""The detractor rule: a low survey response opens an alert at once, whatever the probability.

A response counts while it is the newest of its kind and no older than `alerts.expire`. The event that brought it opens
the alert; while it counts, no low probability ends the alert.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.experience.indices import DETRACTED, PASSIVE
from models.features.scoring_point import DECISIVE, ScoringPoint
from models.profile.schema import Feedback, StampedNumber

# Kind of survey -> reason code, feature that it is rendered as, score in per mille below which a response counts
RULES: Final = {"csat": ("CSAT_DETRACTOR", "csat_last", DETRACTED), "nps": ("NPS_DETRACTOR", "nps_last", PASSIVE)}
FEATURE_OF: Final = {code: feature for code, feature, _ in RULES.values()}


class DetractorResponse(NamedTuple):
    """A detractor's response that still counts."""

    code: str
    """Reason code of the response."""
    fresh: bool
    """It is the event that caused the scoring point."""


def kinds_of(choice: str) -> tuple[str, ...]:
    """The kinds of surveys that `alerts.detractor` names.

    >>> kinds_of("any"), kinds_of("nps"), kinds_of("none")
    (('csat', 'nps'), ('nps',), ())
    """
    return tuple(kind for kind in RULES if choice in (kind, "any"))


def detraction(point: ScoringPoint, kinds: tuple[str, ...], within_ms: int) -> DetractorResponse | None:
    """The response that counts at a scoring point: the one that caused it, else the newest; None without one."""
    feedback = point.profile_view.feedback
    if feedback is None:
        return None
    standing: tuple[int, str] | None = None
    for kind in kinds:
        code, _, below = RULES[kind]
        answer = _newest(feedback, kind)
        if answer is None or answer[2] >= below or answer[0] <= point.at_ms - within_ms:
            continue
        if point.trigger == DECISIVE and answer[:2] == (point.event_ms, point.id_hash):
            return DetractorResponse(code, True)
        standing = max(standing or (0, ""), (answer[0], code))
    return None if standing is None else DetractorResponse(standing[1], False)


def _newest(feedback: Feedback, kind: str) -> StampedNumber | None:
    answers: list[StampedNumber] = getattr(feedback, kind)
    return answers[-1] if answers else None
