"""How satisfied a customer is, and what their experience was like: figures of answers, effort, waiting and obstacles.

Derived from the profile when a customer is scored; nothing here is stored. Answers are shares of their scale, 0 to 1.
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

PROMOTER, PASSIVE = 900, 700  # per mille from which an NPS answer is one: 9 and 10, 7 and 8 of 10 (Reichheld 2003)
DETRACTED: Final = 500  # per mille below which a CSAT answer is a detractor's: 1 and 2 of 5
DIGITS: Final = 4  # of shares
_PER_MILLE: Final = 1000.0

# The parts of the CX index: name -> weight. What customers say weighs more than what is counted of them.
WEIGHTS: Final = {"satisfaction": 4, "effort": 2, "waiting": 2, "reopened": 1, "errors": 1}
HALVES: Final = {"waiting": 24.0, "reopened": 1.0, "errors": 5.0}
"""Hours to solve, tickets reopened in 90 days, errors in 7 days that halve their part."""

_SOLVE, _REOPENED, _ERRORS, _EVENTS = (
    NAMES.index(name) for name in ("time_to_solve_hours", "tickets_reopened_90", "errors_7d", "events_7d")
)


class Csat(msgspec.Struct, gc=False, frozen=True):
    """Satisfaction: `shrunk` is (sum + 2 x 0.7) / (answers + 2), `top2` the share of answers in the two best boxes,
    `trend` the last answer against the mean of up to seven before it."""

    answers: int
    last: float
    mean: float
    shrunk: float
    top2: float | None
    trend: float | None


class Nps(msgspec.Struct, gc=False, frozen=True):
    """Would they recommend: promoter from 9 of 10, passive from 7, else detractor."""

    last: float
    group: str


class Ces(msgspec.Struct, gc=False, frozen=True):
    """How easy it was, 1 is least effort; the mean is that of up to eight newest answers."""

    last: float
    mean: float


class AnswersAt(msgspec.Struct, gc=False, frozen=True):
    """The answers of a kind at one touchpoint, or to one survey."""

    name: str
    kind: str
    answers: int
    mean: float
    last: float


class Barrier(msgspec.Struct, gc=False, frozen=True):
    """A barrier named in the last 90 days: how often among the newest 16 tags, and when last."""

    tag: str
    times: int
    last: str


class CxIndex(msgspec.Struct, gc=False, frozen=True):
    """The CX index, 0 to 100: the weighted mean of those parts that are known; `known` is their share of the weights.

    A part that is not known is missing and never reads as good.
    """

    index: float
    known: float
    satisfaction: float | None
    effort: float | None
    waiting: float | None
    reopened: float | None
    errors: float | None


class Experience(msgspec.Struct, gc=False, frozen=True):
    """All of it; null where nothing was ever said."""

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
    """The figures of a customer as of a time.

    Args:
        profile_view: Who they were then.
        values: The features of that time, each in its unit, NaN for missing.
    """
    feedback = profile_view.feedback
    if feedback is None:
        return None
    return Experience(
        csat_of(feedback),
        nps_of(feedback.nps),
        ces_of(feedback.ces),
        sum(feedback.asked),
        answer_rate(feedback),
        _answers(feedback.touchpoints),
        _answers(feedback.surveys),
        _barriers(profile_view, feedback, at_ms),
        cx_of(feedback, values),
    )


def csat_of(feedback: Feedback) -> Csat | None:
    """None without an answer."""
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
    """(sum + k mu) / (n + k), in per mille.

    >>> shrunk(1000, 1), shrunk(100_000, 100)
    (800.0, 994.1176470588235)
    """
    return (total + SHRINK * USUAL) / (count + SHRINK)


def nps_of(answers: Sequence[StampedNumber]) -> Nps | None:
    """By the newest answer; None without one."""
    return Nps(answers[-1][2] / _PER_MILLE, nps_group(answers[-1][2])) if answers else None


def nps_group(score: int) -> str:
    """Of an answer in per mille.

    >>> [nps_group(100 * answer) for answer in (6, 7, 8, 9)]
    ['detractor', 'passive', 'passive', 'promoter']
    """
    return "promoter" if score >= PROMOTER else "passive" if score >= PASSIVE else "detractor"


def ces_of(answers: Sequence[StampedNumber]) -> Ces | None:
    """None without an answer."""
    if not answers:
        return None
    mean = sum([score for _, _, score in answers]) / len(answers) / _PER_MILLE
    return Ces(answers[-1][2] / _PER_MILLE, round(mean, DIGITS))


def answer_rate(feedback: Feedback) -> float | None:
    """Responses among surveys sent, by kind; a response to what nobody sent does not count. None if none was sent.

    >>> answer_rate(Feedback(asked=[0, 4, 0, 0], answered=[3, 1, 0, 0]))
    0.25
    """
    sent = sum(feedback.asked)
    if not sent:
        return None
    answered = sum([min(pair) for pair in zip(feedback.asked, feedback.answered, strict=False)])
    return round(answered / sent, DIGITS)


def cx_of(feedback: Feedback, values: Sequence[float]) -> CxIndex | None:
    """None where neither satisfaction nor effort nor waiting is known: counts of trouble alone are no experience."""
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
    told = {name: None if part is None else round(part, 1) for name, part in parts.items()}
    return CxIndex(round(index, 1), weight / sum(WEIGHTS.values()), **told)


def _barriers(profile_view: ProfileView, feedback: Feedback, at_ms: int) -> list[Barrier]:
    """Those that were named lately, most often named first."""
    floor, named = at_ms - BARRIER_DAYS * DAY_MS, feedback.tags
    found = []
    for tag in recent_barriers(profile_view, at_ms):
        times = [when for when, _, index in named if BARRIERS[index] == tag and when > floor]
        found.append(Barrier(tag, len(times), rfc3339(times[-1])))
    return found


def _halved(part: str, amount: float) -> float:
    """100 for nothing, half of it for each `HALVES` of it."""
    return 100.0 * 2.0 ** (-amount / HALVES[part])


def _answers(rated: Sequence[Rated]) -> list[AnswersAt]:
    found = []
    for key, count, total, _, last in rated:
        kind, _, name = key.partition(" ")
        found.append(AnswersAt(name, kind, count, round(total / count / _PER_MILLE, DIGITS), last / _PER_MILLE))
    return found


__all__ = ["AnswersAt", "Barrier", "Ces", "Csat", "CxIndex", "Experience", "Nps", "experience_indices"]
