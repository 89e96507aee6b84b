"""Generates documentation from the code: settings, topics, commands, schemas, metrics, examples.

`python -m tools.docs` rewrites the blocks between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->`` in docs/*.md.
The rest of a page is written by hand and stays unchanged. docs/asyncapi.yaml is generated as a whole. The tests fail
while a generated block or file is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from models.imports import SOURCES
from tools.docs import (
    alerts,
    asyncapi,
    catalogue,
    commands,
    customers,
    dependencies,
    event_effects,
    experience,
    import_sources,
    metrics,
    schemas,
    settings,
    topics,
)
from tools.docs.markdown import rewritten

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "features.md": {"features": catalogue.features},
    "events.md": {"families": catalogue.families, "effects": event_effects.families},
    "event-names.md": {"aliases": catalogue.aliases, "ignored": catalogue.ignored},
    "customers.md": {
        "page": customers.page,
        "facts": customers.facts,
        "reasons": customers.reasons,
        "value": customers.value,
        "experience-events": experience.events,
        "experience-page": experience.page,
        "cx-index": experience.cx_index,
        "goals": experience.goals,
    },
    "dependencies.md": {"packages": dependencies.packages},
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
        "lifecycle": alerts.lifecycle,
        "responses": alerts.responses,
        "playbooks": alerts.playbooks,
    },
    "operating.md": {"metrics": metrics.metrics},
    "migrate/index.md": {"reasons": import_sources.reasons},
    **{f"migrate/{name}.md": import_sources.blocks(source) for name, source in SOURCES.items()},
}
FILES: Final[dict[str, Callable[[], str]]] = {"asyncapi.yaml": asyncapi.text}  # no hand-written part


def main(docs: Path = DOCS) -> int:
    """Rewrite the stale pages and files, and print their names."""
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
