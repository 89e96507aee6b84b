"""Alerts in the browser: new ones appear without a reload, and a worker applies a person's actions."""

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
    """The text of a row; empty if there is none."""
    return str(browser.ask("return document.querySelector(arguments[0])?.innerText || ''", row(alert_id)))


def test_alert_appears_within_two_seconds_of_its_record(
    browser: Chromium, stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    """Rule: without a reload, the median of five is at most two seconds (--junitxml lists all). The machine may be
    busy, so one of three series is enough."""
    browser.open(f"{stage.address}?sort=newest")
    browser.ask("window.notReloaded = true")
    series: list[list[float]] = []
    while not series or (len(series) < SERIES and statistics.median(series[-1]) > SEEN_WITHIN_S):
        seconds = []
        for number in range(5):
            customer = f"appears-{len(series)}-{number}"
            alert_id, record_s = stage.raise_alert(customer)
            browser.wait("the new row", partial(text_of, browser, alert_id))
            seconds.append(time.time() - record_s)
            assert customer in text_of(browser, alert_id)
        series.append(seconds)
    record_property("seen_after_s", [[round(second, 2) for second in seconds] for seconds in series])
    assert browser.ask("return window.notReloaded")
    assert statistics.median(series[-1]) <= SEEN_WITHIN_S, series
    assert browser.messages() == []


@pytest.mark.parametrize(
    ("button", "event", "change", "state"),
    [
        ("button[value='acknowledge']", "Alert Acknowledged", ("acknowledged", "acknowledged", None), "Acknowledged"),
        ("button[aria-label^='Snooze']", "Alert Snoozed", ("snoozed", "snoozed", None), "Snoozed"),
        ("button[value='dismiss']", "Alert Dismissed", ("resolved", "resolved", "dismissed"), ""),
    ],
    ids=["acknowledge", "snooze", "dismiss"],
)
def test_action_changes_the_alert_when_the_worker_has_applied_it(
    browser: Chromium, stage: Stage, button: str, event: str, change: tuple[str, str, str | None], state: str
) -> None:
    """Rule: by keyboard, through event and worker's record, into the row. Nothing shows as done earlier."""
    browser.open(stage.address)
    browser.ask("window.notReloaded = true")
    # A worker's alert that still allows the action. Which ones are open depends on the timing of model snapshots.
    alert_id = browser.ask(
        "return [...document.querySelectorAll('tr[data-alert]')].find((row) =>"
        " row.querySelector(arguments[0]) && !row.innerText.startsWith('appears-')).dataset.alert",
        button,
    )
    before = stage.records_about(alert_id, ALERTS)
    browser.enter(f"{row(alert_id)} {button}")
    script = "return document.querySelector(arguments[0])?.querySelector('.state').innerText.split('\\n')[0] || ''"
    browser.wait(f"a row with state {state!r}", lambda: browser.ask(script, row(alert_id)) == state)
    published = [record for record in stage.records_about(alert_id, EVENTS) if record["event"] == event]
    [answer] = stage.records_about(alert_id, ALERTS)[len(before) :]
    assert [record["properties"]["alert_id"] for record in published] == [alert_id]
    assert published[0]["userId"] == answer["customer"]["id"]
    assert (answer["type"], answer["state"], answer["resolution"]) == change
    assert answer["seq"] == before[-1]["seq"] + 1
    assert browser.ask("return window.notReloaded")
    assert browser.messages() == []
    browser.open(f"{stage.address}customer?id={published[0]['userId']}")
    assert browser.find(".story li b").text == change[0].capitalize()


def test_filters_apply_at_once_and_stay_in_the_address(browser: Chromium, stage: Stage) -> None:
    """Rule: choosing an option applies it, and the address and the form keep it."""
    browser.open(stage.address)
    chosen = browser.ask("return document.querySelector('select[name=reason] option:nth-child(2)').value")
    browser.choose("select[name=reason]", chosen)
    browser.wait("the address with the choice", lambda: f"reason={chosen}" in browser.driver.current_url)
    browser.wait("rows", lambda: browser.ask("return document.querySelectorAll('tr[data-alert]').length"))
    assert browser.ask("return document.querySelector('select[name=reason]').value") == chosen
