"""How a setting is declared, and how its value is read from text and written as text."""

from __future__ import annotations

import dataclasses
from typing import Any

from streams.errors import SettingsError


def setting(
    default: Any, sentence: str, *, unit: str = "", secret: bool = False, choices: tuple[str, ...] = (), low: int = 0
) -> Any:
    """Declare a setting: a field of a dataclass with what people need to know about it."""
    metadata = {"sentence": sentence, "unit": unit, "secret": secret, "choices": choices, "low": low}
    return dataclasses.field(default=default, metadata=metadata)


def parse_setting(name: str, kind: type, meta: Any, text: str) -> Any:
    """Parse the value of a variable.

    Raises:
        SettingsError: the value is not allowed. Values of secrets have no restriction here, so none is quoted.
    """
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise SettingsError(f"{name}={text!r} must be true or false")
        return text.lower() == "true"
    if kind is int:
        try:
            number = int(text.replace("_", ""))
        except ValueError:
            raise SettingsError(f"{name}={text!r} must be a whole number ({meta['unit']})") from None
        if number < meta["low"]:
            raise SettingsError(f"{name}={number} must be at least {meta['low']} ({meta['unit']})")
        return number
    choices = meta["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{name}={text!r} must be one of {', '.join(choices)}")
    return text


def setting_text(value: Any) -> str:
    """Return a value as the text of its variable.

    >>> setting_text(True), setting_text(12)
    ('true', '12')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
