"""Read the properties of an event in the formats that real systems send.

A reader returns None for a value that it cannot use, and never a nearby value: a number outside its scale is missing,
and an identifier that is too long is missing, not cut. `first_readable` applies a reader to several names of one
property and notes every unreadable one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from models.events.coercion import MAX_TEXT_BYTES, as_number, text, time_ms
from models.events.unreadable import unreadable

if TYPE_CHECKING:
    from models.events.event import Event

TEXTS_MAX: Final = 256
"""Items that are read of a list. A longer list is read up to here; its items are tags, not identifiers."""

MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0

T = TypeVar("T")

_TRUE: Final = frozenset(("true", "t", "yes", "y", "on", "1"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "off", "0"))
_SEPARATORS: Final = re.compile(r"[,;|]")
_UNIT_S: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), MINUTE_S),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), HOUR_S),
    **dict.fromkeys(("d", "day", "days"), DAY_S),
}
_WITH_UNIT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{1,12})", re.ASCII)
_CLOCK: Final = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{2})(\.[0-9]{1,9})?", re.ASCII)
_ISO_8601: Final = re.compile(
    r"P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)S)?)?", re.ASCII
)
_MONTH: Final = re.compile(r"(?:([0-9]{1,2}) ?[/-] ?(?:20)?([0-9]{2})|20([0-9]{2})-([0-9]{2}))", re.ASCII)
_SCALE: Final = re.compile(r"(?:[0-9]{1,3} ?(?:-|\u2013|to|\.\.) ?)?([0-9]{1,4}(?:\.[0-9]{1,3})?)", re.ASCII)
_OF_SCALE: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,9})?) ?(?:/|of|out of) ?([0-9]{1,4})", re.ASCII)


def first_readable(
    event: Event,
    names: Sequence[str],
    read: Callable[[Any], T | None],
    values: Mapping[str, Any] | None = None,
    place: str = "",
) -> T | None:
    """Read the first readable of several names of one property, and note each one before it that is unreadable.

    Null and a blank text state no value; they are absent, not unreadable.

    Args:
        event: The event.
        names: The names of the property.
        read: The reader; None stands for an unreadable value.
        values: The values by name; None for the properties of the event.
        place: Where the values stand, before their names in a note.

    >>> from models.events.event import decode
    >>> event = decode(b'{"type":"page","userId":7,"timestamp":1741599000,"properties":{"a":"n/a","b":"2"}}', [], None)
    >>> first_readable(event, ("a", "b"), as_number), event.unreadable
    (2.0, ['a'])
    """
    if values is None:
        values = event.properties
    for name in names:
        value = values.get(name)
        if value is None:
            continue
        found = read(value)
        if found is not None:
            return found
        if not is_blank(value):
            unreadable(event, place + name)
    return None


def is_blank(value: object) -> bool:
    """Check whether a value states nothing: an empty text, or one of spaces only."""
    return isinstance(value, str) and not value.strip()


def read_identifier(value: object) -> str | None:
    """Read an identifier exactly as sent: a number, or a text of up to 256 bytes that is not blank.

    >>> [read_identifier(value) for value in ("acme ", 42, " ", "x" * 257, True)]
    ['acme ', '42', None, None, None]
    """
    if isinstance(value, str):
        if is_blank(value) or len(value) > MAX_TEXT_BYTES:
            return None
        return value if value.isascii() or len(value.encode("utf-8", "surrogatepass")) <= MAX_TEXT_BYTES else None
    return text(value)


def boolean(value: object) -> bool | None:
    """Read a boolean, also as 1 or 0, or as a word in any case.

    >>> boolean(True), boolean("FALSE"), boolean(1), boolean("yes"), boolean("maybe"), boolean(2), boolean([])
    (True, False, True, True, None, None, None)
    """
    if value.__class__ is bool:
        return bool(value)
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if isinstance(value, str) and len(value) <= 16:
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return None


def texts(value: object) -> list[str] | None:
    """Read a list of texts, also as one text with commas, semicolons or bars, or as objects with a name.

    >>> texts(["a", 3, {"name": "b"}]), texts("a, b;c"), texts("too expensive"), texts(7), texts({})
    (['a', 'b'], ['a', 'b', 'c'], ['too expensive'], None, None)
    """
    if isinstance(value, dict):  # Intercom: {"type": "tag.list", "tags": [...]}
        value = value.get("tags")
    if isinstance(value, str):
        return [part.strip() for part in _SEPARATORS.split(value[: TEXTS_MAX * 64]) if part.strip()]
    if not isinstance(value, list):
        return None
    found = [item.get("name") if isinstance(item, dict) else item for item in value[:TEXTS_MAX]]
    return [item.strip() for item in found if isinstance(item, str) and item.strip()]


def seconds(value: object) -> float | None:
    """Read a duration: seconds as a number, a number with its unit, hours:minutes:seconds, or ISO 8601.

    >>> seconds(90), seconds("90"), seconds("1.5 min"), seconds("250ms"), seconds("1:02:03"), seconds("PT1M30S")
    (90.0, 90.0, 90.0, 0.25, 3723.0, 90.0)
    >>> seconds(-1), seconds("soon"), seconds("P"), seconds(True)
    (None, None, None, None)
    """
    number = as_number(value)
    if number is not None:
        return number if number >= 0 else None
    if not isinstance(value, str) or len(value) > 40:
        return None
    word = value.strip()
    if (parts := _WITH_UNIT.fullmatch(word)) is not None:
        unit = _UNIT_S.get(parts[2].lower())
        return None if unit is None else float(parts[1]) * unit
    if (parts := _CLOCK.fullmatch(word)) is not None:
        hours, minutes, rest, fraction = parts.groups(default="0")
        return int(hours) * HOUR_S + int(minutes) * MINUTE_S + int(rest) + float(fraction)
    if len(word) > 2 and (parts := _ISO_8601.fullmatch(word)) is not None:
        amounts = map(float, parts.groups(default="0"))
        return sum(amount * unit for amount, unit in zip(amounts, (DAY_S, HOUR_S, MINUTE_S, 1.0), strict=True))
    return None


def seconds_in(unit_s: float) -> Callable[[Any], float | None]:
    """Return a reader of durations whose bare numbers have this unit.

    >>> seconds_in(MINUTE_S)(1.5), seconds_in(0.001)("1500"), seconds_in(0.001)("2 s")
    (90.0, 1.5, 2.0)
    """

    def read(value: object) -> float | None:
        found = seconds(value)
        return found if found is None or as_number(value) is None else found * unit_s

    return read


def first_duration(event: Event, units: Mapping[str, float], longest_s: float) -> float | None:
    """Read the first readable of several durations, in seconds. One above `longest_s` is unreadable.

    Args:
        event: The event.
        units: The unit of each property's bare number, in seconds.
        longest_s: The longest duration that there can be.
    """
    for name, unit_s in units.items():
        found = first_readable(event, (name,), seconds_in(unit_s))
        if found is not None:
            if found <= longest_s:
                return found
            unreadable(event, name)
    return None


def card_expiry_ms(value: object) -> int | None:
    """Read when a card expires: a time, or a month, at the end of which it expires.

    >>> card_expiry_ms("08/27") == card_expiry_ms("2027-08") == time_ms("2027-09-01")
    True
    >>> card_expiry_ms("2025-02-28") == time_ms("2025-02-28"), card_expiry_ms("13/27")
    (True, None)
    """
    if isinstance(value, str) and len(value) <= 10 and (parts := _MONTH.fullmatch(value.strip())) is not None:
        month, year, other_year, other_month = parts.groups()
        return end_of_month_ms(int(month or other_month), 2000 + int(year or other_year))
    return time_ms(value)


def end_of_month_ms(month: object, year: object) -> int | None:
    """Return the end of a month; a year of two digits is in this century.

    >>> end_of_month_ms(12, 2027) == time_ms("2028-01-01"), end_of_month_ms("8", "27") == time_ms("2027-09-01")
    (True, True)
    """
    months, years = as_number(month), as_number(year)
    if months is None or years is None or not 1 <= months <= 12 or not 0 <= years < 2100:
        return None
    count = int(months) + 12 * int(years if years >= 100 else years + 2000)  # that of the month after it, from 0
    return time_ms(f"{count // 12:04d}-{count % 12 + 1:02d}-01")


def scale_max(value: object) -> float | None:
    """Read the best score of a scale: a positive number, or the end of a range.

    >>> scale_max(10), scale_max("1-5"), scale_max("0 to 100"), scale_max(0), scale_max("five")
    (10.0, 5.0, 100.0, None, None)
    """
    number = as_number(value)
    if number is None and isinstance(value, str) and (parts := _SCALE.fullmatch(value.strip()[:24])) is not None:
        number = float(parts[1])
    return number if number is not None and number > 0 else None


def score_and_scale(value: object) -> tuple[float, float | None] | None:
    """Read a score that is not negative, with its scale if it states one.

    >>> score_and_scale(4), score_and_scale("9/10"), score_and_scale("4 of 5"), score_and_scale("-1")
    ((4.0, None), (9.0, 10.0), (4.0, 5.0), None)
    """
    number = as_number(value)
    if number is not None:
        return (number, None) if number >= 0 else None
    if isinstance(value, str) and (parts := _OF_SCALE.fullmatch(value.strip()[:24])) is not None:
        return float(parts[1]), float(parts[2])
    return None


__all__ = [
    "DAY_S",
    "HOUR_S",
    "MINUTE_S",
    "TEXTS_MAX",
    "boolean",
    "card_expiry_ms",
    "end_of_month_ms",
    "first_duration",
    "first_readable",
    "is_blank",
    "read_identifier",
    "scale_max",
    "score_and_scale",
    "seconds",
    "seconds_in",
    "texts",
]
