"""Numbers as a person would write them: figures, counts with their noun, durations and percentages.

Tested by tests/models/explanations/test_reasons.py.
"""

from __future__ import annotations


def figure(value: float) -> str:
    """A number with two significant digits, or as a whole number from 10.

    >>> figure(11.04), figure(2.13), figure(3.0), figure(0.04), figure(1234.5)
    ('11', '2.1', '3', '0.04', '1,234')
    """
    size = abs(value)
    if size >= 9.95:
        return f"{value:,.0f}"
    if size >= 0.095 or not size:
        text = f"{value:.1f}"
        return text[:-2] if text[-1] == "0" else text
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "0") if size < 0.005 else f"{value:.2f}".rstrip("0")


def count(value: float, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> count(1.0, "day"), count(2.5, "day"), count(0.0, "ticket"), count(2.0, "reply", "replies")
    ('1 day', '2.5 days', '0 tickets', '2 replies')
    """
    text = figure(value)
    return f"{text} {one}" if text == "1" else f"{text} {many or one + 's'}"


def days(value: float) -> str:
    """A duration; in hours below a day.

    >>> days(11.2), days(1.0), days(0.5), days(0.02)
    ('11 days', '1 day', '12 hours', 'less than an hour')
    """
    if value >= 0.98:
        return count(value, "day")
    return count(round(value * 24), "hour") if value * 24 >= 0.5 else "less than an hour"


def hours(value: float) -> str:
    """A duration; in days from 48 hours.

    >>> hours(38.2), hours(391.0), hours(1.0)
    ('38 hours', '16 days', '1 hour')
    """
    return days(value / 24) if value >= 48 else count(value, "hour")


def every(value: float) -> str:
    """How often something happens, from the days between two times.

    >>> every(1.0), every(12.0), every(0.5)
    ('every day', 'every 12 days', 'every 12 hours')
    """
    text = days(value)
    return "every day" if text == "1 day" else f"every {text}" if value >= 1 / 24 else "several times an hour"


def percent(value: float) -> str:
    """A share; more than none is never 0%.

    >>> percent(0.404), percent(0.0), percent(0.004)
    ('40%', '0%', '<1%')
    """
    text = f"{100 * value:.0f}%"
    return "<1%" if text in ("0%", "-0%") and value > 0 else text.replace("-0%", "0%")
