"""Alerts as people read them: what the value says, in words, and nothing that a terminal would obey."""

from __future__ import annotations

import doctest
import io
import json
from typing import Any

import jsonschema
import msgspec
import pytest
from rich.console import Console

from models.alerts.alert_state import STATES as ALL_STATES
from models.alerts.settings import BANDS as ALL_BANDS
from models.definition.competing_risks import ROUTES as ALL_ROUTES
from streams.admin import lag
from streams.admin import lag_rules as lag_verdict
from streams.cli import alerts, ask
from streams.cli import lag as lag_command
from streams.cli.alerts import BANDS, ROUTES, STATES, AlertFilter
from streams.notify.template import SAMPLE
from streams.rendering import alerts as alert_text
from streams.rendering.alerts import render_alert
from tests.paths import ROOT
from tests.streams.alert_values import life

SCHEMA = ROOT / "docs/schemas/alert.schema.json"


def shown(value: dict[str, Any], *, terminal: bool = False) -> str:
    page = Console(file=io.StringIO(), width=150, force_terminal=terminal, markup=False, highlight=False)
    page.print(render_alert(value))
    return page.file.getvalue()  # type: ignore[attr-defined]


def values(customer: str = "c1", **changes: Any) -> list[dict[str, Any]]:
    return [json.loads(value) for _, value in life(customer, **changes)]


@pytest.mark.parametrize(
    "module", [alert_text, alerts, ask, lag, lag_command, lag_verdict], ids=lambda module: module.__name__
)
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_the_values_rendered_here_are_valid_by_the_schema() -> None:
    """Rule: what these tests show is what workers publish."""
    for value in values():
        jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    assert [value["type"] for value in values()] == ["opened", "acknowledged", "snoozed", "resolved"]


def test_an_opened_alert_says_who_how_likely_why_what_it_is_worth_and_what_to_do() -> None:
    value = values()[0]
    assert shown(value).splitlines() == [
        "2024-03-05 00:00  opened elevated  c1  (active, account acme, plan pro, known for 412 days)",
        "       72 % likely to leave within 30 days (90 %: 55 to 84 %), before that 31 %;"
        " higher than 99.6 % of customers",
        "why    silent for 11 days; usually 1.2",
        "       used on 2 of 28 days",
        "       1 payment failed",
        "       named as barriers: too_expensive",
        "worth  49.00 a month (subscription), 35.45 at risk within 30 days, lifetime 812.50 (301.20 at risk)",
        f"do     win_back  (alert {value['alert_id']}, 1)",
    ]


def test_of_two_causes_each_has_its_probability_and_the_alert_its_route() -> None:
    """Rule: who reads the alert sees who takes it up; without a second cause nobody asks."""
    [value, *_] = values(route="billing", risks=SAMPLE["risks"], payments=SAMPLE["payments"])
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    lines = shown(value).splitlines()
    assert lines[2].strip() == "by what they do 24 % within 30 days, by a payment that fails 0.8 % within 14 days"
    assert lines[-1].startswith("do     win_back, for billing")
    assert "for success" not in shown(values()[0])


def test_what_is_not_known_is_left_out() -> None:
    """Setup: no interval, no score before, no worth, no barriers, no account or plan."""
    [value, *_] = values(barriers=[], value=dict.fromkeys(("mrr", "clv", "clv_at_risk", "revenue_at_risk", "basis")))
    value["score"] |= {"ci90": None, "previous": None}
    value["customer"] |= {"account": None, "plan": None}
    text = shown(value)
    assert "(active, known for 412 days)" in text
    assert "72 % likely to leave within 30 days; higher than 99.6 % of customers" in text
    for missing in ("worth", "barriers", "None", "before"):
        assert missing not in text


def test_other_changes_are_two_lines() -> None:
    _, acknowledged, snoozed, resolved = (shown(value).splitlines() for value in values())
    assert [len(lines) for lines in (acknowledged, snoozed, resolved)] == [2, 2, 2]
    assert "nothing more until 2024-03-14 00:00; 72 % likely to leave" in snoozed[1]
    assert "the customer recovered; 5.0 % likely to leave" in resolved[1]


def test_every_way_to_end_is_told_in_words() -> None:
    """Rule: a resolution of the schema is never shown as its code."""
    codes = json.loads(SCHEMA.read_text())["properties"]["resolution"]["enum"]
    for code in filter(None, codes):
        [change] = shown({**values()[3], "resolution": code}).splitlines()[1:]
        said = change.partition(";")[0].strip()
        assert len(said.split()) >= 3
        assert said != code


def test_text_of_events_is_neither_markup_nor_a_command_to_the_terminal() -> None:
    evil = "[red]\x1b[2J\x07\u202ename"
    [value, *_] = values(evil)
    value["customer"] |= {"account": evil, "segment": evil, "plan": evil, "stage": evil}
    value["reasons"][0]["sentence"] = evil
    value["action"]["playbook"] = evil
    value["barriers"] = [evil]
    text = shown(value)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert text.count("[red].[2J..name") == 8


def test_colours_are_for_terminals() -> None:
    value = values()[0]
    assert "\x1b[" in shown(value, terminal=True)
    assert "\x1b[" not in shown(value)


def test_what_is_no_alert_is_refused_with_what_is_missing() -> None:
    value = values()[0]
    del value["score"]["probability"]
    with pytest.raises(msgspec.ValidationError, match="probability"):
        render_alert(value)


def test_choices_name_what_alerts_can_be() -> None:
    """Rule: the options are those of the policy, by name and in its order."""
    assert BANDS == ALL_BANDS
    assert ALL_STATES[2:] == STATES
    assert ALL_ROUTES == ROUTES


def test_a_choice_is_by_band_reached_by_state_and_by_route() -> None:
    resolved = values()[3]
    assert resolved["severity"] == "elevated"
    assert AlertFilter("elevated", ("resolved", "expired")).takes(resolved)
    assert not AlertFilter("high").takes(resolved)
    assert AlertFilter(route="success").takes(resolved)
    assert not AlertFilter(route="billing").takes(resolved)
    assert AlertFilter(route="billing").takes(values(route="billing")[0])
    assert not AlertFilter(None, ("open",)).takes(resolved)
    assert not AlertFilter("elevated").takes({"state": "open"})
