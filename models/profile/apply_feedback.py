"""What tickets, surveys, reviews and mentions change in the profile. Scores are per mille of their scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from models.events.coercion import as_number, text, time_ms
from models.events.event import Event
from models.profile import sections as parts
from models.profile.mergeable import DAY_MS, HOUR_MS, bins_add, keep_last, newest, rate
from models.profile.schema import RATED_KEPT, RATED_NAME, RESPONSES_KEPT, TAGS_KEPT, Profile

BARRIERS: Final = (  # Stripe's vocabulary of cancellation feedback
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
_BARRIER_INDEX = {tag: index for index, tag in enumerate(BARRIERS)}


def tags(profile: Profile, event: Event, named: Sequence[Any]) -> None:
    for tag in named[:8]:
        index = _BARRIER_INDEX.get(tag) if tag.__class__ is str else None
        if index is not None:
            keep_last(parts.feedback(profile).tags, (event.time_ms, event.id_hash, index), TAGS_KEPT)


def tagged(profile: Profile, event: Event) -> None:
    part = parts.feedback(profile)
    part.ticket_ms = max(part.ticket_ms, event.time_ms)
    named = event.properties.get("tags")
    if isinstance(named, list):
        tags(profile, event, named)


def ticket_solved(profile: Profile, event: Event) -> None:
    seconds = as_number(event.properties.get("resolution_seconds"))
    opened = time_ms(event.properties.get("created_at"))
    if seconds is None and opened is not None:
        seconds = (event.time_ms - opened) / 1000
    if seconds is not None and 0 <= seconds <= 366 * 86_400:
        part = parts.feedback(profile)
        part.solve_ms_sum += round(seconds * 1000)
        part.solved_timed += 1


_SCALES = {"csat": 5.0, "nps": 10.0, "ces": 7.0}  # the usual scale where the event does not say its own
KINDS: Final = (*_SCALES, "other")  # the order is part of the encoded profile: append, never reorder
_OTHER: Final = len(_SCALES)
_KIND_INDEX: Final = {kind: index for index, kind in enumerate(_SCALES)}

SHRINK: Final = 2.0  # answers of `USUAL` that a mean is shrunk by: k of (sum + k mu) / (n + k)
USUAL: Final = 700.0  # mu in per mille: the usual satisfied-ish answer
TOP_BOXES: Final = 2
BOXES: Final = 4, 10  # scales that have boxes to tick: of others, the best fifth is the top


def _in_top(score: float, scale: float) -> bool:
    """Whether an answer is in the two best boxes of its scale: 4 and 5 of 5, 6 and 7 of 7, 9 and 10 of 10."""
    return score > scale - TOP_BOXES if BOXES[0] <= scale <= BOXES[1] else score >= 0.8 * scale


def _tally(counts: list[int], kind: str) -> None:
    if not counts:
        counts.extend([0] * len(KINDS))
    counts[_KIND_INDEX.get(kind, _OTHER)] += 1


def survey(profile: Profile, event: Event) -> None:
    properties = event.properties
    kind, score = str(properties.get("kind")), as_number(properties.get("score"))
    scale = as_number(properties.get("scale_max")) or _SCALES.get(kind)
    part = parts.feedback(profile)
    if score is not None and scale and 0 <= score <= scale and kind in _SCALES:
        entry = (event.time_ms, event.id_hash, round(1000 * (score / scale)))  # the largest double times 1000 is inf
        keep_last(getattr(part, kind), entry, RESPONSES_KEPT)
        if kind == "csat":
            part.csat_sum += entry[2]
            part.csat_count += 1
            part.csat_top += _in_top(score, scale)
            part.csat_boxed += 1
        for rated, names in ((part.touchpoints, ("touchpoint",)), (part.surveys, ("survey", "survey_id"))):
            name = next((found for key in names if (found := text(properties.get(key), RATED_NAME))), None)
            if name is not None:
                rate(rated, f"{kind} {name}", event.time_ms // 1000, entry[2], RATED_KEPT)
    _tally(part.answered, kind)
    named = properties.get("tags")
    if isinstance(named, list):
        tags(profile, event, named)


def survey_sent(profile: Profile, event: Event) -> None:
    part = parts.feedback(profile)
    part.surveys_sent += 1
    _tally(part.asked, str(event.properties.get("kind")))


def _opinion(profile: Profile, event: Event, counter: int) -> None:
    properties = event.properties
    rating, scale = as_number(properties.get("rating")), as_number(properties.get("scale_max")) or 5.0
    feeling = as_number(properties.get("sentiment"))  # -1..1
    if feeling is None and rating is not None and 0 <= rating <= scale and scale > 1:
        feeling = 2 * rating / scale - 1
    if feeling is None:
        feeling = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}.get(str(properties.get("sentiment")))
    if feeling is None:
        return
    feeling = min(1.0, max(-1.0, feeling))
    part = parts.feedback(profile)
    part.sentiment = newest(part.sentiment, (event.time_ms, event.id_hash, round(1000 * feeling)))
    if feeling < -0.1:
        at = event.time_ms
        bins_add(profile.bins, counter, at // DAY_MS, at // HOUR_MS, profile.newest_ms // HOUR_MS)
        profile.totals[counter] = profile.totals.get(counter, 0) + 1


def review(profile: Profile, event: Event) -> None:
    _opinion(profile, event, 16)


def mention(profile: Profile, event: Event) -> None:
    _opinion(profile, event, 17)
