"""A broker outage as the console shows it."""

from __future__ import annotations

from tests.browser.chromium import Chromium
from tests.browser.stage import Stage

# On an idle machine, the console checks the group every 3 s. Connection timeouts and the broker's start add to this.
NOTICED_S, BACK_S = 90.0, 120.0


def test_banner_shows_a_broker_outage_until_it_ends(browser: Chromium, stage: Stage) -> None:
    """Rule: the page keeps the last known data without a reload, and new alerts appear after the outage."""
    browser.open(f"{stage.address}?sort=newest")
    browser.ask("window.same = true")
    rows = browser.ask("return document.querySelectorAll('tr[data-alert]').length")
    browser.wait("a page without the banner", lambda: not browser.find("#banner").is_displayed())
    stage.broker.stop()
    try:
        browser.wait("the banner", lambda: browser.find("#banner").is_displayed(), NOTICED_S)
        assert stage.broker.address in browser.find("#banner").text
        assert browser.ask("return document.querySelectorAll('tr[data-alert]').length") == rows
        assert browser.violations() == []
    finally:
        stage.broker.start()
    browser.wait("a page without the banner", lambda: not browser.find("#banner").is_displayed(), BACK_S)
    assert browser.ask("return window.same")
    browser.open(f"{stage.address}?sort=newest")
    stage.raise_alert("after-the-outage")
    browser.wait(
        "the new alert", lambda: browser.ask("return document.body.innerText").count("after-the-outage"), BACK_S
    )
    assert browser.messages() == []
