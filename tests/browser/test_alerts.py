"""Alerts as a browser shows them: they come by themselves, and the worker answers what a person does with one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest

from streams.topics import ALERTS, EVENTS
from tests.browser.chromium import Chromium
from tests.browser.stage import Stage

SEEN_WITHIN_S, SERIES = 2.0, 3


def row(alert_id: str) -> str:
    return f"tr[data-alert='{alert_id}']"


def text_of(browser: Chromium, alert_id: str) -> str:
    """What a row says; empty where there is none."""
    return str(browser.ask("return document.querySelector(arguments[0])?.innerText || ''", row(alert_id)))


def test_an_alert_appears_within_two_seconds_of_its_record(
    browser: Chromium, stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    """Rule: the page is not loaded again; the middle one of five counts (--junitxml has them all). A machine may be
    busy for a while: one of three series is enough."""
    browser.open(f"{stage.address}?sort=newest")
    browser.ask("window.same = true")
    told: list[list[float]] = []
    while not told or (len(told) < SERIES and statistics.median(told[-1]) > SEEN_WITHIN_S):
        seconds = []
        for number in range(5):
            customer = f"appears-{len(told)}-{number}"
            alert_id, record_s = stage.raise_alert(customer)
            browser.wait("the new row", partial(text_of, browser, alert_id))
            seconds.append(time.time() - record_s)
            assert customer in text_of(browser, alert_id)
        told.append(seconds)
    record_property("seen_after_s", [[round(second, 2) for second in seconds] for seconds in told])
    assert browser.ask("return window.same")
    assert statistics.median(told[-1]) <= SEEN_WITHIN_S, told
    assert browser.messages() == []


@pytest.mark.parametrize(
    ("button", "event", "change", "says"),
    [
        ("button[value='acknowledge']", "Alert Acknowledged", ("acknowledged", "acknowledged", None), "acknowledged"),
        ("button[aria-label^='Snooze']", "Alert Snoozed", ("snoozed", "snoozed", None), "snoozed"),
        ("button[value='dismiss']", "Alert Dismissed", ("resolved", "resolved", "dismissed"), ""),
    ],
    ids=["acknowledge", "snooze", "dismiss"],
)
def test_what_a_person_does_comes_back_from_the_worker(
    browser: Chromium, stage: Stage, button: str, event: str, change: tuple[str, str, str | None], says: str
) -> None:
    """Rule: key, event, the worker's own record, row: nothing shows as done before the worker has said so."""
    browser.open(stage.address)
    browser.ask("window.same = true")
    # a worker's own alert that can still be answered so: how many are open depends on which model scored when
    alert_id = browser.ask(
        "return [...document.querySelectorAll('tr[data-alert]')].find((row) =>"
        " row.querySelector(arguments[0]) && !row.innerText.startsWith('appears-')).dataset.alert",
        button,
    )
    before = stage.records_about(alert_id, ALERTS)
    browser.enter(f"{row(alert_id)} {button}")
    state = "return document.querySelector(arguments[0])?.querySelector('.state').innerText.split('\\n')[0] || ''"
    browser.wait(f"a row that says {says!r}", lambda: browser.ask(state, row(alert_id)) == says)
    published = [one for one in stage.records_about(alert_id, EVENTS) if one["event"] == event]
    [answer] = stage.records_about(alert_id, ALERTS)[len(before) :]
    assert [one["properties"]["alert_id"] for one in published] == [alert_id]
    assert published[0]["userId"] == answer["customer"]["id"]
    assert (answer["type"], answer["state"], answer["resolution"]) == change
    assert answer["seq"] == before[-1]["seq"] + 1
    assert browser.ask("return window.same")
    assert browser.messages() == []
    browser.open(f"{stage.address}customer?id={published[0]['userId']}")
    assert browser.find(".story li b").text == change[0]


def test_filters_ask_again_by_themselves_and_stay(browser: Chromium, stage: Stage) -> None:
    """Rule: choosing is enough, the address holds the choice, and every row is of that kind."""
    browser.open(stage.address)
    chosen = browser.ask("return document.querySelector('select[name=reason] option:nth-child(2)').value")
    browser.choose("select[name=reason]", chosen)
    browser.wait("the address with the choice", lambda: f"reason={chosen}" in browser.driver.current_url)
    browser.wait("rows", lambda: browser.ask("return document.querySelectorAll('tr[data-alert]').length"))
    assert browser.ask("return document.querySelector('select[name=reason]').value") == chosen
