"""Tables of import sources: names, fields, and reasons for rows without an event."""

from __future__ import annotations

from collections.abc import Callable

from models.imports import ImportSource
from models.imports.source import LEFT_OUT, REJECTED
from tools.docs.markdown import code, table


def blocks(source: ImportSource) -> dict[str, Callable[[], str]]:
    """The generated blocks of a source's page."""
    return {"names": lambda: names(source), "fields": lambda: fields(source)}


def names(source: ImportSource) -> str:
    """One row per event that is renamed."""
    rows = [(_listed(row.source_name), _event(row.event), row.note) for row in source.names]
    return table((source.title, "event", "when"), rows)


def fields(source: ImportSource) -> str:
    """One row per field of an event."""
    rows = [(_listed(row.source_field), _listed(row.field)) for row in source.fields]
    return table((source.title, "event"), rows)


def reasons() -> str:
    """One row per reason for a row without an event."""
    rejected = [(code(reason), "rejected", sentence) for reason, sentence in REJECTED.items()]
    return table(("reason", "row is", "meaning"), rejected + [(code(r), "left out", s) for r, s in LEFT_OUT.items()])


def _listed(text: str) -> str:
    """Put names into code spans, and leave a text with words as it is."""
    return code(text) if " " not in text else text


def _event(name: str) -> str:
    return name if name.startswith("the ") else code(name)
