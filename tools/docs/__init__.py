"""Writes what the program knows best into the documentation: settings, topics, commands, schemas, alerts.

`python -m tools.docs` rewrites the blocks between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``; the tests
fail while a page is not what this would write. All other words of a page are written by hand and stay. A contract that
machines read, docs/asyncapi.yaml, is written as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.docs import (
    alerts,
    asyncapi,
    catalogue,
    commands,
    customers,
    metrics,
    publishing,
    schemas,
    settings,
    topics,
    voices,
)
from tools.docs.markdown import rewritten

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "features.md": {"features": catalogue.features},
    "events.md": {"families": catalogue.families, "bought": publishing.families},
    "customers.md": {
        "page": customers.page,
        "told": customers.told,
        "speaks": customers.speaks,
        "worths": customers.worths,
        "voice": voices.events,
        "voice-page": voices.page,
        "voice-parts": voices.parts,
        "goals": voices.goals,
    },
    "settings.md": {"settings": settings.settings},
    "topics.md": {
        "topics": topics.topics,
        "score": lambda: schemas.fields("score"),
        "label": lambda: schemas.fields("label"),
    },
    "commands.md": {"commands": commands.commands},
    "alerts.md": {
        "types": alerts.types,
        "resolutions": alerts.resolutions,
        "fields": lambda: schemas.fields("alert"),
        "example": alerts.example,
        "life": alerts.life,
        "answers": alerts.answers,
        "playbooks": alerts.playbooks,
    },
    "operating.md": {"metrics": metrics.metrics},
}
FILES: Final[dict[str, Callable[[], str]]] = {"asyncapi.yaml": asyncapi.text}  # generated as a whole


def main(docs: Path = DOCS) -> int:
    """Rewrites the pages and files that are stale and names them."""
    for name, blocks in PAGES.items():
        old = (docs / name).read_text(encoding="utf-8")
        _write(docs / name, old, rewritten(old, blocks))
    for name, write in FILES.items():
        path = docs / name
        _write(path, path.read_text(encoding="utf-8") if path.exists() else "", write())
    return 0


def _write(path: Path, old: str, new: str) -> None:
    if new != old:
        path.write_text(new, encoding="utf-8")
        print(f"{path}: rewritten")


__all__ = ["DOCS", "FILES", "PAGES", "main", "rewritten"]
