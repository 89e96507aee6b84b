"""Experience indices of one customer: CSAT, NPS, CES, response rate, barriers and the CX index.

They are derived from the profile when a customer is scored, and not stored. Answers are shares of their scale, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from models.duration import rfc3339
from models.experience.barriers import BARRIER_DAYS, recent_barriers
from models.features.catalogue import NAMES
from models.profile.apply_feedback import BARRIERS, SHRINK, USUAL
from models.profile.mergeable import DAY_MS
from models.profile.schema import Feedback, Rated, StampedNumber
from models.profile.view import ProfileView

NPS_PROMOTER, NPS_PASSIVE = 900, 700  # lowest NPS answers in per mille: 9 and 10, 7 and 8 of 10 (Reichheld 2003)
CSAT_DETRACTOR_BELOW: Final = 500  # a CSAT answer below this per mille (1 or 2 of 5) is a detractor's
DIGITS: Final = 4  # of shares
_PER_MILLE: Final = 1000.0

# Weights of the parts of the CX index. Answers of customers weigh more than counts.
WEIGHTS: Final = {"satisfaction": 4, "effort": 2, "waiting": 2, "reopened": 1, "errors": 1}
HALVES: Final = {"waiting": 24.0, "reopened": 1.0, "errors": 5.0}
"""Amounts that halve a part: hours to solve, tickets reopened in 90 days, errors in 7 days."""

_SOLVE, _REOPENED, _ERRORS, _EVENTS = (
    NAMES.index(name) for name in ("time_to_solve_hours", "tickets_reopened_90", "errors_7d", "events_7d")
)


class Csat(msgspec.Struct, gc=False, frozen=True):
    """Customer satisfaction (CSAT).

    `shrunk` is (sum + 2 x 0.7) / (answers + 2), `top2` the share of answers in the two best boxes, and `trend` the
    difference of the last answer to the mean of up to seven answers before it.
    """

    answers: int
    last: float
    mean: float
    shrunk: float
    top2: float | None
    trend: float | None


class Nps(msgspec.Struct, gc=False, frozen=True):
    """Net promoter score (NPS): promoter from 9 of 10, passive from 7, else detractor."""

    last: float
    group: str


class Ces(msgspec.Struct, gc=False, frozen=True):
    """Customer effort score (CES): 1 is the least effort. `mean` covers up to eight newest answers."""

    last: float
    mean: float


class AnswersAt(msgspec.Struct, gc=False, frozen=True):
    """The answers of one kind at one touchpoint, or to one survey."""

    name: str
    kind: str
    answers: int
    mean: float
    last: float


class Barrier(msgspec.Struct, gc=False, frozen=True):
    """A barrier named in the last 90 days: how often among the newest 16 tags, and the last time."""

    tag: str
    times: int
    last: str


class CxIndex(msgspec.Struct, gc=False, frozen=True):
    """The CX index, 0 to 100: the weighted mean of the known parts. `known` is their share of the weights.

    An unknown part is null; it never counts as good.
    """

    index: float
    known: float
    satisfaction: float | None
    effort: float | None
    waiting: float | None
    reopened: float | None
    errors: float | None


class Experience(msgspec.Struct, gc=False, frozen=True):
    """All indices of a customer; null without answers."""

    csat: Csat | None
    nps: Nps | None
    ces: Ces | None
    surveys_sent: int
    answer_rate: float | None
    touchpoints: list[AnswersAt]
    surveys: list[AnswersAt]
    barriers: list[Barrier]
    cx: CxIndex | None


def experience_indices(profile_view: ProfileView, values: Sequence[float], at_ms: int) -> Experience | None:
    """Compute the indices of a customer as of a time; None without feedback.

    Args:
        profile_view: The customer's profile at that time.
        values: The features at that time, each in its unit, NaN for missing.
        at_ms: The time.
    """
    feedback = profile_view.feedback
    if feedback is None:
        return None
    return Experience(
        csat=csat_of(feedback),
        nps=nps_of(feedback.nps),
        ces=ces_of(feedback.ces),
        surveys_sent=max(feedback.surveys_sent, sum(feedback.asked)),  # `asked` is younger than some profiles
        answer_rate=answer_rate(feedback),
        touchpoints=_answers(feedback.touchpoints),
        surveys=_answers(feedback.surveys),
        barriers=_barriers(profile_view, feedback, at_ms),
        cx=cx_of(feedback, values),
    )


def csat_of(feedback: Feedback) -> Csat | None:
    """Compute CSAT; None without an answer."""
    kept, count, total = feedback.csat, feedback.csat_count, feedback.csat_sum
    if not kept or not count:
        return None
    last, before = kept[-1][2], kept[:-1]
    trend = (last - sum([score for _, _, score in before]) / len(before)) / _PER_MILLE if before else None
    return Csat(
        count,
        last / _PER_MILLE,
        round(total / count / _PER_MILLE, DIGITS),
        round(shrunk(total, count) / _PER_MILLE, DIGITS),
        round(feedback.csat_top / feedback.csat_boxed, DIGITS) if feedback.csat_boxed else None,
        None if trend is None else round(trend, DIGITS),
    )


def shrunk(total: float, count: int) -> float:
    """Shrink a mean to the prior: (sum + k mu) / (n + k), in per mille.

    >>> shrunk(1000, 1), shrunk(100_000, 100)
    (800.0, 994.1176470588235)
    """
    return (total + SHRINK * USUAL) / (count + SHRINK)


def nps_of(answers: Sequence[StampedNumber]) -> Nps | None:
    """Compute NPS from the newest answer; None without one."""
    return Nps(answers[-1][2] / _PER_MILLE, nps_group(answers[-1][2])) if answers else None


def nps_group(score: int) -> str:
    """Return the NPS group of an answer in per mille.

    >>> [nps_group(100 * answer) for answer in (6, 7, 8, 9)]
    ['detractor', 'passive', 'passive', 'promoter']
    """
    return "promoter" if score >= NPS_PROMOTER else "passive" if score >= NPS_PASSIVE else "detractor"


def ces_of(answers: Sequence[StampedNumber]) -> Ces | None:
    """Compute CES; None without an answer."""
    if not answers:
        return None
    mean = sum([score for _, _, score in answers]) / len(answers) / _PER_MILLE
    return Ces(answers[-1][2] / _PER_MILLE, round(mean, DIGITS))


def answer_rate(feedback: Feedback) -> float | None:
    """Compute the survey response rate over all kinds; None if no survey was sent.

    Responses of a kind count up to the number of surveys sent of that kind.

    >>> answer_rate(Feedback(asked=[0, 4, 0, 0], answered=[3, 1, 0, 0]))
    0.25
    """
    sent = sum(feedback.asked)
    if not sent:
        return None
    answered = sum([min(pair) for pair in zip(feedback.asked, feedback.answered, strict=False)])
    return round(answered / sent, DIGITS)


def cx_of(feedback: Feedback, values: Sequence[float]) -> CxIndex | None:
    """Compute the CX index; None if satisfaction, effort and waiting are all unknown, since counts are not enough."""
    solve, reopened, errors, events = values[_SOLVE], values[_REOPENED], values[_ERRORS], values[_EVENTS]
    parts: dict[str, float | None] = {
        "satisfaction": shrunk(feedback.csat_sum, feedback.csat_count) / 10 if feedback.csat_count else None,
        "effort": shrunk(sum([score for _, _, score in feedback.ces]), len(feedback.ces)) / 10
        if feedback.ces
        else None,
        "waiting": _halved("waiting", solve) if solve == solve else None,
        "reopened": _halved("reopened", reopened) if feedback.ticket_ms else None,
        "errors": _halved("errors", errors) if events or errors else None,
    }
    if parts["satisfaction"] is parts["effort"] is parts["waiting"] is None:
        return None
    known = {name: part for name, part in parts.items() if part is not None}
    weight = sum([WEIGHTS[name] for name in known])
    index = sum([WEIGHTS[name] * part for name, part in known.items()]) / weight
    rounded = {name: None if part is None else round(part, 1) for name, part in parts.items()}
    return CxIndex(round(index, 1), weight / sum(WEIGHTS.values()), **rounded)


def _barriers(profile_view: ProfileView, feedback: Feedback, at_ms: int) -> list[Barrier]:
    """Return the recently named barriers, most frequent first."""
    floor, named = at_ms - BARRIER_DAYS * DAY_MS, feedback.tags
    barriers = []
    for tag in recent_barriers(profile_view, at_ms):
        times = [when for when, _, index in named if BARRIERS[index] == tag and when > floor]
        barriers.append(Barrier(tag, len(times), rfc3339(times[-1])))
    return barriers


def _halved(part: str, amount: float) -> float:
    """Return 100 for an amount of 0, and half of it for each further `HALVES`."""
    return 100.0 * 2.0 ** (-amount / HALVES[part])


def _answers(rated: Sequence[Rated]) -> list[AnswersAt]:
    answers = []
    for key, count, total, _, last in rated:
        kind, _, name = key.partition(" ")
        answers.append(AnswersAt(name, kind, count, round(total / count / _PER_MILLE, DIGITS), last / _PER_MILLE))
    return answers


__all__ = ["AnswersAt", "Barrier", "Ces", "Csat", "CxIndex", "Experience", "Nps", "experience_indices"]
