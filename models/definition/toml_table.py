"""Checked reading of TOML tables and writing of TOML values: the grammar of churn.toml, not its meaning.

Every complaint is one `DefinitionError` sentence with the key's path, the value as it stands, and what is allowed.
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
    """churn.toml cannot be used; the message is one sentence that names key, value and what is allowed."""


def write_span(span_ms: int) -> str:
    return write_value(format_duration(span_ms))


def write_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else write_value(key)


def write_value(value: Any) -> str:
    """TOML of a scalar or a list; JSON's string escapes are TOML's, but for the delete character."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(write_value(one) for one in value) + "]"
    if isinstance(value, str | bool | int | float):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def read_toml(text: str) -> dict[str, Any]:
    """The document as tomllib reads it. Raises `DefinitionError` that names the line, and nothing else."""
    try:
        text.encode()
        return tomllib.loads(text.removeprefix("\ufeff"))
    except UnicodeEncodeError:
        raise DefinitionError("the file is not UTF-8 text.") from None
    except RecursionError:
        raise DefinitionError("the file is not a churn definition: its values are nested too deeply.") from None
    except ValueError as error:  # TOMLDecodeError, and integers of more than 4,300 digits
        raise DefinitionError(_syntax(text, error)) from None


def _syntax(text: str, error: ValueError) -> str:
    if not isinstance(error, tomllib.TOMLDecodeError):
        return "the file is not a churn definition: a number in it has more than 4,300 digits."
    lines = text.splitlines() or [""]
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    what, line, column = found.groups() if found else (str(error), None, None)
    number = int(line) if line else len(lines)
    where = f", column {column}" if column else ", at the end of the file"
    quoted = f": {shown(lines[number - 1].strip())}" if number <= len(lines) else ""
    return f"line {number} is not valid TOML ({what}{where}){quoted}."


def shown(value: Any) -> str:
    """A value as it stands in the file, short enough for one sentence."""
    try:
        text = write_value(value) if not isinstance(value, dict) else "a table"
    except ValueError:  # an integer written in hex, of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def wrong(path: str, value: Any, allowed: str) -> DefinitionError:
    return DefinitionError(f"{path} = {shown(value)} is wrong: {allowed}.")


class Table:
    """One table of the file: refuses unknown keys when opened, then hands out checked values."""

    def __init__(self, value: Any, path: str, keys: Iterable[str]) -> None:
        self.path = path
        keys = tuple(keys)
        if not isinstance(value, dict):
            raise wrong(path, value, f"it must be a table, [{path}], with the keys {', '.join(keys)}")
        for key in value:
            if key not in keys:
                raise DefinitionError(_unknown(self.at(key), value[key], key, keys))
        self.values: dict[str, Any] = value

    def at(self, key: str) -> str:
        return f"{self.path}.{write_key(key)}" if self.path else write_key(key)

    def table(self, key: str, keys: Iterable[str]) -> Table:
        return Table(self.values.get(key, {}), self.at(key), keys)

    def required(self, key: str, allowed: str) -> None:
        if key not in self.values:
            raise DefinitionError(f"{self.at(key)} is missing: it must be {allowed}.")

    def duration(self, key: str, default_ms: int, *, zero: bool = False) -> int:
        if key not in self.values:
            return default_ms
        return check_duration(self.at(key), self.values[key], zero=zero)

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(self.at(key), value, f"it must be a whole number from {least} to {most}")
        return value

    def text(self, key: str) -> str:
        value = self.values[key]
        if not isinstance(value, str) or not value.strip():
            raise wrong(self.at(key), value, "it must be a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of them, without duplicates, sorted."""
        value = self.values[key]
        found = value if isinstance(value, list) else [value]
        if not found or not all(isinstance(one, str) and one.strip() for one in found):
            raise wrong(self.at(key), value, "it must be a list of at least one text, none of them empty")
        return tuple(sorted(set(found)))


def _unknown(path: str, value: Any, key: str, keys: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]} (allowed: {', '.join(keys)})" if near else f"allowed are {', '.join(keys)}"
    return f"{path} = {shown(value)} is not a known key: {hint}."


def check_duration(path: str, value: Any, *, zero: bool = False) -> int:
    if not isinstance(value, str):
        raise wrong(path, value, 'it must be a duration in quotes, such as "30d" (units s, m, h, d, w)')
    if value.startswith("-"):
        raise wrong(path, value, "a duration must not be negative")
    try:
        span_ms = parse_duration(value)
    except ValueError as error:
        raise wrong(path, value, f"it must be a duration; {error}") from None
    if span_ms == 0 and not zero:
        raise wrong(path, value, "it must be longer than 0")
    return span_ms
