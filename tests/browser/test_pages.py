"""Every page as a browser shows it: without a word in its console, accessible, and as wide as the screen."""

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
    """Load a page as people come to it; it has what it is for."""
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
def test_a_page_loads_without_a_word_in_the_browser_s_console(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: no error, nothing that the policy refuses, nothing from another address, and the typeface is ours."""
    show(browser, stage, page)
    browser.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
    assert browser.messages() == []
    loaded = browser.ask("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert {f"{stage.address}static/{name}" for name in ("console.css", "console.js", "inter.woff2")} <= set(loaded)
    assert [name for name in loaded if not name.startswith(stage.address)] == []
    browser.wait("a page without the banner", lambda: not browser.find("#banner").is_displayed())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_breaks_no_rule_of_axe(browser: Chromium, stage: Stage, page: str, dark: bool) -> None:
    """Rule: names, roles, order of headings, contrast: all of axe-core's rules, on a desk and on a phone."""
    found = []
    for width in (WIDE, PHONE):
        browser.look(width=width, dark=dark)
        show(browser, stage, page)
        scheme = browser.ask("return getComputedStyle(document.body).backgroundColor")
        assert scheme == ("rgb(19, 19, 22)" if dark else "rgb(247, 246, 243)")
        found += browser.violations()
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_as_wide_as_a_phone(browser: Chromium, stage: Stage, page: str) -> None:
    """Rule: nobody scrolls a page sideways; tables that are wider scroll by themselves."""
    browser.look(width=PHONE)
    show(browser, stage, page)
    assert browser.ask("return document.documentElement.scrollWidth") <= PHONE


def test_axe_does_find_what_is_wrong(browser: Chromium, stage: Stage) -> None:
    """Rule: a test that nothing can fail is none: a button without a name is found."""
    show(browser, stage, "customers")
    browser.ask("document.getElementById('live').append(document.createElement('button'))")
    assert [text.split(":")[0] for text in browser.violations()] == ["button-name"]


def test_the_first_key_leads_past_the_navigation(browser: Chromium, stage: Stage) -> None:
    """Rule: by keyboard the first stop is the way to the content, and it is seen then."""
    show(browser, stage, "customers")
    browser.press(Keys.TAB)
    assert browser.ask("return document.activeElement.className") == "skip"
    assert browser.ask("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press(Keys.ENTER)
    assert browser.ask("return document.activeElement.id") == "main"


def test_a_dead_letter_s_payload_is_shown_as_text_when_it_is_asked_for(browser: Chromium, stage: Stage) -> None:
    """Rule: the list has no content of a letter; the payload is what was sent."""
    show(browser, stage, "pipeline")
    assert "not json" not in browser.find("main").text
    show(browser, stage, "payload")
    assert browser.find("pre").text.encode() in BROKEN
