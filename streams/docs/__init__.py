"""Writes what the program knows best into the documentation: settings, topics, commands, schemas, features, an alert.

`python -m streams.docs` rewrites the blocks between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``; the tests
fail while a page is not what this would write. All other words of a page are written by hand and stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from streams.docs import alerts, catalogue, commands, metrics, schemas, settings, topics
from streams.docs.markdown import rewritten

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "features.md": {"features": catalogue.features},
    "events.md": {"families": catalogue.families},
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


def main(docs: Path = DOCS) -> int:
    """Rewrites the pages that are stale and names them."""
    for name, blocks in PAGES.items():
        page = docs / name
        old = page.read_text(encoding="utf-8")
        if (new := rewritten(old, blocks)) != old:
            page.write_text(new, encoding="utf-8")
            print(f"{page}: rewritten")
    return 0


__all__ = ["DOCS", "PAGES", "main", "rewritten"]
