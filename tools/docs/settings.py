"""Tables of the settings, one per group."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from streams.settings import Settings, variable
from tools.docs.markdown import code, table

# The first setting of each group, and the group's heading. A group extends to the first setting of the next one.
GROUPS: Final = {
    "kafka_bootstrap_servers": "Connection and authentication",
    "kafka_group_id": "Group and ownership",
    "kafka_max_poll_records": "Performance",
    "kafka_replication_factor": "Topics",
    "data_dir": "Process",
}


def settings() -> str:
    """One section with a table per group."""
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
    return [table(("variable", "default", "unit or values", "meaning"), rows), ""] if rows else []


def _allowed(field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    notes = [meta["unit"], ", ".join(code(choice) for choice in meta["choices"])]
    if isinstance(field.default, bool):
        notes.append("`true`, `false`")
    elif isinstance(field.default, int) and meta["low"]:
        notes.append(f"at least {meta['low']:,}")
    if meta["secret"]:
        notes.append("secret, masked in output")
    return "; ".join(note for note in notes if note)
