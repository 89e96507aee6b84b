"""docs/customers.md: what it says of facts and features is found out by applying events, and says all of them."""

from __future__ import annotations

import re

from models.explanations.codes import RISKS
from models.explanations.feature_wordings import codes_of
from models.features.catalogue import FEATURES
from tests.paths import DOCS
from tools.docs import customers, publishing

PAGE = (DOCS / "customers.md").read_text(encoding="utf-8")


def test_every_told_fact_has_its_events_and_its_use() -> None:
    """Rule: a fact that no example event moves, or that nobody says the use of, is not on the page."""
    facts = {fact.strip("`") for family, _, _ in publishing.FAMILIES for row in publishing.bought(family)
             for fact in row[3].split(", ") if fact}  # fmt: skip
    assert facts == set(customers.USES)
    told = PAGE.split("<!-- generated: told -->")[1].split("<!-- end")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \|$", told, re.MULTILINE)
    assert [row[0] for row in rows] == list(customers.USES)


def test_every_feature_is_listed_under_its_reasons_with_the_events_that_move_it() -> None:
    """Rule: each feature under every code that it can raise the risk by; a failed payment names that event."""
    table = PAGE.split("<!-- generated: speaks -->")[1].split("<!-- end")[0]
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", table, re.MULTILINE)}
    assert sorted(name for names, _ in rows.values() for name in re.findall(r"`(\w+)`", names)) == sorted(
        feature.name for feature in FEATURES for code in codes_of(feature.name) if code in RISKS
    )
    assert "`Payment Failed`" in rows["PAYMENT_FAILED"][1]
    assert "any activity" in rows["SILENCE"][1]
    assert "any activity" not in rows["NPS_DETRACTOR"][1]
