"""The detractor rule: a low answer to a survey that tells somebody at once, whatever the probability.

An answer stands as long as it is the newest of its kind and no older than `alerts.expire`. The event that brought it
opens the alert; while it stands, no low probability ends the alert.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.experience.indices import DETRACTED, PASSIVE
from models.features.scoring_point import DECISIVE, ScoringPoint
from models.profile.schema import Feedback, StampedNumber

# Kind of survey -> reason, the feature that tells it, the score in per mille below which an answer is a detractor's
RULES: Final = {"csat": ("CSAT_DETRACTOR", "csat_last", DETRACTED), "nps": ("NPS_DETRACTOR", "nps_last", PASSIVE)}
FEATURE_OF: Final = {code: feature for code, feature, _ in RULES.values()}


class DetractorResponse(NamedTuple):
    """A detractor's answer that stands."""

    code: str
    """Reason of the answer."""
    fresh: bool
    """It is the event that made the point."""


def kinds_of(choice: str) -> tuple[str, ...]:
    """The kinds of surveys that `alerts.detractor` speaks of.

    >>> kinds_of("any"), kinds_of("nps"), kinds_of("none")
    (('csat', 'nps'), ('nps',), ())
    """
    return tuple(kind for kind in RULES if choice in (kind, "any"))


def detraction(point: ScoringPoint, kinds: tuple[str, ...], within_ms: int) -> DetractorResponse | None:
    """What stands of a customer at a scoring point: the answer that made it, else the newest; None for none."""
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
