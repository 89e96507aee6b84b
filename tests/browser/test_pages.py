"""Every page in the browser: no console messages, accessible, and not wider than the screen."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import PHONE, WIDE, Chromium
from tests.browser.stage import BROKEN, Stage

PAGES = ("alerts", "ended", "customers", "customer", "model", "pipeline", "payload")
CONTENT = {
    "alerts": "tr[data-alert] .spark path",
    "ended": "tr[data-alert], .empty",
    "customers": "td.who a",
    "customer": ".reasons rect, .reasons li",
    "model": ".plot .dots",
    "pipeline": "form[action='/payload'] button",
    "payload": "pre",
}


def show(browser: Chromium, stage: Stage, page: str) -> None:
    """Open a page like a person does, and wait for its content."""
    path = {"alerts": "", "ended": "?state=ended", "customer": "customers?sort=risk", "payload": "pipeline"}.get(
        page, page
    )
    browser.open(stage.address + path)
    if page == "customer":
        browser.click("td.who a")
    if page == "payload":
        browser.click("form[action='/payload'] button")
    seen = "return !!document.querySelector(arguments[0])"
    browser.wait(f"the content of {page}", lambda: browser.ask(seen, CONTENT[page]))


@pytest.mark.parametrize("page", PAGES)
def test_page_loads_without_console_messages(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: no error, no policy violation, no external resource, and the bundled typeface."""
    show(browser, stage, page)
    browser.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
    assert browser.messages() == []
    loaded = browser.ask("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {f"{stage.address}static/{name}" for name in ("console.css", "console.js", "inter.woff2")} <= set(loaded)
    assert [name for name in loaded if not name.startswith(stage.address)] == []
    browser.wait("a page without the banner", lambda: not browser.find("#banner").is_displayed())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page_violates_no_axe_rule(browser: Chromium, stage: Stage, page: str, dark: bool) -> None:
    """Rule: all rules of axe-core hold, on desktop and phone."""
    found = []
    for width in (WIDE, PHONE):
        browser.look(width=width, dark=dark)
        show(browser, stage, page)
        scheme = browser.ask("return getComputedStyle(document.body).backgroundColor")
        assert scheme == ("rgb(19, 19, 22)" if dark else "rgb(247, 246, 243)")
        found += browser.violations()
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_the_width_of_a_phone(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: only wide tables scroll sideways, not the page."""
    browser.look(width=PHONE)
    show(browser, stage, page)
    assert browser.ask("return document.documentElement.scrollWidth") <= PHONE


def test_axe_finds_a_violation(browser: Chromium, stage: Stage) -> None:
    """Rule: the check itself works: it finds a button without a name."""
    show(browser, stage, "customers")
    browser.ask("document.getElementById('live').append(document.createElement('button'))")
    assert [text.split(":")[0] for text in browser.violations()] == ["button-name"]


def test_first_tab_stop_skips_the_navigation(browser: Chromium, stage: Stage) -> None:
    """Rule: the first tab stop is the link to the content, and it is visible when focused."""
    show(browser, stage, "customers")
    browser.press(Keys.TAB)
    assert browser.ask("return document.activeElement.className") == "skip"
    assert browser.ask("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(Keys.ENTER)
    assert browser.ask("return document.activeElement.id") == "main"


def test_payload_of_a_dead_letter_is_shown_only_on_request(browser: Chromium, stage: Stage) -> None:
    """Rule: the list shows no content; the payload is shown as it was sent."""
    show(browser, stage, "pipeline")
    assert "not json" not in browser.find("main").text
    show(browser, stage, "payload")
    assert browser.find("pre").text.encode() in BROKEN


@pytest.mark.parametrize("page", ["customer", "model"])
def test_log_odds_are_hidden_until_the_toggle_is_opened_by_keyboard(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: points and ranks are visible; log-odds need the toggle."""
    show(browser, stage, page)
    table = "#log-odds table"
    assert not browser.find(table).is_displayed()
    browser.ask("document.querySelector('#log-odds > summary').focus()")
    browser.press(Keys.ENTER)
    browser.wait("the log-odds", lambda: browser.find(table).is_displayed())
    assert browser.violations() == []
