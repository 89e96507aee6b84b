"""The console while the broker is away, and after it returns."""

from __future__ import annotations

from tests.browser.chromium import Chromium
from tests.browser.stage import Stage

# An idle machine needs a lag sample every 3 s and a refused connection, and the start of the broker.
NOTICED_S, BACK_S = 90.0, 120.0


def test_banner_shows_while_the_broker_is_away(browser: Chromium, stage: Stage) -> None:
    """Rule: the page keeps the last known data and resumes without a reload."""
    browser.open(f"{stage.address}?sort=newest")
    browser.ask("window.notReloaded = true")
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
    assert browser.ask("return window.notReloaded")
    browser.open(f"{stage.address}?sort=newest")
    stage.raise_alert("after-the-outage")
    browser.wait(
        "the new alert", lambda: browser.ask("return document.body.innerText").count("after-the-outage"), BACK_S
    )
    assert browser.messages() == []
