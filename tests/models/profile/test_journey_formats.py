"""Dates, durations, counts and names of features in the formats of real systems."""

from __future__ import annotations

from typing import Any

import pytest

from models.events.coercion import time_ms
from models.profile.apply import apply
from models.profile.schema import Profile
from tests.models.histories import event

TIMES = ("2027-03-01", "2027-03-01T00:00:00Z", "2027-03-01 00:00:00", 1_803_859_200, 1_803_859_200_000, "1803859200")
MARCH = time_ms("2027-03-01")


def applied(name: str, /, **properties: Any) -> tuple[Profile, list[str]]:
    one, profile = event(name, **properties), Profile()
    apply(profile, one)
    return profile, one.unreadable or []


DATES = [
    ("Trial Started", "trial_end", "subscription", "trial_end"),
    ("Trial Started", "trial_end_date", "subscription", "trial_end"),
    ("Trial Started", "trialEndsAt", "subscription", "trial_end"),
    ("Renewal Due Set", "due", "subscription", "renewal_due"),
    ("Renewal Due Set", "renewal_date", "subscription", "renewal_due"),
    ("Payment Method Updated", "card_expires", "payments", "card_expires"),
    ("identify", "cardExpiry", "payments", "card_expires"),
]


@pytest.mark.parametrize(("name", "prop", "section", "field"), DATES)
@pytest.mark.parametrize("text", TIMES)
def test_dates_are_read_in_any_form(name: str, prop: str, section: str, field: str, text: object) -> None:
    """Rule: a date, a time, and epoch seconds or milliseconds as numbers or texts are one time."""
    profile, noted = applied(name, **{prop: text})
    assert getattr(getattr(profile, section), field)[2] == MARCH
    assert noted == []


@pytest.mark.parametrize(("name", "prop", "section", "field"), DATES)
@pytest.mark.parametrize("bad", ["soon", "9999-12-31", True, 12, [], "2027-02-30"])
def test_other_dates_are_missing_and_noted(name: str, prop: str, section: str, field: str, bad: object) -> None:
    profile, noted = applied(name, **{prop: bad})
    found = getattr(profile, section)
    assert found is None or getattr(found, field) is None
    assert noted == [prop]


@pytest.mark.parametrize(
    "properties",
    [
        {"card_expires": "02/27"},
        {"card_expires": "02/2027"},
        {"card_expires": "2/2027"},
        {"card_expires": "2027-02"},
        {"exp_month": 2, "exp_year": 2027},
        {"expiry_month": "02", "expiry_year": "27"},
        {"card": {"exp_month": 2, "exp_year": 2027}},
    ],
)
def test_a_card_is_valid_to_the_end_of_its_month(properties: dict[str, Any]) -> None:
    profile, noted = applied("Payment Failed", **properties)
    assert profile.payments is not None
    assert profile.payments.card_expires is not None
    assert (profile.payments.card_expires[2], noted) == (MARCH, [])


@pytest.mark.parametrize("properties", [{"exp_month": 13, "exp_year": 2027}, {"exp_month": "Feb", "exp_year": 2027}])
def test_a_month_that_does_not_exist_is_noted(properties: dict[str, Any]) -> None:
    assert applied("Payment Failed", **properties)[1] == ["exp_month"]


@pytest.mark.parametrize(
    ("properties", "seconds"),
    [
        ({"duration": 640}, 640),
        ({"duration": "640"}, 640),
        ({"duration": "640s"}, 640),
        ({"duration": "10:40"}, 640),
        ({"duration": "PT10M40S"}, 640),
        ({"duration_ms": 640_000}, 640),
        ({"duration_ms": "640 s"}, 640),
        ({"duration_minutes": 10.5}, 630),
        ({"engagement_time_msec": "640000"}, 640),
        ({"duration": 0}, 0),
        ({"duration": "", "duration_seconds": 640}, 640),
    ],
)
def test_durations_are_read_with_their_unit(properties: dict[str, Any], seconds: int) -> None:
    """Rule: a duration of 0 is one; a text can state its unit; a name can too."""
    profile, noted = applied("Session Ended", **properties)
    assert profile.journey is not None
    assert (profile.journey.session_s_sum, profile.journey.sessions_timed, noted) == (seconds, 1, [])


@pytest.mark.parametrize("bad", [-1, 86_401, 640_000, "long", True, [], {"minutes": 3}])
def test_other_durations_are_missing_and_noted(bad: object) -> None:
    """Rule: a session of more than a day is a unit error, and is neither kept nor cut to a day."""
    profile, noted = applied("Session Ended", duration=bad)
    assert (profile.journey, noted) == (None, ["duration"])


@pytest.mark.parametrize("value", [0, 3, "3.5"])
def test_goal_values_are_numbers(value: object) -> None:
    profile, noted = applied("Goal Completed", value=value)
    assert profile.journey is not None
    assert (len(profile.journey.goal_values), noted) == (1, [])


@pytest.mark.parametrize("bad", [-1, 2e9, "many", [3]])
def test_other_goal_values_are_missing_and_noted(bad: object) -> None:
    profile, noted = applied("Goal Completed", score=bad)
    assert profile.journey is not None
    assert (profile.journey.goal_values, noted) == ([], ["score"])


@pytest.mark.parametrize("total", [5, "5", 5.0])
@pytest.mark.parametrize("name", ["steps_total", "total_steps", "total"])
def test_onboarding_steps_are_named_and_counted(name: str, total: object) -> None:
    profile, noted = applied("Onboarding Step Completed", step=2, **{name: total})
    assert profile.journey is not None
    assert (profile.journey.steps_total, len(profile.journey.steps), noted) == (5, 1, [])


@pytest.mark.parametrize("bad", [0, 0.5, 1001, "all", -3])
def test_other_step_counts_are_missing_and_noted(bad: object) -> None:
    profile, noted = applied("Onboarding Step Completed", steps_total=bad)
    assert profile.journey is not None
    assert (profile.journey.steps_total, noted) == (0, ["steps_total"])


@pytest.mark.parametrize("name", ["Feature Used", "page", "screen"])
def test_names_of_features_are_compared_whole(name: str) -> None:
    """Rule: two names that differ after 128 characters are two features; longer ones than 256 bytes are refused."""
    profile = Profile()
    for suffix in "ab":
        apply(profile, event(name, feature="x" * 200 + suffix))
    assert len(profile.used) == 2
    profile, noted = applied(name, feature="x" * 257)
    assert (profile.used, noted) == ({}, ["feature"])
    profile, noted = applied(name, feature=[], name="export")
    assert (profile.used, noted) == (applied(name, feature="export")[0].used, ["feature"])


@pytest.mark.parametrize(("granted", "stored"), [(True, 1), ("true", 1), (0, 0), ("No", 0)])
def test_consent_is_read_in_any_spelling(granted: object, stored: int) -> None:
    profile, noted = applied("Consent Updated", granted=granted)
    assert profile.identity is not None
    assert profile.identity.consent is not None
    assert (profile.identity.consent[2], noted) == (stored, [])
