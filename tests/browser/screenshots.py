"""`python -m tests.browser.screenshots [FOLDER]`: take screenshots of the console's pages in light and dark mode."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.chromium import WIDE, Chromium, missing
from tests.browser.stage import ROOT, Stage

FOLDER = ROOT / "docs" / "images"
# The upper part of a page.
_HEIGHT = 860
# As many as in the demo. With fewer, the model learns too little for realistic pages.
CUSTOMERS = 1_000


def main() -> int:
    """Write console-PAGE-light.png and -dark.png of every page."""
    if absent := missing():
        print(f"no {absent} on this machine: make debian-tools", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="churn-screenshots-") as name,
        Stage(Path(name), CUSTOMERS) as stage,
        Chromium(Path(name) / "profile") as browser,
    ):
        browser.open(f"{stage.address}customers?sort=value")
        customer = browser.find("td.who a").get_attribute("href") or ""
        addresses = {"alerts": stage.address, "customer": customer}
        addresses |= {page: stage.address + page for page in ("model", "pipeline")}
        for dark in (False, True):
            browser.look(width=WIDE, height=_HEIGHT, dark=dark)
            for page, address in addresses.items():
                browser.open(address)
                browser.freeze()
                browser.driver.execute_async_script("document.fonts.ready.then(arguments[0])")
                path = folder / f"console-{page}-{'dark' if dark else 'light'}.png"
                browser.driver.save_screenshot(str(path))
                print(f"{path} ({path.stat().st_size / 1024:.0f} KB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
