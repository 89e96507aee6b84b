"""State is written to be read: a field of the profile that no feature, record or report reads is lost work."""

from __future__ import annotations

import ast
from typing import Final

import msgspec
import pytest

from models.profile.schema import SECTIONS, PendingSnapshot, ProcessingState, Profile
from tests.paths import ROOT

WRITERS: Final = ("apply", "merge", "codec", "schema", "sections")
"""Modules of models/profile that write fields, or only carry them."""
PROCESSING: Final = {
    "guard": "read where it is written: it decides whether an event is a duplicate",
    "forgotten": "counts what the duplicate guard cannot recognise, for tests and for support",
    "refunded": "an amount; `refund_rate` counts refunds",
}
"""Fields that are read by their writers only, with the reason."""


def read_names() -> set[str]:
    """Names of all attributes that are read outside the modules that write the profile."""
    names = set()
    for tree in ("models", "streams"):
        for path in (ROOT / tree).rglob("*.py"):
            if path.parent.name == "profile" and path.stem.startswith(WRITERS):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    names.add(node.attr)
    return names


READ = read_names()
STRUCTS: Final[dict[str, type[msgspec.Struct]]] = {
    **SECTIONS,
    "profile": Profile,
    "processing": ProcessingState,
    "pending": PendingSnapshot,
}
FIELDS = [(name, field) for name, struct in STRUCTS.items() for field in struct.__struct_fields__]


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_every_field_is_read(section: str, field: str) -> None:
    """Rule: no state is written that nothing reads."""
    assert field in READ or field in PROCESSING, f"{section}.{field}"
