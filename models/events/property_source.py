"""Where a property of an event comes from: a path in the properties that were sent, or a fixed value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

Constant: TypeAlias = str | int | float | bool
ROOT: Final = "$."
"""How a path begins in churn.toml: `$.case.number`."""


class PropertySource(NamedTuple):
    """One property to set: its name, and either the keys of a path or a constant. It replaces what was sent, or not.

    >>> PropertySource("reason", ("why",)).read({"why": "too expensive"})
    'too expensive'
    >>> PropertySource("id", ("items", "0", "id")).read({"items": [{"id": 7}]})
    7
    >>> PropertySource("kind", (), "nps").read({})
    'nps'
    """

    name: str
    path: tuple[str, ...]
    constant: Constant | None = None
    replace: bool = False

    def read(self, properties: Mapping[str, Any]) -> Any:
        """Return the value, or None where the event has none."""
        if not self.path:
            return self.constant
        value: Any = properties
        for key in self.path:
            if value.__class__ is dict:
                value = value.get(key)
            elif value.__class__ is list and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value


def fill(properties: dict[str, Any], sources: tuple[PropertySource, ...]) -> None:
    """Set properties in place, in this order. All are read before any is set."""
    found = [(source.name, source.read(properties), source.replace) for source in sources]
    for name, value, replace in found:
        if value is not None and (replace or properties.get(name) is None):
            properties[name] = value


__all__ = ["ROOT", "Constant", "PropertySource", "fill"]
