"""Read checked TOML tables and write TOML values: the syntax of churn.toml, not its meaning.

Every error is a `DefinitionError` with one sentence: the path of the key, its value, and what is allowed.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from models.duration import format_duration, parse_duration


class DefinitionError(ValueError):
    """churn.toml is invalid. The message is one sentence that names the key, the value and what is allowed."""


def write_span(span_ms: int) -> str:
    """Format a duration as a quoted TOML string."""
    return write_value(format_duration(span_ms))


def write_key(key: str) -> str:
    """Format a key, quoted if TOML requires it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else write_value(key)


def write_value(value: Any) -> str:
    """Format a scalar or a list. TOML has the string escapes of JSON, except for the delete character."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(write_value(item) for item in value) + "]"
    if isinstance(value, str | bool | int | float):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def read_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document. Raises only `DefinitionError`, which names the line."""
    try:
        text.encode()
        return tomllib.loads(text.removeprefix("\ufeff"))
    except UnicodeEncodeError:
        raise DefinitionError("the file is not UTF-8 text.") from None
    except RecursionError:
        raise DefinitionError("the file is not a churn definition: its values are nested too deeply.") from None
    except ValueError as error:  # TOMLDecodeError, and integers of more than 4,300 digits
        raise DefinitionError(_syntax_error(text, error)) from None


def _syntax_error(text: str, error: ValueError) -> str:
    if not isinstance(error, tomllib.TOMLDecodeError):
        return "the file is not a churn definition: a number in it has more than 4,300 digits."
    lines = text.splitlines() or [""]
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    what, line, column = match.groups() if match else (str(error), None, None)
    number = int(line) if line else len(lines)
    where = f", column {column}" if column else ", at the end of the file"
    quoted = f": {shown(lines[number - 1].strip())}" if number <= len(lines) else ""
    return f"line {number} is not valid TOML ({what}{where}){quoted}."


def shown(value: Any) -> str:
    """Format a value as in the file, shortened to fit a sentence."""
    try:
        text = write_value(value) if not isinstance(value, dict) else "a table"
    except ValueError:  # an integer written in hex, of more than 4,300 digits
        text = "a number with thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def wrong(path: str, value: Any, allowed: str) -> DefinitionError:
    """Build the error for an invalid value."""
    return DefinitionError(f"{path} = {shown(value)} is wrong: {allowed}.")


class Table:
    """One table of the file. The constructor rejects unknown keys; the methods return checked values."""

    def __init__(self, value: Any, path: str, keys: Iterable[str]) -> None:
        self.path = path
        keys = tuple(keys)
        if not isinstance(value, dict):
            raise wrong(path, value, f"it must be a table, [{path}], with the keys {', '.join(keys)}")
        for key in value:
            if key not in keys:
                raise DefinitionError(_unknown_key(self.at(key), value[key], key, keys))
        self.values: dict[str, Any] = value

    def at(self, key: str) -> str:
        """Return the path of a key, as it appears in errors."""
        return f"{self.path}.{write_key(key)}" if self.path else write_key(key)

    def table(self, key: str, keys: Iterable[str]) -> Table:
        """Open an inner table, empty if it is left out."""
        return Table(self.values.get(key, {}), self.at(key), keys)

    def required(self, key: str, allowed: str) -> None:
        """Check that a key is present."""
        if key not in self.values:
            raise DefinitionError(f"{self.at(key)} is missing: it must be {allowed}.")

    def duration(self, key: str, default_ms: int, *, zero: bool = False) -> int:
        """Read a duration in milliseconds; `zero` allows 0."""
        if key not in self.values:
            return default_ms
        return check_duration(self.at(key), self.values[key], zero=zero)

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """Read an integer from `least` to `most`."""
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(self.at(key), value, f"it must be a whole number from {least} to {most}")
        return value

    def text(self, key: str) -> str:
        """Read a text that is present and not blank."""
        value = self.values[key]
        if not isinstance(value, str) or not value.strip():
            raise wrong(self.at(key), value, "it must be a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Read one text or a list of texts, without duplicates, sorted."""
        value = self.values[key]
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str) and item.strip() for item in items):
            raise wrong(self.at(key), value, "it must be a list of at least one text, none of them empty")
        return tuple(sorted(set(items)))


def _unknown_key(path: str, value: Any, key: str, keys: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]} (allowed: {', '.join(keys)})" if near else f"allowed are {', '.join(keys)}"
    return f"{path} = {shown(value)} is not a known key: {hint}."


def check_duration(path: str, value: Any, *, zero: bool = False) -> int:
    """Parse a duration to milliseconds. Raises `DefinitionError`."""
    if not isinstance(value, str):
        raise wrong(path, value, 'it must be a duration in quotes, such as "30d" (units s, m, h, d, w)')
    if value.startswith("-"):
        raise wrong(path, value, "it must not be negative")
    try:
        span_ms = parse_duration(value)
    except ValueError as error:
        raise wrong(path, value, f"it must be a duration; {error}") from None
    if span_ms == 0 and not zero:
        raise wrong(path, value, "it must be longer than 0")
    return span_ms
