"""Whether an event's properties are those that a definition asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Scalar: TypeAlias = str | int | float | bool
Where: TypeAlias = tuple[tuple[str, tuple[Scalar, ...]], ...]
"""Property and its allowed values, in order of names."""


def matches(where: Where, properties: Mapping[str, Any]) -> bool:
    """Whether each property has one of its allowed values. Types are compared strictly: "1" is not 1, true is not 1.

    >>> matches((("plan", ("pro", 1)),), {"plan": "pro"}), matches((("plan", ("pro", 1)),), {"plan": True})
    (True, False)
    """
    for key, allowed in where:
        value = properties.get(key)
        if not any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in allowed):
            return False
    return True
