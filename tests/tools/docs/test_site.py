"""The documentation site has every page of docs/, under one of its three audiences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paths import DOCS

INDEX = (DOCS / "index.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once() -> None:
    """Rule: every page is reachable by a link."""
    listed = re.findall(r"^- \[.+?\]\((.+?\.md)\)", INDEX, re.MULTILINE)
    pages = {path.name for path in DOCS.glob("*.md")} - {"index.md"} | {"decisions/README.md", "migrate/index.md"}
    assert sorted(listed) == sorted(pages)


def test_navigation_has_three_audiences() -> None:
    assert re.findall(r"^## (.+)$", INDEX, re.MULTILINE) == ["Integrate", "Operate", "Understand"]


@pytest.mark.parametrize("name", ["decisions/README.md", "migrate/index.md"])
def test_every_page_of_a_folder_is_in_its_index(name: str) -> None:
    index = (DOCS / name).read_text(encoding="utf-8")
    pages = {path.name for path in (DOCS / name).parent.glob("*.md")} - {Path(name).name}
    assert pages
    assert set(re.findall(r"^\| \[.+?\]\(([a-z0-9-]+\.md)\)", index, re.MULTILINE)) == pages
