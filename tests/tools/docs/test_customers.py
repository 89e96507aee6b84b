"""docs/customers.md lists every customer fact and every feature with the events that change it."""

from __future__ import annotations

import re

from models.explanations.codes import RISKS
from models.explanations.feature_wordings import codes_of
from models.features.catalogue import FEATURES
from tests.paths import DOCS
from tools.docs import customers, event_effects

PAGE = (DOCS / "customers.md").read_text(encoding="utf-8")


def test_every_customer_fact_has_its_events_and_its_purpose() -> None:
    """Rule: every fact on the page is changed by an example event and has a purpose."""
    facts = {fact.strip("`") for family, _, _ in event_effects.FAMILIES for row in event_effects.effects(family)
             for fact in row[3].split(", ") if fact}  # fmt: skip
    assert facts == set(customers.USES)
    table = PAGE.split("<!-- generated: facts -->")[1].split("<!-- end")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert [row[0] for row in rows] == list(customers.USES)


def test_every_feature_is_listed_under_its_reasons_with_the_events_that_change_it() -> None:
    """Rule: each feature is listed under every risk code that it can have, with the events that change it."""
    table = PAGE.split("<!-- generated: reasons -->")[1].split("<!-- end")[0]
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", table, re.MULTILINE)}
    assert sorted(name for names, _ in rows.values() for name in re.findall(r"`(\w+)`", names)) == sorted(
        feature.name for feature in FEATURES for code in codes_of(feature.name) if code in RISKS
    )
    assert "`Payment Failed`" in rows["PAYMENT_FAILED"][1]
    assert "any activity" in rows["SILENCE"][1]
    assert "any activity" not in rows["NPS_DETRACTOR"][1]
