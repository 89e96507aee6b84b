"""Generated tables of the documentation are what the program would write today."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from models.families import MEANINGS
from models.features import FEATURES
from streams.docs import DOCS, PAGES, main, rewritten


@pytest.mark.parametrize("page", sorted(PAGES))
def test_no_generated_table_is_stale(page: str) -> None:
    """If this fails: python -m streams.docs."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert rewritten(text, PAGES[page]) == text, "stale: run python -m streams.docs"


def test_every_feature_is_documented() -> None:
    """One row each, in the catalogue's order, with all that is said of it."""
    text = (DOCS / "features.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE)
    assert rows == [(f.name, f.sentence) for f in FEATURES]


def test_every_event_name_is_documented() -> None:
    """One row each."""
    text = (DOCS / "events.md").read_text(encoding="utf-8").split("## Families")[1]
    assert sorted(re.findall(r"^\| \w+ \| `([^`]+)` \|", text, re.MULTILINE)) == sorted(MEANINGS)


def test_a_stale_page_is_rewritten_between_its_markers_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The words around the table stay."""
    for page in PAGES:
        shutil.copy(DOCS / page, tmp_path / page)
    page = tmp_path / "features.md"
    good = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"^\| `recency_days`.*\n", "", good, flags=re.MULTILINE), encoding="utf-8")
    assert main(tmp_path) == 0
    assert page.read_text(encoding="utf-8") == good
    assert capsys.readouterr().out == f"{page}: rewritten\n"
    assert main(tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_a_page_without_its_markers_is_an_error() -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="exactly once"):
        rewritten("no markers", PAGES["features.md"])
