"""Merging profiles; the merge laws are in tests/laws/test_profile_laws.py."""

from __future__ import annotations

import msgspec

from models.profile.codec import encode
from models.profile.merge import MERGE_RULES, merge
from models.profile.mergeable import DAY_MS
from models.profile.schema import SECTIONS, ProcessingState, Profile
from tests.models.histories import START_MS, event, odd_history, profile_of


def test_every_field_has_a_merge_rule() -> None:
    """A field without a rule would be lost in a merge."""
    for kind, rules in MERGE_RULES.items():
        assert tuple(rules) == tuple(field.name for field in msgspec.structs.fields(kind)), kind
    merged = {f.name for f in msgspec.structs.fields(Profile) if MERGE_RULES[Profile][f.name] == "section"}
    assert merged == set(SECTIONS)
    assert {kind for kind in MERGE_RULES if kind is not Profile} == set(SECTIONS.values())


def test_merge_drops_the_processing_state() -> None:
    """Deadlines and pending snapshots of two halves cannot be merged."""
    a, b = profile_of([event()]), profile_of([event()])
    a.processing = ProcessingState(scored_ms=5)
    assert merge(a, b).processing is None


def test_merge_does_not_change_its_inputs() -> None:
    """Both halves stay usable."""
    a, b = profile_of(odd_history(1, 50)), profile_of(odd_history(2, 50, start_ms=START_MS + 60 * DAY_MS))
    before = encode(a), encode(b)
    merge(a, b)
    assert (encode(a), encode(b)) == before
