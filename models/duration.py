"""Parse and format durations of settings files ("30d", "12h", "90m", "2w"), and format times as RFC 3339."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
# Ten years: longer than any churn horizon, and sums with epoch milliseconds stay far below 64 bits.
LONGEST_MS = 3_660 * DAY_MS

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Parse a whole number with a unit (s, m, h, d, w) to milliseconds. Raises ValueError for anything else.

    >>> parse_duration("30d") == 30 * DAY_MS, parse_duration("90m")
    (True, 5400000)
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("write a whole number and one of the units s, m, h, d, w, such as 30d")
    span_ms = int(match[1]) * UNITS_MS[match[2]]
    if span_ms > LONGEST_MS:
        raise ValueError(f"the longest allowed is {format_duration(LONGEST_MS)}")
    return span_ms


def format_duration(span_ms: int) -> str:
    """Format in the largest unit that is exact: days, hours, minutes or seconds. Raises ValueError for a fraction.

    >>> format_duration(14 * DAY_MS), format_duration(36 * HOUR_MS), format_duration(0)
    ('14d', '36h', '0d')
    """
    for unit in "dhms":
        if span_ms % UNITS_MS[unit] == 0:
            return f"{span_ms // UNITS_MS[unit]}{unit}"
    raise ValueError(f"{span_ms} ms is not a whole number of seconds")


def rfc3339(time_ms: int) -> str:
    """Format a time in UTC as RFC 3339, with milliseconds only if they are not 0.

    >>> rfc3339(1_390_694_400_000), rfc3339(-1)
    ('2014-01-26T00:00:00Z', '1969-12-31T23:59:59.999Z')
    """
    day, of_day = divmod(time_ms, DAY_MS)
    seconds, ms = divmod(of_day, SECOND_MS)
    minutes, second = divmod(seconds, 60)
    fraction = f".{ms:03d}" if ms else ""
    return f"{_date(day)}T{_MINUTES[minutes]}:{_TENS[second]}{fraction}Z"


_TENS = [f"{number:02d}" for number in range(60)]
_MINUTES = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60)]


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    """Cached, because most times in a report fall on a few days."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
