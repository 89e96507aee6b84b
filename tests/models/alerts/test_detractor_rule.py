"""The detractor rule: a low survey response opens an alert at once, which stays while the response is in effect."""

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


def test_doctests_pass() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("choice", "kind", "score", "opens"),
    [
        ("csat", "csat", 2, True), ("csat", "csat", 3, False), ("csat", "nps", 0, False), ("nps", "nps", 6, True),
        ("nps", "nps", 7, False), ("any", "csat", 1, True), ("any", "nps", 0, True), ("any", "ces", 1, False),
        ("none", "nps", 0, False),
    ],
)  # fmt: skip
def test_low_response_opens_an_alert_at_once(choice: str, kind: str, score: int, opens: bool) -> None:
    """Rule: there is no dwell, whatever the probability; the response is the first reason."""
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


def test_alert_stays_while_the_response_is_in_effect_and_ends_with_a_better_one() -> None:
    """Rule: a low probability ends the alert only if the newest response is not a detractor's."""
    found = world()
    found.feed(page(0), survey("csat", 1, 1), page(30), page(60))
    assert [kind for kind, _, _ in published(found)] == ["opened"]
    found.feed(survey("csat", 5, 70))
    assert published(found)[1:] == [("resolved", "CSAT_DETRACTOR", published(found)[1][2])]
    assert json.loads(found.alerts[-1].value)["resolution"] == "recovered"


def test_alert_ends_when_the_response_is_older_than_expire() -> None:
    found = world(alerts=NEVER.replace('"30d"', '"3d"'))
    found.feed(page(0), survey("nps", 1, 1), *[page(10 * n) for n in range(1, 7)])
    assert [kind for kind, _, _ in published(found)] == ["opened"]
    found.feed(page(75))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved"]


def test_only_the_event_of_the_response_opens_an_alert() -> None:
    """Rule: after its end, an alert is not opened again by the same response, by a late response that is not the
    newest, or by a duplicate."""
    found = world()
    first = survey("nps", 1, 1)
    found.feed(page(0), first)
    found.feed(event("Alert Dismissed", START_MS + 2 * HOUR_MS))
    found.feed(first, page(24), page(80), page(100))
    found.feed(survey("nps", 10, 110), survey("nps", 0, 105))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved"]
    found.feed(survey("nps", 2, 120))
    assert [kind for kind, _, _ in published(found)] == ["opened", "resolved", "opened"]


def test_pending_dwell_ends_at_once() -> None:
    """Rule: an alert of a customer who is already at risk opens at the response, with the severity of the risk."""
    found = world(alerts='enter = 0.0\nexit = 0.0\nhigh = 0.0\ncritical = 1.0\ndwell = "6h"\n')
    found.feed(page(0), survey("csat", 1, 1))
    assert published(found) == [("opened", "CSAT_DETRACTOR", "CSAT_DETRACTOR")]
    assert json.loads(found.alerts[0].value)["severity"] == "high"


def test_customer_who_cannot_churn_gets_no_alert() -> None:
    found = world()
    found.feed(
        event("Subscription Started", START_MS),
        event("Subscription Cancelled", START_MS + HOUR_MS, reason="cancellation_requested"),
        survey("nps", 0, 2),
    )
    assert published(found) == []


@pytest.mark.law
def test_batch_boundaries_do_not_change_alerts() -> None:
    """Rule: alerts opened by responses are a function of the log, including late events."""
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
