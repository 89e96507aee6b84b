"""The detractor rule: a low survey response opens an alert at once, and it stays while the response stands."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from models.alerts import detractor_rule as module
from models.definition.churn_definition import ChurnDefinition
from models.definition.toml_table import DefinitionError
from models.events.event import Event
from tests.models.histories import CHURN, START_MS, World, event, shaken, simulated

HOUR_MS = 3_600_000
NEVER = 'enter = 1.0\nexit = 1.0\nhigh = 1.0\ncritical = 1.0\ndwell = "6h"\ncooldown = "2d"\nexpire = "30d"\n'


def world(choice: str = "any", alerts: str = NEVER) -> World:
    """No probability reaches `enter`, or falls from there to `exit`."""
    return World(ChurnDefinition.parse(f'{CHURN}\n[alerts]\n{alerts}detractor = "{choice}"\n'))


def survey(kind: str, score: float, hour: float, **more: Any) -> Event:
    return event("Survey Response Submitted", START_MS + round(hour * HOUR_MS), kind=kind, score=score, **more)


def page(hour: float) -> Event:
    return event("page", START_MS + round(hour * HOUR_MS))


def published(found: World) -> list[tuple[str, str | None, str]]:
    values = [json.loads(one.value) for one in found.alerts]
    return [(value["type"], value["rule"], value["reasons"][0]["code"]) for value in values]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("choice", "kind", "score", "opens"),
    [
        ("csat", "csat", 2, True), ("csat", "csat", 3, False), ("csat", "nps", 0, False), ("nps", "nps", 6, True),
        ("nps", "nps", 7, False), ("any", "csat", 1, True), ("any", "nps", 0, True), ("any", "ces", 1, False),
        ("none", "nps", 0, False),
    ],
)  # fmt: skip
def test_a_low_answer_opens_an_alert_at_once(choice: str, kind: str, score: int, opens: bool) -> None:
    """Rule: no dwell, whatever the probability; the answer is the first reason."""
    found = world(choice)
    found.feed(page(0), survey(kind, score, 1))
    code = f"{kind.upper()}_DETRACTOR"
    assert published(found) == ([("opened", code, code)] if opens else [])
    if opens:
        value = json.loads(found.alerts[0].value)
        assert (value["severity"], value["score"]["band"]) == ("elevated", "low")
        assert value["time"] == value["opened_at"] == value["timing"]["event_time"]
        assert value["action"]["playbook"] == "listen"
        listed = [r["contribution"] for r in value["reasons"] + value["protective"]]
        assert sum(listed) + value["score"]["rest"] + value["score"]["bias"] == pytest.approx(
            value["score"]["log_odds"]
        )


def test_it_stays_while_the_answer_stands_and_ends_with_a_better_one() -> None:
    """Rule: a low probability ends it only when the newest answer is no detractor's any more."""
    found = world()
    found.feed(page(0), survey("csat", 1, 1), page(30), page(60))
    assert [kind for kind, _, _ in published(found)] == ["opened"]
    found.feed(survey("csat", 5, 70))
    assert published(found)[1:] == [("resolved", "CSAT_DETRACTOR", published(found)[1][2])]
    assert json.loads(found.alerts[-1].value)["resolution"] == "recovered"


def test_it_ends_when_the_answer_is_older_than_expire() -> None:
    found = world(alerts=NEVER.replace('"30d"', '"3d"'))
    found.feed(page(0), survey("nps", 1, 1), *[page(10 * n) for n in range(1, 7)])
    assert [kind for kind, _, _ in published(found)] == ["opened"]
    found.feed(page(75))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved"]


def test_only_the_answer_itself_opens() -> None:
    """Rule: after the end nothing opens by an answer that was known before; nor does one that is late and not the
    newest any more, nor a duplicate."""
    found = world()
    first = survey("nps", 1, 1)
    found.feed(page(0), first)
    found.feed(event("Alert Dismissed", START_MS + 2 * HOUR_MS))
    found.feed(first, page(24), page(80), page(100))
    found.feed(survey("nps", 10, 110), survey("nps", 0, 105))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved"]
    found.feed(survey("nps", 2, 120))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved", "opened"]


def test_a_dwell_that_runs_is_over_at_once() -> None:
    """Rule: an alert of a customer who is already at risk opens at the response, with the severity of the risk."""
    found = world(alerts='enter = 0.0\nexit = 0.0\nhigh = 0.0\ncritical = 1.0\ndwell = "6h"\n')
    found.feed(page(0), survey("csat", 1, 1))
    assert published(found) == [("opened", "CSAT_DETRACTOR", "CSAT_DETRACTOR")]
    assert json.loads(found.alerts[0].value)["severity"] == "high"


def test_who_cannot_churn_is_not_alerted() -> None:
    found = world()
    found.feed(
        event("Subscription Started", START_MS),
        event("Subscription Cancelled", START_MS + HOUR_MS, reason="cancellation_requested"),
        survey("nps", 0, 2),
    )
    assert published(found) == []


@pytest.mark.law
def test_batches_change_nothing() -> None:
    """Rule: alerts by answers are a function of the log, late events included."""
    events = shaken(simulated(customers=40, days=50, mix={"support": 1.0}), 6 * HOUR_MS)
    whole, pieces = world(), world()
    whole.feed(*events)
    for start in range(0, len(events), 137):
        pieces.feed(*events[start : start + 137])
        if start % 5 == 0:
            pieces.restart()
    assert [a.value for a in whole.alerts] == [a.value for a in pieces.alerts]
    opened = [value for value in map(json.loads, (a.value for a in whole.alerts)) if value["type"] == "opened"]
    assert len(opened) > 10
    assert {value["rule"] for value in opened} == {"CSAT_DETRACTOR", "NPS_DETRACTOR"}


def test_the_choice_is_one_of_four() -> None:
    with pytest.raises(DefinitionError, match="it must be one of none, csat, nps, any"):
        world("all")
