"""Every page in the browser: no console messages, accessible, and as wide as the screen."""

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
    """Load a page and wait for its data."""
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
    """Rule: no errors, no policy violations, no requests to another address, and the bundled typeface is used."""
    show(browser, stage, page)
    browser.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
    assert browser.messages() == []
    loaded = browser.ask("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert {f"{stage.address}static/{name}" for name in ("console.css", "console.js", "inter.woff2")} <= set(loaded)
    assert [name for name in loaded if not name.startswith(stage.address)] == []
    browser.wait("a page without the banner", lambda: not browser.find("#banner").is_displayed())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page_passes_all_axe_rules(browser: Chromium, stage: Stage, page: str, dark: bool) -> None:
    """Rule: names, roles, heading order, contrast and all other axe-core rules hold on desktop and phone."""
    found = []
    for width in (WIDE, PHONE):
        browser.look(width=width, dark=dark)
        show(browser, stage, page)
        scheme = browser.ask("return getComputedStyle(document.body).backgroundColor")
        assert scheme == ("rgb(19, 19, 22)" if dark else "rgb(247, 246, 243)")
        found += browser.violations()
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone_screen(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: a page never scrolls horizontally; only wide tables scroll."""
    browser.look(width=PHONE)
    show(browser, stage, page)
    assert browser.ask("return document.documentElement.scrollWidth") <= PHONE


def test_axe_detects_a_violation(browser: Chromium, stage: Stage) -> None:
    """Rule: the accessibility tests can fail, because a button without a name is detected."""
    show(browser, stage, "customers")
    browser.ask("document.getElementById('live').append(document.createElement('button'))")
    assert [text.split(":")[0] for text in browser.violations()] == ["button-name"]


def test_first_tab_stop_skips_the_navigation(browser: Chromium, stage: Stage) -> None:
    """Rule: the first tab stop is the link to the content, and it is visible on focus."""
    show(browser, stage, "customers")
    browser.press(Keys.TAB)
    assert browser.ask("return document.activeElement.className") == "skip"
    assert browser.ask("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(Keys.ENTER)
    assert browser.ask("return document.activeElement.id") == "main"


def test_dead_letter_payload_is_shown_as_text_on_request(browser: Chromium, stage: Stage) -> None:
    """Rule: the list has no payload, and the shown payload equals the published value."""
    show(browser, stage, "pipeline")
    assert "not json" not in browser.find("main").text
    show(browser, stage, "payload")
    assert browser.find("pre").text.encode() in BROKEN
