"""docs/security.md: each claim has one test file, and each test file has one claim."""

from __future__ import annotations

import re
from pathlib import Path

from tests.security.sources import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
HERE = Path(__file__)


def test_claims_and_test_files_correspond() -> None:
    """Rule: claims are numbered in order. The first line of a claim's test file repeats its number."""
    claims = re.findall(r"^## (\d+)\. .*\n\n(?:.*\n)*?\*Test: `(tests/security/test_\w+\.py)`\*$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in claims] == list(range(1, len(claims) + 1))
    assert len(claims) == len(re.findall(r"^## \d", PAGE, re.MULTILINE)) >= 6
    for number, name in claims:
        assert (ROOT / name).read_text(encoding="utf-8").startswith(f'"""Claim {number}: '), name
    files = {f"tests/security/{path.name}" for path in HERE.parent.glob("test_*.py")} - {f"tests/security/{HERE.name}"}
    assert {name for _, name in claims} == files


def test_documented_limits_match_the_code() -> None:
    from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS
    from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_EXTREME_NUMBERS, MAX_PROPERTIES

    section = PAGE.split("\n## 6. ")[1].split("\n## ")[0]
    stated = [int(text.replace(",", "")) for text in re.findall(r"\| ([\d,]+) ", section)]
    limits = [MAX_EVENT_BYTES, MAX_DEPTH, MAX_PROPERTIES, MAX_EXTREME_NUMBERS, MAX_ID_BYTES, MAX_NAME_CHARS]
    assert stated == limits
