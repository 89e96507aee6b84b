"""Alerts as a browser shows them: they come by themselves, and the worker answers what a person does with one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from streams.topics import ALERTS, EVENTS
from tests.browser.chromium import Chromium
from tests.browser.stage import Stage

SEEN_WITHIN_S = 2.0


def row(alert_id: str) -> str:
    return f"tr[data-alert='{alert_id}']"


def text_of(browser: Chromium, alert_id: str) -> str:
    """What a row says; empty where there is none."""
    return str(browser.ask("return document.querySelector(arguments[0])?.innerText || ''", row(alert_id)))


def test_an_alert_appears_within_two_seconds_of_its_record(
    browser: Chromium, stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    """Rule: the page is not loaded again; the middle one of five counts (--junitxml has them all)."""
    browser.open(f"{stage.address}?sort=newest")
    browser.ask("window.same = true")
    seconds = []
    for number in range(5):
        alert_id, record_s = stage.raise_alert(f"appears-{number}")
        browser.wait("the new row", lambda alert_id=alert_id: text_of(browser, alert_id))
        seconds.append(time.time() - record_s)
        assert f"appears-{number}" in text_of(browser, alert_id)
    record_property("seen_after_s", [round(second, 2) for second in seconds])
    assert browser.ask("return window.same")
    assert statistics.median(seconds) <= SEEN_WITHIN_S, seconds
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
    alert_id = browser.ask(
        "return [...document.querySelectorAll('tr[data-alert]')].find((row) =>"
        " row.querySelector('.state').innerText.startsWith('open') && !row.innerText.startsWith('appears-'))"
        "?.dataset.alert"
    )
    before = stage.records_about(alert_id, ALERTS)
    browser.find(f"{row(alert_id)} {button}").send_keys(Keys.ENTER)
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
    Select(browser.find("select[name=reason]")).select_by_value(chosen)
    browser.wait("the address with the choice", lambda: f"reason={chosen}" in browser.driver.current_url)
    assert Select(browser.find("select[name=reason]")).first_selected_option.get_attribute("value") == chosen
    assert browser.ask("return document.querySelectorAll('tr[data-alert]').length") > 0
