"""The `where` of a definition or goal: which property values an event must have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from models.definition.toml_table import Table, write_key, write_value, wrong

Scalar: TypeAlias = str | int | float | bool
Where: TypeAlias = tuple[tuple[str, tuple[Scalar, ...]], ...]
"""Each property with its allowed values, sorted by property name."""


def matches(where: Where, properties: Mapping[str, Any]) -> bool:
    """Check whether each property has one of its allowed values. Types are strict: "1" is not 1, and true is not 1.

    >>> matches((("plan", ("pro", 1)),), {"plan": "pro"}), matches((("plan", ("pro", 1)),), {"plan": True})
    (True, False)
    """
    for key, allowed in where:
        value = properties.get(key)
        if not any(value == scalar and isinstance(value, bool) is isinstance(scalar, bool) for scalar in allowed):
            return False
    return True


def read_where(table: Table) -> Where:
    """Read the `where` of a table, normalised; empty if it is left out. Raises `DefinitionError`."""
    where = table.values.get("where", {})
    if not isinstance(where, dict):
        raise wrong(table.at("where"), where, 'it must be a table such as { reason = ["cancellation_requested"] }')
    pairs = []
    for key in sorted(where):
        values = where[key] if isinstance(where[key], list) else [where[key]]
        if not key or not values or not all(is_scalar(value) for value in values):
            raise wrong(
                f"{table.at('where')}.{write_key(key)}",
                where[key],
                "it must be a text, number or true/false, or a list of at least one of these",
            )
        pairs.append((key, tuple({write_value(value): value for value in sorted(values, key=write_value)}.values())))
    return tuple(pairs)


def where_toml(where: Where) -> list[str]:
    """The line of a `where` in TOML; no line for an empty one."""
    pairs = ", ".join(f"{write_key(key)} = {write_value(allowed)}" for key, allowed in where)
    return [f"where = {{ {pairs} }}"] if where else []


def is_scalar(value: Any) -> bool:
    """Text, true/false, a finite number, or a 64-bit integer (the range that TOML guarantees)."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))
