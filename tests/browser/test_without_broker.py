"""A broker that goes away and comes back, as a person at the console sees it."""

from __future__ import annotations

from tests.browser.chromium import Chromium
from tests.browser.stage import Stage

# On a quiet machine: a look at the group every 3 s, and what a refused connection costs; the broker's own start.
NOTICED_S, BACK_S = 90.0, 120.0


def test_a_banner_says_that_the_broker_is_away_and_leaves_with_its_return(browser: Chromium, stage: Stage) -> None:
    """Rule: the page stays, with what was last known; nobody has to load it again; then alerts come as before."""
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
