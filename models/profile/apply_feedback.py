"""Effects of tickets, surveys, reviews and mentions on the profile. Scores are per mille of their scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from models.events.coercion import as_number, text
from models.events.event import Event
from models.events.taxonomy import COUNTER_INDEX
from models.profile import sections
from models.profile.mergeable import DAY_MS, HOUR_MS, bins_add, keep_last, newest, rate
from models.profile.schema import RATED_KEPT, RATED_NAME, RESPONSES_KEPT, TAGS_KEPT, Profile
from models.profile.ticket_object import ticket_closed, ticket_opened, ticket_shown

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
_BARRIER_INDEX: Final = {tag: index for index, tag in enumerate(BARRIERS)}

NEGATIVE_REVIEW: Final = COUNTER_INDEX["negative_review"]
NEGATIVE_MENTION: Final = COUNTER_INDEX["negative_mention"]


def tags(profile: Profile, event: Event, names: Sequence[Any]) -> None:
    for tag in names[:8]:
        index = _BARRIER_INDEX.get(tag) if tag.__class__ is str else None
        if index is not None:
            keep_last(sections.feedback(profile).tags, (event.time_ms, event.id_hash, index), TAGS_KEPT)


def tagged(profile: Profile, event: Event) -> None:
    section = sections.feedback(profile)
    section.ticket_ms = max(section.ticket_ms, event.time_ms)
    ticket_opened(section, event)
    names = event.properties.get("tags")
    if isinstance(names, list):
        tags(profile, event, names)


def ticket_solved(profile: Profile, event: Event) -> None:
    ticket_closed(sections.feedback(profile), event)


def ticket_updated(profile: Profile, event: Event) -> None:
    ticket_shown(sections.feedback(profile), event)


_SCALES = {"csat": 5.0, "nps": 10.0, "ces": 7.0}  # default scale of a response without `scale_max`
KINDS: Final = (*_SCALES, "other")  # the order is part of the encoded profile: append, never reorder
_OTHER: Final = len(_SCALES)
_KIND_INDEX: Final = {kind: index for index, kind in enumerate(_SCALES)}

SHRINK: Final = 2.0  # k of the shrunk mean (sum + k mu) / (n + k): weight of `USUAL` in responses
USUAL: Final = 700.0  # mu in per mille: a typical, moderately satisfied response
TOP_BOXES: Final = 2
BOXES: Final = 4, 10  # smallest and largest scale with boxes; on other scales the best fifth is the top


def _in_top(score: float, scale: float) -> bool:
    """Return whether a response is in the top two boxes of its scale: 4-5 of 5, 6-7 of 7, 9-10 of 10."""
    return score > scale - TOP_BOXES if BOXES[0] <= scale <= BOXES[1] else score >= 0.8 * scale


def _count_kind(counts: list[int], kind: str) -> None:
    if not counts:
        counts.extend([0] * len(KINDS))
    counts[_KIND_INDEX.get(kind, _OTHER)] += 1


def survey(profile: Profile, event: Event) -> None:
    properties = event.properties
    kind, score = str(properties.get("kind")), as_number(properties.get("score"))
    scale = as_number(properties.get("scale_max")) or _SCALES.get(kind)
    section = sections.feedback(profile)
    if score is not None and scale and 0 <= score <= scale and kind in _SCALES:
        entry = (event.time_ms, event.id_hash, round(1000 * (score / scale)))  # divide first: 1000 * 1e308 is inf
        keep_last(getattr(section, kind), entry, RESPONSES_KEPT)
        if kind == "csat":
            section.csat_sum += entry[2]
            section.csat_count += 1
            section.csat_top += _in_top(score, scale)
            section.csat_boxed += 1
        for rated, names in ((section.touchpoints, ("touchpoint",)), (section.surveys, ("survey", "survey_id"))):
            name = next((value for key in names if (value := text(properties.get(key), RATED_NAME))), None)
            if name is not None:
                rate(rated, f"{kind} {name}", event.time_ms // 1000, entry[2], RATED_KEPT)
    _count_kind(section.answered, kind)
    tag_names = properties.get("tags")
    if isinstance(tag_names, list):
        tags(profile, event, tag_names)


def survey_sent(profile: Profile, event: Event) -> None:
    section = sections.feedback(profile)
    section.surveys_sent += 1
    _count_kind(section.asked, str(event.properties.get("kind")))


def _record_sentiment(profile: Profile, event: Event, negative_counter: int) -> None:
    """Keep the newest sentiment, in thousandths of -1..1, and count a negative one (below -0.1)."""
    properties = event.properties
    rating, scale = as_number(properties.get("rating")), as_number(properties.get("scale_max")) or 5.0
    sentiment = as_number(properties.get("sentiment"))  # -1..1
    if sentiment is None and rating is not None and 0 <= rating <= scale and scale > 1:
        sentiment = 2 * rating / scale - 1
    if sentiment is None:
        sentiment = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}.get(str(properties.get("sentiment")))
    if sentiment is None:
        return
    sentiment = min(1.0, max(-1.0, sentiment))
    section = sections.feedback(profile)
    section.sentiment = newest(section.sentiment, (event.time_ms, 0, round(1000 * sentiment)))
    if sentiment < -0.1:
        at = event.time_ms
        bins_add(profile.bins, negative_counter, at // DAY_MS, at // HOUR_MS, profile.newest_ms // HOUR_MS)
        profile.totals[negative_counter] = profile.totals.get(negative_counter, 0) + 1


def review(profile: Profile, event: Event) -> None:
    _record_sentiment(profile, event, NEGATIVE_REVIEW)


def mention(profile: Profile, event: Event) -> None:
    _record_sentiment(profile, event, NEGATIVE_MENTION)
