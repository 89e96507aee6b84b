"""The table of properties in docs/events.md: every property that it names is read, and has an effect."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from models.events.event import Event
from models.profile.apply import apply
from models.profile.codec import encode
from models.profile.schema import Profile
from tests.models.histories import START_MS
from tests.paths import DOCS

TABLE = (DOCS / "events.md").read_text(encoding="utf-8").split("### Names and places")[1].split("\n## ")[0]
ROWS = dict(re.findall(r"^\| (?!value)([a-z, ]+) \| (.+?) \| .+ \|$", TABLE, re.MULTILINE))
NOT_NAMES: Final = frozenset(
    {"context.active", "groupId", "context.groupId", "context.traits", "good", "bad", "card", "properties"}
)
"""What the table has between backticks besides the names of properties; tests/models/events tests the context."""

# Row of the table -> event, a good value, and the properties beside it
SAMPLES: Final[dict[str, tuple[str, Any, dict[str, Any]]]] = {
    "feature": ("Feature Used", "export", {}),
    "session length": ("Session Ended", 60, {}),
    "goal value": ("Goal Completed", 3, {}),
    "end of trial": ("Trial Started", "2027-03-01", {}),
    "onboarding step": ("Onboarding Step Completed", "invite", {}),
    "onboarding steps": ("Onboarding Step Completed", 5, {}),
    "plan": ("identify", "pro", {}),
    "segment": ("identify", "business", {}),
    "account": ("identify", "acme", {}),
    "source": ("identify", "search", {}),
    "referred by a customer": ("identify", "true", {}),
    "messages wanted": ("identify", True, {}),
    "consent": ("Consent Updated", True, {}),
    "end of billing period": ("Subscription Renewed", "2027-03-01", {}),
    "renewal date": ("Renewal Due Set", "2027-03-01", {}),
    "card expiry": ("Payment Failed", "2027-03-01", {}),
    "survey kind": ("Survey Response Submitted", "nps", {}),
    "survey score": ("Survey Response Submitted", 2, {"kind": "csat"}),
    "scale": ("Survey Response Submitted", 10, {"kind": "csat", "score": 4}),
    "survey, touchpoint": ("Survey Response Submitted", "support", {"kind": "csat", "score": 4}),
    "sentiment": ("Social Mention", -0.5, {}),
    "rating": ("Review Posted", 2, {}),
    "barriers": ("Subscription Cancelled", "unused", {}),
    "automated": ("page", True, {}),
}
MONTHS: Final = {"exp_month": "exp_year", "expiry_month": "expiry_year", "card_exp_month": "card_exp_year"} | {
    "expiration_month": "expiration_year"
}
BESIDE: Final = {
    **{month: {year: 2027} for month, year in MONTHS.items()},
    **{year: {month: 2} for month, year in MONTHS.items()},
}
EVENT_OF: Final = {"tags": "Ticket Created", "best_rating": "Review Posted", "bestRating": "Review Posted"}
VALUE_OF: Final = {"company": {"id": "acme"}, **dict.fromkeys(MONTHS, 2), **dict.fromkeys(MONTHS.values(), 2027)}


def documented() -> list[tuple[str, str]]:
    """Each row with each property that it names."""
    found = []
    for row, cell in ROWS.items():
        names = re.sub(r"\(its .*?\)|of an object, its .*|: .*? in any case|: -1 to 1.*", "", cell)
        found += [(row, name) for name in re.findall(r"`(\w[\w.]*)`", names) if name not in NOT_NAMES]
    return found


def after(name: str, properties: dict[str, Any]) -> bytes:
    profile = Profile()
    apply(profile, Event("c", name, START_MS, 1, properties, False, False))
    return encode(profile)


def test_every_row_has_a_sample() -> None:
    assert set(SAMPLES) == set(ROWS)
    assert len(documented()) > 100


@pytest.mark.parametrize(("row", "name"), [pair for pair in documented() if pair[0] != "automated"])
def test_a_documented_property_is_read(row: str, name: str) -> None:
    """Rule: no property that is documented is ignored: with it the profile differs from that without."""
    event, value, beside = SAMPLES[row]
    event, value = EVENT_OF.get(name, event), VALUE_OF.get(name, value)
    beside = BESIDE.get(name, beside) if event != "Review Posted" or row == "rating" else {"rating": 4}
    assert after(event, {**beside, name: value}) != after(event, beside)


@pytest.mark.parametrize(("row", "name"), [pair for pair in documented() if pair[0] != "automated"])
def test_a_documented_property_that_cannot_be_read_is_noted(row: str, name: str) -> None:
    """Rule: a value of another type is missing, and counted by the name under which it was sent."""
    event, _, beside = SAMPLES[row]
    event = EVENT_OF.get(name, event)
    beside = BESIDE.get(name, beside) if event != "Review Posted" or row == "rating" else {"rating": 4}
    sent = Event("c", event, START_MS, 1, {**beside, name: {"unexpected": 1}}, False, False)
    apply(Profile(), sent)
    month = next((month for month, year in MONTHS.items() if name == year), name)
    assert month in (sent.unreadable or ())
