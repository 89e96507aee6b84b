"""Surveys, reviews and mentions in the formats of real systems; what cannot be read is missing and noted."""

from __future__ import annotations

from typing import Any

import pytest

from models.profile.apply import apply
from models.profile.schema import Feedback, Profile
from tests.models.histories import event

SURVEY, MENTION, REVIEW = "Survey Response Submitted", "Social Mention", "Review Posted"


def applied(name: str, **properties: Any) -> tuple[Feedback, list[str]]:
    """The section after one event, and the properties that are noted as unreadable."""
    one, profile = event(name, **properties), Profile()
    apply(profile, one)
    assert profile.feedback is not None or not properties
    return profile.feedback or Feedback(), one.unreadable or []


def sentiment(name: str, **properties: Any) -> tuple[float | None, list[str]]:
    one, profile = event(name, **properties), Profile()
    apply(profile, one)
    stamp = profile.feedback.sentiment if profile.feedback else None
    return None if stamp is None else stamp[2] / 1000, one.unreadable or []


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("NEGATIVE", -1),
        ("Negative", -1),
        (" very negative ", -1),
        ("POSITIVE", 1),
        ("Very_Positive", 1),
        ("MIXED", 0),
        ("-0.4", -0.4),
        (-1, -1),
        (1, 1),
        ({"score": -0.8, "magnitude": 3}, -0.8),
    ],
)
def test_sentiment_is_read_as_label_in_any_case_and_as_number(value: object, read: float) -> None:
    assert sentiment(MENTION, sentiment=value) == (read, [])


@pytest.mark.parametrize("value", [20, 5, 1.01, -1.01, "20%", "4 stars", "n/a", True, [], {}, 1e308])
@pytest.mark.parametrize("name", [MENTION, REVIEW])
def test_sentiment_out_of_scale_is_missing_and_noted(name: str, value: object) -> None:
    """Rule: percent and five-star values are never clipped to the best or worst sentiment."""
    assert sentiment(name, sentiment=value) == (None, ["sentiment"])


@pytest.mark.parametrize("value", [None, "", "  "])
def test_absent_value_is_not_noted(value: object) -> None:
    """Rule: null and blank texts state no value."""
    assert sentiment(MENTION, sentiment=value) == (None, [])


def test_first_readable_name_decides() -> None:
    """Rule: an unreadable value does not hide another name, or the rating, and is noted all the same."""
    assert sentiment(MENTION, sentiment="n/a", sentiment_score=-0.5) == (-0.5, ["sentiment"])
    assert sentiment(REVIEW, sentiment="?", rating="1/5") == (-0.6, ["sentiment"])


@pytest.mark.parametrize(
    ("properties", "read"),
    [
        ({"rating": "4"}, 0.6),
        ({"rating": 8, "scale": 10}, 0.6),
        ({"rating": 8, "max": "10"}, 0.6),
        ({"stars": 4}, 0.6),
        ({"rating": "4/5"}, 0.6),
        ({"rating": 80, "scale": "0-100"}, 0.6),
    ],
)
def test_rating_is_read_with_its_scale(properties: dict[str, Any], read: float) -> None:
    assert sentiment(REVIEW, **properties) == (read, [])


@pytest.mark.parametrize(
    ("properties", "noted"),
    [
        ({"rating": 8}, ["rating"]),
        ({"rating": "great"}, ["rating"]),
        ({"rating": -1}, ["rating"]),
        ({"rating": 4, "scale_max": "stars"}, ["scale_max"]),
        ({"rating": 4, "scale_max": 0}, ["scale_max"]),
    ],
)
def test_rating_without_a_readable_scale_is_missing(properties: dict[str, Any], noted: list[str]) -> None:
    """Rule: a scale that is stated and cannot be read is unknown; the default would be a guess."""
    assert sentiment(REVIEW, **properties) == (None, noted)


@pytest.mark.parametrize("kind", ["nps", "NPS", " Nps ", "Net Promoter Score", "net_promoter_score"])
@pytest.mark.parametrize("score", [9, "9", 9.0, "9/10", "9 out of 10"])
def test_survey_kind_and_score_in_any_spelling(kind: str, score: object) -> None:
    section, noted = applied(SURVEY, kind=kind, score=score)
    assert [entry[2] for entry in section.nps] == [900]
    assert (section.answered, noted) == ([0, 1, 0, 0], [])


@pytest.mark.parametrize("name", ["scale_max", "scale", "max", "max_score", "scaleMax"])
@pytest.mark.parametrize("scale", [10, "10", "1-10", "0 to 10"])
def test_survey_scale_under_any_name(name: str, scale: object) -> None:
    section, noted = applied(SURVEY, survey_type="CSAT", rating=8, **{name: scale})
    assert [entry[2] for entry in section.csat] == [800]
    assert noted == []


@pytest.mark.parametrize(("word", "per_mille", "top"), [("good", 1000, 1), ("Bad", 0, 0)])
def test_zendesk_satisfaction_is_a_word(word: str, per_mille: int, top: int) -> None:
    section, noted = applied(SURVEY, kind="csat", score=word)
    assert ([entry[2] for entry in section.csat], section.csat_top, noted) == ([per_mille], top, [])


@pytest.mark.parametrize(
    ("properties", "noted"),
    [
        ({"kind": "nps", "score": 11}, ["score"]),
        ({"kind": "csat", "score": 80}, ["score"]),
        ({"kind": "csat", "score": "80%"}, ["score"]),
        ({"kind": "nps", "score": "good"}, ["score"]),
        ({"kind": "ces", "score": 3, "scale": "seven"}, ["scale"]),
        ({"kind": "csat", "score": "x", "rating": 9}, ["score", "rating"]),
        ({"kind": ["nps"], "score": 9}, ["kind"]),
    ],
)
def test_survey_score_that_cannot_be_read_is_missing_and_noted(properties: dict[str, Any], noted: list[str]) -> None:
    section, found = applied(SURVEY, **properties)
    assert (section.csat, section.nps, section.ces, found) == ([], [], [], noted)


def test_names_of_surveys_are_kept_whole() -> None:
    """Rule: two long names are two surveys."""
    names = ["Quarterly relationship survey for enterprise accounts, part " + part for part in "AB"]
    profile = Profile()
    for name in names:
        apply(profile, event(SURVEY, kind="csat", score=4, survey=name, touchpoint="é" * 100))
    assert profile.feedback is not None
    assert [rated[0] for rated in profile.feedback.surveys] == [f"csat {name}" for name in names]
    assert [rated[:2] for rated in profile.feedback.touchpoints] == [("csat " + "é" * 100, 2)]
    section, noted = applied(SURVEY, kind="csat", score=4, survey="é" * 129)
    assert (section.surveys, noted) == ([], ["survey"])


@pytest.mark.parametrize(
    "tags",
    [
        ["too_expensive", "vip", "unused"],
        ["VIP", "Too Expensive", "Unused"],
        "too_expensive, vip, unused",
        "Too expensive;Unused",
        "unused too-expensive vip",
        [{"name": "too_expensive"}, {"name": "unused"}],
        {"type": "tag.list", "tags": [{"name": "unused"}, {"name": "too expensive"}]},
        [*(f"tag{i}" for i in range(40)), "unused", "too_expensive"],
    ],
)
@pytest.mark.parametrize("name", ["Ticket Created", SURVEY])
def test_tags_are_read_as_list_text_and_objects(name: str, tags: object) -> None:
    """Rule: barriers are found in any spelling, and behind any number of other tags."""
    section, noted = applied(name, tags=tags)
    assert sorted(tag for _, _, tag in section.tags) == [6, 7]
    assert noted == []


@pytest.mark.parametrize("tags", [7, True, {"a": 1}])
def test_tags_of_another_type_are_noted(tags: object) -> None:
    section, noted = applied("Ticket Created", tags=tags)
    assert (section.tags, noted) == ([], ["tags"])


def test_applying_an_event_again_notes_the_same() -> None:
    """Rule: a batch that is repeated applies the same event objects; what is noted does not change."""
    one = event(REVIEW, rating="?", score=9)
    for _ in range(2):
        apply(Profile(), one)
        assert one.unreadable == ["rating", "score"]
