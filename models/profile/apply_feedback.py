"""Effects of tickets, surveys, reviews and mentions on the profile. Scores are per mille of their scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from models.events.coercion import MAX_NUMBER_CHARS, as_number, text
from models.events.event import Event
from models.events.readers import first_readable, scale_max, score_and_scale, texts
from models.events.taxonomy import COUNTER_INDEX
from models.events.unreadable import unreadable
from models.profile import sections
from models.profile.mergeable import DAY_MS, HOUR_MS, bins_add, keep_last, newest, rate
from models.profile.schema import RATED_KEPT, RESPONSES_KEPT, TAGS_KEPT, Profile
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


def tags(profile: Profile, event: Event, *names: str) -> None:
    """Keep the barriers among the tags of an event, in the spelling of any system; other tags are not stored."""
    found = first_readable(event, names, texts)
    if not found:
        return
    for index in sorted({index for tag in found for index in _barriers(tag)}):
        keep_last(sections.feedback(profile).tags, (event.time_ms, event.id_hash, index), TAGS_KEPT)


def _barriers(tag: str) -> list[int]:
    """Return the index of a barrier, or those of several with spaces between them, as Zendesk's placeholder has them.

    >>> _barriers("Too Expensive"), _barriers("unused too_complex vip"), _barriers("my boss")
    ([6], [7, 5], [])
    """
    index = _BARRIER_INDEX.get(_spelled(tag))
    if index is not None:
        return [index]
    return [index for word in tag.split() if (index := _BARRIER_INDEX.get(_spelled(word))) is not None]


def _spelled(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def tagged(profile: Profile, event: Event) -> None:
    section = sections.feedback(profile)
    section.ticket_ms = max(section.ticket_ms, event.time_ms)
    ticket_opened(section, event)
    tags(profile, event, "tags")


def ticket_solved(profile: Profile, event: Event) -> None:
    ticket_closed(sections.feedback(profile), event)


def ticket_updated(profile: Profile, event: Event) -> None:
    ticket_shown(sections.feedback(profile), event)


_SCALES = {"csat": 5.0, "nps": 10.0, "ces": 7.0}  # default scale of a response that states none
KINDS: Final = (*_SCALES, "other")  # the order is part of the encoded profile: append, never reorder
_OTHER: Final = len(_SCALES)
_KIND_INDEX: Final = {kind: index for index, kind in enumerate(_SCALES)}
_KIND_OF: Final = {
    **{kind: kind for kind in _SCALES},
    **dict.fromkeys(("customer_satisfaction", "customer_satisfaction_score", "satisfaction"), "csat"),
    **dict.fromkeys(("net_promoter_score", "net_promoter"), "nps"),
    **dict.fromkeys(("customer_effort_score", "customer_effort", "effort"), "ces"),
}
_KIND_NAMES: Final = ("kind", "survey_type", "survey_kind", "surveyType", "type", "metric")
_SCORE_NAMES: Final = ("score", "rating", "value")
_SCALE_NAMES: Final = ("scale_max", "scale", "max", "max_score", "scaleMax", "maxScore")
_SURVEY_NAMES: Final = ("survey", "survey_id", "survey_name", "surveyId", "surveyName")
_TOUCHPOINT_NAMES: Final = ("touchpoint", "touch_point", "touchPoint")
_RATING_NAMES: Final = ("rating", "score", "stars")
_RATING_SCALE_NAMES: Final = (*_SCALE_NAMES, "best_rating", "bestRating")
_SENTIMENT_NAMES: Final = ("sentiment", "sentiment_score", "sentimentScore", "sentiment_label", "polarity")
_SENTIMENTS: Final = {
    **dict.fromkeys(("very_negative", "negative", "neg"), -1.0),
    **dict.fromkeys(("neutral", "mixed"), 0.0),
    **dict.fromkeys(("very_positive", "positive", "pos"), 1.0),
}
_ZENDESK: Final = {"good": 1.0, "bad": 0.0}
RATING_SCALE: Final = 5.0

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


def _kind(event: Event) -> str:
    """Read the kind of a survey; any other kind than the three is "other"."""
    kind = first_readable(event, _KIND_NAMES, text)
    return KINDS[_OTHER] if kind is None else _KIND_OF.get(_spelled(kind), KINDS[_OTHER])


Scored = tuple[float, float | None]
"""A score, and the scale that it states itself."""


def _score(
    event: Event,
    names: tuple[str, ...],
    scales: tuple[str, ...],
    default: float,
    read: Callable[[Any], Scored | None] = score_and_scale,
) -> tuple[float, float] | None:
    """Read a score and its scale. A score outside its scale, or of a scale that cannot be read, is missing."""
    score = first_readable(event, names, read)
    if score is None:
        return None
    found, scale = score
    if scale is None:
        scale = first_readable(event, scales, scale_max)
        if scale is None:
            if event.unreadable is not None and not set(scales).isdisjoint(event.unreadable):
                return None
            scale = default
    if not 0 <= found <= scale or scale <= 0:
        properties = event.properties
        unreadable(event, next(name for name in names if read(properties.get(name)) is not None))
        return None
    return found, scale


def _satisfaction(value: object) -> Scored | None:
    """Read a score of customer satisfaction; Zendesk's ratings are the words good and bad."""
    if isinstance(value, str) and (share := _ZENDESK.get(value.strip().lower())) is not None:
        return share, 1.0
    return score_and_scale(value)


def survey(profile: Profile, event: Event) -> None:
    kind = _kind(event)
    section = sections.feedback(profile)
    response = None
    if kind in _SCALES:
        read = _satisfaction if kind == "csat" else score_and_scale
        response = _score(event, _SCORE_NAMES, _SCALE_NAMES, _SCALES[kind], read)
    if response is not None:
        score, scale = response
        entry = (event.time_ms, event.id_hash, round(1000 * (score / scale)))  # divide first: 1000 * 1e308 is inf
        keep_last(getattr(section, kind), entry, RESPONSES_KEPT)
        if kind == "csat":
            section.csat_sum += entry[2]
            section.csat_count += 1
            section.csat_top += _in_top(score, scale)
            section.csat_boxed += 1
        for rated, names in ((section.touchpoints, _TOUCHPOINT_NAMES), (section.surveys, _SURVEY_NAMES)):
            name = first_readable(event, names, text)
            if name is not None:
                rate(rated, f"{kind} {name}", event.time_ms // 1000, entry[2], RATED_KEPT)
    _count_kind(section.answered, kind)
    tags(profile, event, "tags")


def survey_sent(profile: Profile, event: Event) -> None:
    section = sections.feedback(profile)
    section.surveys_sent += 1
    _count_kind(section.asked, _kind(event))


def _sentiment(value: object) -> float | None:
    """Read a sentiment: a number from -1 to 1, or a label in any case. A number outside the scale is missing."""
    if isinstance(value, dict):  # Google's document sentiment: score and magnitude
        value = value.get("score", value.get("label"))
    number = as_number(value)
    if number is not None:
        return number if -1 <= number <= 1 else None
    return _SENTIMENTS.get(_spelled(value)) if isinstance(value, str) and len(value) <= MAX_NUMBER_CHARS else None


def _record_sentiment(profile: Profile, event: Event, negative_counter: int) -> None:
    """Keep the newest sentiment, in thousandths of -1..1, and count a negative one (below -0.1)."""
    sentiment = first_readable(event, _SENTIMENT_NAMES, _sentiment)
    if sentiment is None:
        rating = _score(event, _RATING_NAMES, _RATING_SCALE_NAMES, RATING_SCALE)
        if rating is None:
            return
        sentiment = 2 * (rating[0] / rating[1]) - 1
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
