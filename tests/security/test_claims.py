"""docs/security.md: every claim has a test file of its own, and every test file a claim."""

from __future__ import annotations

import re
from pathlib import Path

from tests.security.sources import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
HERE = Path(__file__)


def test_claims_and_test_files_are_the_same() -> None:
    """Rule: numbered in order, each with its file, whose first line gives the number back."""
    claims = re.findall(r"^## (\d+)\. .*\n\n(?:.*\n)*?\*Test: `(tests/security/test_\w+\.py)`\*$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in claims] == list(range(1, len(claims) + 1))
    assert len(claims) == len(re.findall(r"^## \d", PAGE, re.MULTILINE)) >= 6
    for number, name in claims:
        assert (ROOT / name).read_text(encoding="utf-8").startswith(f'"""Claim {number}: '), name
    files = {f"tests/security/{path.name}" for path in HERE.parent.glob("test_*.py")} - {f"tests/security/{HERE.name}"}
    assert {name for _, name in claims} == files


def test_limits_that_the_page_states_are_those_of_the_program() -> None:
    from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS
    from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_PROPERTIES

    section = PAGE.split("\n## 6. ")[1].split("\n## ")[0]
    stated = [int(text.replace(",", "")) for text in re.findall(r"\| ([\d,]+) ", section)]
    assert stated == [MAX_EVENT_BYTES, MAX_DEPTH, MAX_PROPERTIES, MAX_ID_BYTES, MAX_NAME_CHARS]
