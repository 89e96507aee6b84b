"""Template filters of the console: percentages, numbers, amounts and times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from streams.rendering.formats import MISSING, amount_text


def short_percent(share: float | None, digits: int = 0) -> str:
    """Format a share in percent. A share above zero never becomes 0%.

    >>> short_percent(0.3456), short_percent(0.004), short_percent(None), short_percent(0.8, 1)
    ('35%', '0.4%', '–', '80.0%')
    """
    if share is None:
        return MISSING
    return f"{100 * share:.{digits if digits or share == 0 or share >= 0.0095 else 1}f}%"


def number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators; a dash for a missing one.

    >>> number(1234.5, 2), number(None)
    ('1,234.50', '–')
    """
    return MISSING if value is None else f"{value:,.{digits}f}"


def minute(ms: int | None) -> str:
    """Format epoch milliseconds to the minute.

    >>> minute(1_709_596_800_000), minute(None)
    ('2024-03-05 00:00 UTC', '–')
    """
    return MISSING if not ms else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(ms: int | None) -> str:
    """Format epoch milliseconds as a date in UTC.

    >>> day(1_709_596_800_000)
    '2024-03-05'
    """
    return minute(ms)[:10]


def age(seconds: float) -> str:
    """Format a duration in one unit.

    >>> age(5), age(125), age(7_300), age(200_000)
    ('5 s', '2 min', '2 h', '2 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def words(code: str) -> str:
    """Turn an identifier into words in sentence case.

    >>> words("late_evidence"), words("USAGE_DROP")
    ('Late evidence', 'Usage drop')
    """
    return code.replace("_", " ").capitalize()


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "percent": short_percent,
    "number": number,
    "amount": amount_text,
    "minute": minute,
    "day": day,
    "age": age,
    "words": words,
}
"""Filters by their name in templates."""
