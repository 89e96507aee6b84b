"""Read numbers, texts and times tolerantly from values that publishers send.

Each reader returns None for a value that it cannot use, and never raises: a property of the wrong type counts as
missing, not as an error. Results are bounded, so sums over them stay exact and small.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from math import isfinite
from typing import Final

import msgspec

MIN_TIME_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z: customer logs worth replaying begin in the nineties. An earlier time is a unit or clock error.
The bound also separates seconds from milliseconds: 2100 in seconds is far below 1990 in milliseconds."""

MAX_TIME_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00:00Z, exclusive. A later time is a unit error (microseconds) or a placeholder such as 9999-12-31."""

MAX_NUMBER_CHARS: Final = 64
"""A longer numeric string is not a quantity. The limit bounds the parsing work (a double needs 24 characters)."""

MAX_TEXT_BYTES: Final = 256
"""Longest name in UTF-8: of a plan, a segment, a survey. Customer ids have the same limit."""

NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
"""A number as programming languages and databases write it."""

_TIME_TEXT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,18}))?)?"
    r" ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,  # forms that msgspec rejects: a date alone, leap seconds, no seconds, a space or only hours in the offset
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()


def as_number(value: object) -> float | None:
    """Read a finite number from a JSON number or a numeric string. A boolean is not a number.

    >>> as_number("12.50"), as_number(3), as_number(True), as_number("1_000"), as_number("nan"), as_number(10**400)
    (12.5, 3.0, None, None, None, None)
    """
    if type(value) is float:
        return value if isfinite(value) else None
    if isinstance(value, str):
        value = value.strip() if len(value) <= MAX_NUMBER_CHARS else ""
        if NUMBER.fullmatch(value) is None:
            return None
    elif not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if isfinite(result) else None


def text(value: object, limit: int = MAX_TEXT_BYTES) -> str | None:
    """Read a text and strip it. A number becomes its text. An empty text, and one above `limit` bytes, is None.

    A name is never cut: two long names could become one.

    >>> text("  gold "), text(42), text("premium", 4), text(""), text(False), text([])
    ('gold', '42', None, None, None, None)
    """
    if isinstance(value, str):
        if len(value) > 4 * limit:
            return None
        result = value.strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = as_number(value)
        if number is None or (isinstance(value, int) and value.bit_length() > 64):
            return None
        result = str(value) if isinstance(value, int) or not number.is_integer() else f"{number:.0f}"
    else:
        return None
    if not result.isascii():
        encoded = result.encode("utf-8", "replace")  # UTF-8 cannot encode a lone surrogate
        return encoded.decode("utf-8") if len(encoded) <= limit else None
    return result if 0 < len(result) <= limit else None


def time_ms(value: object) -> int | None:
    """Read a time as epoch milliseconds by the rules of `moment_ms`; None outside MIN_TIME_MS..MAX_TIME_MS.

    >>> time_ms("2013-03-10T00:00:00Z"), time_ms(1362873600), time_ms("1362873600000"), time_ms("9999-12-31")
    (1362873600000, 1362873600000, 1362873600000, None)
    """
    moment = moment_ms(value)
    return moment if moment is not None and MIN_TIME_MS <= moment < MAX_TIME_MS else None


def moment_ms(value: object) -> int | None:
    """Read an RFC 3339 text, a `datetime`, or epoch seconds or milliseconds as epoch milliseconds.

    A text without an offset is UTC. A date means midnight. A leap second becomes the second after it. A fraction is
    cut to milliseconds. Texts and datetimes may have any year. The size of an epoch number shows its unit, so epoch
    numbers must lie within 1990..2100.
    """
    if isinstance(value, datetime):
        return _from_datetime(value)
    if isinstance(value, str):
        value = value.strip() if len(value) <= MAX_NUMBER_CHARS else ""
        try:
            return _from_datetime(msgspec.convert(value, datetime))  # the C parser that also reads an event's timestamp
        except msgspec.ValidationError:
            if _TIME_TEXT.match(value) is not None:
                return _from_text(value)
    return _from_epoch(value)


def _from_datetime(value: datetime) -> int:
    elapsed = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH
    return elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000


def _from_text(value: str) -> int | None:
    parts = _TIME_TEXT.fullmatch(value)
    if parts is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = parts.groups(default="0")
    h, m, s = int(hour), int(minute), int(second)
    if h > 23 or m > 59 or s > 60:
        return None
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None
    offset_minutes = 0
    if offset[0] in "+-":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        if int(digits[:2]) > 23 or int(digits[2:]) > 59:
            return None
        offset_minutes = (int(digits[:2]) * 60 + int(digits[2:])) * (1 if offset[0] == "+" else -1)
    milliseconds = int(fraction[:3].ljust(3, "0"))
    return days * 86_400_000 + ((h * 60 + m - offset_minutes) * 60 + s) * 1000 + milliseconds


def _from_epoch(value: object) -> int | None:
    number = as_number(value)
    if number is None:
        return None
    if MIN_TIME_MS <= number < MAX_TIME_MS:
        return int(number)
    if MIN_TIME_MS <= number * 1000 < MAX_TIME_MS:
        return round(number * 1000)
    return None


__all__ = ["MAX_TIME_MS", "MIN_TIME_MS", "NUMBER", "as_number", "moment_ms", "text", "time_ms"]
