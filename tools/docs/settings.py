"""Every setting of the process as tables, grouped as it is declared."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from streams.settings import Settings, variable
from tools.docs.markdown import code, table

# Group, and the first setting that belongs to it: one that is added in between belongs to its neighbours' group.
GROUPS: Final = {
    "kafka_bootstrap_servers": "Where Kafka is, and how to be let in",
    "kafka_group_id": "Group and ownership",
    "kafka_max_poll_records": "Speed",
    "kafka_replication_factor": "Topics",
    "data_dir": "This process",
}


def settings() -> str:
    """One table a group."""
    defaults = dict(Settings().masked())
    lines: list[str] = []
    rows: list[tuple[str, ...]] = []
    for field in dataclasses.fields(Settings):
        if field.name in GROUPS:
            lines += _group(rows)
            rows = []
            lines += [f"### {GROUPS[field.name]}", ""]
        name = variable(field.name)
        rows.append((code(name), code(defaults[name]) or "(empty)", _allowed(field), field.metadata["sentence"]))
    return "\n".join(lines + _group(rows)).rstrip()


def _group(rows: list[tuple[str, ...]]) -> list[str]:
    return [table(("variable", "default", "unit, values", "meaning"), rows), ""] if rows else []


def _allowed(field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    notes = [meta["unit"], ", ".join(code(choice) for choice in meta["choices"])]
    if isinstance(field.default, bool):
        notes.append("`true`, `false`")
    elif isinstance(field.default, int) and meta["low"]:
        notes.append(f"at least {meta['low']:,}")
    if meta["secret"]:
        notes.append("secret, shown masked")
    return "; ".join(note for note in notes if note)
