"""The detractor rule: a low survey response opens an alert at once, whatever the probability.

A response is in effect while it is the newest of its kind and no older than `alerts.expire`. Its event opens the alert;
while it is in effect, no low probability ends the alert.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.experience.indices import CSAT_DETRACTOR_BELOW, NPS_PASSIVE
from models.features.scoring_point import DECISIVE, ScoringPoint
from models.profile.schema import Feedback, StampedNumber

# By kind of survey: reason code, feature that it is rendered as, per mille of the scale below which it is a detractor's
RULES: Final = {
    "csat": ("CSAT_DETRACTOR", "csat_last", CSAT_DETRACTOR_BELOW),
    "nps": ("NPS_DETRACTOR", "nps_last", NPS_PASSIVE),
}
FEATURE_OF: Final = {code: feature for code, feature, _ in RULES.values()}


class DetractorResponse(NamedTuple):
    """A detractor's response that is in effect."""

    code: str
    """Reason code of the response."""
    fresh: bool
    """Its event triggered the scoring point."""


def kinds_of(choice: str) -> tuple[str, ...]:
    """The kinds of surveys that `alerts.detractor` names.

    >>> kinds_of("any"), kinds_of("nps"), kinds_of("none")
    (('csat', 'nps'), ('nps',), ())
    """
    return tuple(kind for kind in RULES if choice in (kind, "any"))


def detractor_response(point: ScoringPoint, kinds: tuple[str, ...], within_ms: int) -> DetractorResponse | None:
    """The response in effect at a scoring point: the one that triggered it, else the newest; None without one."""
    feedback = point.profile_view.feedback
    if feedback is None:
        return None
    newest: tuple[int, str] | None = None
    for kind in kinds:
        code, _, below = RULES[kind]
        answer = _newest(feedback, kind)
        if answer is None or answer[2] >= below or answer[0] <= point.at_ms - within_ms:
            continue
        if point.trigger == DECISIVE and answer[:2] == (point.event_ms, point.id_hash):
            return DetractorResponse(code, True)
        newest = max(newest or (0, ""), (answer[0], code))
    return None if newest is None else DetractorResponse(newest[1], False)


def _newest(feedback: Feedback, kind: str) -> StampedNumber | None:
    answers: list[StampedNumber] = getattr(feedback, kind)
    return answers[-1] if answers else None
