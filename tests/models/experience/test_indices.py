"""Experience indices: CSAT, NPS, CES, response rate, answers by touchpoint, and the CX index with its parts."""

from __future__ import annotations

import doctest
import math
from itertools import permutations
from typing import Any

import msgspec
import pytest

from models.events.event import Event
from models.experience import indices as module
from models.experience.indices import WEIGHTS, experience_indices
from models.explanations.sentences import natural
from models.features.catalogue import features
from models.profile.codec import canonical, copy, encode
from models.profile.merge import merge
from models.profile.mergeable import DAY_MS, rate
from models.profile.schema import Profile
from models.profile.view import ProfileView
from tests.models.histories import START_MS, event, profile_of

HOUR_MS = 3_600_000


def survey(kind: str, score: float, day: int = 0, **more: Any) -> Event:
    return event("Survey Response Submitted", START_MS + day * DAY_MS, kind=kind, score=score, **more)


def of(*events: Event) -> Any:
    profile = profile_of(events)
    at = profile.newest_ms + HOUR_MS
    values = natural(features([copy(profile)], [at]))[0].tolist()
    return experience_indices(ProfileView.of(profile), values, at)


def test_docstring_examples_pass() -> None:
    """Rule: the code gives the values in the docstrings."""
    assert doctest.testmod(module).failed == 0


def test_customer_without_feedback_has_no_indices() -> None:
    """Rule: missing answers do not count as good ones."""
    assert of(event("page")) is None


def test_csat_equals_the_computation_by_hand() -> None:
    """Rule: mean, mean shrunk by two answers of 0.7, share of the two best boxes, last answer minus earlier mean."""
    found = of(survey("csat", 5), survey("csat", 4, 1), survey("csat", 2, 2))
    csat = found.csat
    assert (csat.answers, csat.last) == (3, 0.4)
    assert csat.mean == pytest.approx(2.2 / 3, abs=1e-4)
    assert csat.shrunk == pytest.approx((2.2 + 1.4) / 5)
    assert csat.top2 == pytest.approx(2 / 3, abs=1e-4)
    assert csat.trend == pytest.approx(0.4 - 0.9)


@pytest.mark.parametrize(
    ("score", "scale", "top"),
    [(4, 5, 1), (3, 5, 0), (6, 7, 1), (5, 7, 0), (9, 10, 1), (8, 10, 0), (80, 100, 1), (79, 100, 0), (1, 1, 1)],
)
def test_top_two_boxes_of_a_scale(score: int, scale: int, top: int) -> None:
    """Rule: the top two boxes are 4-5 of 5, 6-7 of 7 and 9-10 of 10; for other scales the best fifth."""
    found = of(survey("csat", score, scale_max=scale))
    assert found.csat.top2 == top


def test_newest_answer_sets_the_nps_group() -> None:
    """Rule: 9 and 10 are promoters, 7 and 8 passives, the rest detractors."""
    for score, group in ((0, "detractor"), (6, "detractor"), (7, "passive"), (8, "passive"), (9, "promoter")):
        found = of(survey("nps", 10 - score), survey("nps", score, 1))
        assert found.nps == module.Nps(score / 10, group)


def test_response_rate_counts_only_responses_to_sent_surveys() -> None:
    """Rule: responses of a kind count up to the number of surveys sent of that kind."""
    sent = [event("Survey Sent", START_MS + day, kind="nps") for day in range(4)]
    found = of(*sent, survey("nps", 9), *[survey("csat", 4, day) for day in range(9)])
    assert (found.surveys_sent, found.answer_rate) == (4, 0.25)
    unsolicited = of(survey("csat", 4))
    assert unsolicited.answer_rate is None


def test_answers_are_kept_by_touchpoint_and_survey() -> None:
    """Rule: each touchpoint and each survey has its own count, mean and last answer per kind."""
    found = of(
        survey("csat", 5, 0, touchpoint="checkout", survey="q3"),
        survey("csat", 1, 1, touchpoint="checkout", survey_id=17),
        survey("ces", 7, 2, touchpoint="checkout"),
    )
    assert found.touchpoints == [
        module.AnswersAt("checkout", "ces", 1, 1.0, 1.0),
        module.AnswersAt("checkout", "csat", 2, 0.6, 0.2),
    ]
    assert [(row.name, row.answers) for row in found.surveys] == [("17", 1), ("q3", 1)]


def test_touchpoints_are_bounded_independently_of_order() -> None:
    """Rule: the first eight by name are kept, each with all of its answers."""
    events = [survey("csat", day % 6, day, touchpoint=f"p{(day * 7) % 11:02d}") for day in range(33)]
    there, back = profile_of(events), profile_of(reversed(events))
    assert there.feedback is not None
    assert encode(canonical(there)) == encode(canonical(back))
    assert [row[:2] for row in there.feedback.touchpoints] == [(f"csat p{n:02d}", 3) for n in range(8)]
    merged = merge(profile_of(events[:17]), profile_of(events[17:]))
    assert merged.feedback == there.feedback


def test_kept_sums_are_complete() -> None:
    """Rule: a dropped name never returns with a part of its sum."""
    entries = [("c", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)]
    ends = set()
    for order in permutations(enumerate(entries)):
        rated: list[Any] = []
        for number, (name, score) in order:
            rate(rated, name, number, score, 2)
        ends.add(tuple(rated))
    assert ends == {(("a", 2, 7, 4, 5), ("b", 1, 3, 2, 3))}


def test_cx_index_is_the_weighted_mean_of_its_known_parts() -> None:
    """Rule: an unknown part is null and does not count in the index."""
    found = of(
        survey("csat", 5),
        survey("ces", 7),
        event("Ticket Created", START_MS, tags=["too_complex"]),
        event("Ticket Solved", START_MS + DAY_MS, resolution_seconds=24 * 3600),
        event("Ticket Reopened", START_MS + DAY_MS, tags=["too_complex"]),
        event("Error Shown", START_MS + DAY_MS),
    )
    cx = found.cx
    parts = {"satisfaction": 80.0, "effort": 80.0, "waiting": 50.0, "reopened": 50.0, "errors": 100 * 2**-0.2}
    assert {name: getattr(cx, name) for name in WEIGHTS} == pytest.approx(parts, abs=0.05)
    assert cx.index == pytest.approx(sum(WEIGHTS[n] * p for n, p in parts.items()) / 10, abs=0.05)
    assert cx.known == 1.0
    assert [(b.tag, b.times) for b in found.barriers] == [("too_complex", 2)]
    only = of(survey("csat", 5, 9))
    assert (only.cx.effort, only.cx.waiting, only.cx.reopened) == (None, None, None)
    assert only.cx.known == 0.5  # satisfaction, and the answer is an event without an error
    assert math.isclose(only.cx.index, (4 * 80 + 100) / 5)


def test_counts_alone_give_no_cx_index() -> None:
    """Rule: without satisfaction, effort and waiting there is no index; an open ticket alone gives none of them."""
    found = of(event("Ticket Created"), event("Error Shown"))
    assert found.cx is None


def test_feedback_of_an_earlier_release_is_read() -> None:
    """Rule: fields that the earlier release did not store are unknown, its own fields are kept."""
    profile = profile_of([survey("csat", 5)])
    old = msgspec.msgpack.decode(encode(profile)[18:])
    old[14] = old[14][:11]  # the feedback, as it was
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Profile)
    values = natural(features([read], [START_MS + HOUR_MS]))[0].tolist()
    found = experience_indices(ProfileView.of(read), values, START_MS + HOUR_MS)
    assert found is not None
    assert found.csat is not None
    assert (found.csat.answers, found.csat.top2, found.touchpoints, found.answer_rate) == (1, None, [], None)
