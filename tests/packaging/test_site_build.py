"""The documentation site builds without warnings, and its pages load nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import DOCS, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site like `make site`."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    done = subprocess.run(
        [*command, "--doctree-dir", out / "doctrees", DOCS, out / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_is_built(site: Path) -> None:
    """Rule: a broken link, an unknown anchor or a page outside the navigation fails the build."""
    wanted = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.glob("**/*.md")}
    assert wanted <= {path.relative_to(site) for path in site.glob("**/*.html")}


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    """Rule: the site is readable without a network, and only links lead to other hosts."""
    for page in site.glob("**/*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="([^"]+)"', text)
        assert loaded
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page.name


def test_navigation_has_a_caption_for_each_audience(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'class="caption".*?caption-text">(.*?)<', text)[:3] == ["Integrate", "Operate", "Understand"]
