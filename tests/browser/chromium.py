"""Headless Chromium, driven by its chromedriver, with a temporary profile."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDE, PHONE = 1280, 390
_HEIGHT = 900
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
    "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
# For waits of about a second on an idle machine. A busy machine may be much slower.
_WAIT_S = 60.0
_POLL_S = 0.02

Found = TypeVar("Found")


def missing() -> str:
    """Return a message with the missing programs; empty if a browser can be started."""
    return " and ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


class Chromium:
    """One browser window, as a context manager. `driver` is the Selenium driver."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDE},{_HEIGHT}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(_WAIT_S)
        self.driver.set_script_timeout(_WAIT_S)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.quit()

    def look(self, *, width: int = WIDE, height: int = _HEIGHT, dark: bool = False) -> None:
        """Set the screen size and the light or dark colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, address: str) -> None:
        """Load a page and discard earlier console messages."""
        self.messages()
        self.driver.get(address)

    def messages(self) -> list[str]:
        """Return the browser's console messages since the last call: errors, blocked scripts, missing files."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def ask(self, script: str, *arguments: Any) -> Any:
        """Run a script and return its result."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        """Return the first matching element."""
        return self.driver.find_element("css selector", selector)

    def wait(self, what: str, found: Callable[[], Found], seconds: float = _WAIT_S) -> Found:
        """Wait until a result is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
            time.sleep(_POLL_S)
        return value

    def click(self, selector: str) -> None:
        """Click the first matching element in one step, because a live page may replace it between two steps."""
        self.ask("document.querySelector(arguments[0]).click()", selector)

    def enter(self, selector: str) -> None:
        """Activate the first matching element by keyboard, and retry if the page replaced it meanwhile."""

        def entered() -> bool:
            try:
                self.find(selector).send_keys(Keys.ENTER)
            except StaleElementReferenceException:
                return False
            return True

        self.wait(f"{selector} to be entered", entered)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option in a list and fire its change event."""
        self.ask(
            "const list = document.querySelector(arguments[0]); list.value = arguments[1];"
            " list.dispatchEvent(new Event('change', {bubbles: true}))",
            selector,
            value,
        )

    def press(self, key: str) -> None:
        """Press a key at the current focus."""
        ActionChains(self.driver).send_keys(key).perform()

    def freeze(self) -> None:
        """Stop live updates of the page."""
        self.ask("document.getElementById('live').dataset.on = 'nothing'; window.replace = () => {}")

    def violations(self) -> list[str]:
        """Return every axe-core rule that the page violates, with the element."""
        self.freeze()
        self.ask(AXE.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "const done = arguments[0];"
            " axe.run().then((found) => done(found.violations), (failure) => done([{id: String(failure), nodes: []}]));"
        )
        return [
            f"{one['id']}: {node['html'][:200]} ({node.get('failureSummary', '')})"
            for one in found
            for node in one["nodes"] or [{"html": ""}]
        ]
