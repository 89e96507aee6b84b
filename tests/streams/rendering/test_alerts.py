"""Alerts as text: every shown field in words, and no control characters from events."""

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
from streams.admin import lag, lag_rules
from streams.cli import alerts
from streams.cli import lag as lag_command
from streams.cli.alerts import BANDS, ROUTES, STATES, AlertFilter
from streams.notify.template import SAMPLE
from streams.rendering import alerts as alert_rendering
from streams.rendering.alerts import LABEL_WIDTH, render_alert
from streams.rendering.terminal import print_indented
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
    "module", [alert_rendering, alerts, lag, lag_command, lag_rules], ids=lambda module: module.__name__
)
def test_docstring_examples_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_rendered_values_match_the_schema() -> None:
    """Rule: these tests render values that workers publish."""
    for value in values():
        jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    assert [value["type"] for value in values()] == ["opened", "acknowledged", "snoozed", "resolved"]


def test_opened_alert_shows_customer_risk_reasons_value_and_action() -> None:
    value = values()[0]
    assert shown(value).splitlines() == [
        "2024-03-05 00:00 UTC  opened elevated  c1  (active, account acme, plan pro, customer for 412 days)",
        "       72% churn risk within 30 days (90% interval 55-84%), previously 31%; riskier than 99.6% of customers",
        "why    silent for 11 days; usually 1.2",
        "       used on 2 of 28 days",
        "       1 payment failed",
        "       barriers: too expensive",
        "value  $49.00/month (subscription), $35.45 at risk within 30 days, lifetime value $812.50 ($301.20 at risk)",
        f"action win_back  (alert {value['alert_id']}, change 1)",
    ]


@pytest.mark.parametrize(("consent", "shows"), [(False, True), (True, False), (None, False)])
def test_withheld_consent_is_shown(consent: bool | None, shows: bool) -> None:
    value = values()[0]
    value["customer"]["consent"] = consent
    assert (", no consent)" in shown(value)) is shows
    del value["customer"]["consent"]  # an alert of an earlier release
    assert "no consent" not in shown(value)


def test_both_causes_have_their_probability_and_the_alert_its_route() -> None:
    """Rule: the route is shown only if the definition separates two causes."""
    [value, *_] = values(route="billing", risks=SAMPLE["risks"], payments=SAMPLE["payments"])
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    lines = shown(value).splitlines()
    assert lines[2].strip() == (
        "voluntary churn 24% within 30 days, involuntary churn (payment failure) 0.8% within 14 days"
    )
    assert lines[-1].startswith("action win_back (route: billing)")
    assert "route" not in shown(values()[0])


def test_missing_values_are_left_out() -> None:
    """Setup: no interval, no previous score, no value, no barriers, no account or plan."""
    [value, *_] = values(barriers=[], value=dict.fromkeys(("mrr", "clv", "clv_at_risk", "revenue_at_risk", "basis")))
    value["score"] |= {"ci90": None, "previous": None}
    value["customer"] |= {"account": None, "plan": None}
    text = shown(value)
    assert "(active, customer for 412 days)" in text
    assert "72% churn risk within 30 days; riskier than 99.6% of customers" in text
    for missing in ("value", "barriers", "None", "previously"):
        assert missing not in text


def test_other_changes_have_two_lines() -> None:
    _, acknowledged, snoozed, resolved = (shown(value).splitlines() for value in values())
    assert [len(lines) for lines in (acknowledged, snoozed, resolved)] == [2, 2, 2]
    assert "snoozed until 2024-03-14 00:00 UTC; 72% churn risk within 30 days" in snoozed[1]
    assert "the customer recovered; 5.0% churn risk within 30 days" in resolved[1]


def test_every_resolution_is_described_in_words() -> None:
    """Rule: no resolution of the schema is shown as its code."""
    codes = json.loads(SCHEMA.read_text())["properties"]["resolution"]["enum"]
    for code in filter(None, codes):
        [change] = shown({**values()[3], "resolution": code}).splitlines()[1:]
        description = change.partition(";")[0].strip()
        assert len(description.split()) >= 3
        assert description != code


def test_text_from_events_is_printed_literally() -> None:
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


def test_colours_are_only_for_terminals() -> None:
    value = values()[0]
    assert "\x1b[" in shown(value, terminal=True)
    assert "\x1b[" not in shown(value)


def test_invalid_alert_is_rejected_with_the_missing_field() -> None:
    value = values()[0]
    del value["score"]["probability"]
    with pytest.raises(msgspec.ValidationError, match="probability"):
        render_alert(value)


def test_options_match_the_alert_policy() -> None:
    """Rule: the options have the policy's names and order."""
    assert BANDS == ALL_BANDS
    assert ALL_STATES[2:] == STATES
    assert ALL_ROUTES == ROUTES


def test_filter_selects_by_band_state_and_route() -> None:
    resolved = values()[3]
    assert resolved["severity"] == "elevated"
    assert AlertFilter("elevated", ("resolved", "expired")).matches(resolved)
    assert not AlertFilter("high").matches(resolved)
    assert AlertFilter(route="success").matches(resolved)
    assert not AlertFilter(route="billing").matches(resolved)
    assert AlertFilter(route="billing").matches(values(route="billing")[0])
    assert not AlertFilter(None, ("open",)).matches(resolved)
    assert not AlertFilter("elevated").matches({"state": "open"})


def test_long_lines_continue_indented() -> None:
    """Rule: on a narrow terminal no line is wider than it, and the text stays complete."""
    page = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    print_indented(page, render_alert(values()[0]), LABEL_WIDTH)
    lines = page.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert lines[1] == "       customer for 412 days)"
    assert " ".join(" ".join(lines).split()) == " ".join(shown(values()[0]).split())
