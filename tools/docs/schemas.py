"""Tables of the fields of published records, from their JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tools.docs.markdown import code, table

SCHEMAS: Final = Path(__file__).parents[2] / "docs" / "schemas"
NAMES: Final = ("event", "alert", "score", "label")
LISTED: Final = 12  # longer enums are abbreviated to their length


def schema(name: str) -> dict[str, Any]:
    """Read a schema."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return found


def fields(name: str) -> str:
    """Table of all fields. Names of nested fields include the path; list items are marked with `[]`.

    Fields of reasons are listed once, under `reasons` of the alert.
    """
    document = schema(name)
    rows = [
        (code(path), _type(node), _meaning(node))
        for path, node in walk(document, document)
        if not path.startswith(("protective[].", "reasons[].") if name == "score" else "protective[].")
    ]
    return table(("field", "type", "meaning"), rows)


def walk(node: dict[str, Any], root: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and schema of every field, in the order of the file."""
    for name, child in node.get("properties", {}).items():
        child = _resolved(child, root)
        yield f"{path}{name}", child
        yield from _inner(child, root, f"{path}{name}")


def _inner(node: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for choice in node.get("oneOf", [node]):
        if "items" in choice and isinstance(choice["items"], dict):
            yield from walk(_resolved(choice["items"], root), root, f"{path}[].")
        yield from walk(choice, root, f"{path}.")


def _resolved(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: dict[str, Any] = root["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _type(node: dict[str, Any]) -> str:
    if "oneOf" in node:
        return " or ".join(_type(choice) for choice in node["oneOf"])
    if "enum" in node and "type" not in node:
        return "enum or null" if None in node["enum"] else "enum"
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    if node.get("format") == "date-time":
        kinds = ["time" if kind == "string" else kind for kind in kinds]
    return " or ".join(kinds)


def _meaning(node: dict[str, Any]) -> str:
    description = node.get("description", "")
    values = node.get("enum") or node.get("items", {}).get("enum") or ()
    if len(values) > LISTED:
        return f"{description} One of {len(values)} values."
    listed = ", ".join(code(json.dumps(value).strip('"')) for value in values if value is not None)
    return f"{description} {listed}".strip()
