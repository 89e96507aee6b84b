"""Format percentages, amounts, dates and times for people."""

from __future__ import annotations

from models.duration import DAY_MS, rfc3339
from models.events.money import exponent

MISSING = "–"


def probability_text(probability: float) -> str:
    """Format a probability in percent with the digits that matter. Never shows 0% or 100%.

    >>> [probability_text(p) for p in (0.7234, 0.034, 0.0004, 0.9996, 0.9961)]
    ['72%', '3.4%', '<0.1%', '>99.9%', '99.6%']
    """
    return f"{_points(probability)}%"


def interval_text(low: float, high: float) -> str:
    """Format an interval of probabilities in percent.

    >>> interval_text(0.21, 0.57), interval_text(0.004, 0.034)
    ('21-57%', '0.4-3.4%')
    """
    return f"{_points(low)}-{_points(high)}%"


def risk_text(probability: float, horizon_days: float) -> str:
    """Format a churn probability with its horizon.

    >>> risk_text(0.37, 30.0)
    '37% churn risk within 30 days'
    """
    return f"{probability_text(probability)} churn risk within {horizon_days:g} days"


def _points(probability: float) -> str:
    points = 100 * probability
    if points < 0.1:
        return "<0.1"
    if points > 99.9:
        return ">99.9"
    return f"{points:.0f}" if 10 <= points <= 99 else f"{points:.1f}"


def percent_text(share: float | None, digits: int = 1) -> str:
    """Format a share in percent with a fixed number of digits, or a dash if it is undefined.

    >>> percent_text(0.071), percent_text(0.5, 0), percent_text(None)
    ('7.1%', '50%', '–')
    """
    return MISSING if share is None else f"{share:.{digits}%}"


_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}


def amount_text(amount: float | None, currency: str | None = None, digits: int | None = None) -> str:
    """Format an amount of money with its currency, and with the decimals of that currency.

    Args:
        amount: In units of the currency; None for unknown.
        currency: ISO 4217 code; None or empty if events do not state one.
        digits: Fewer decimals, for large amounts.

    >>> amount_text(1234.5), amount_text(1234.5, "USD"), amount_text(4900, "JPY"), amount_text(15, "KWD")
    ('1,234.50', '$1,234.50', '¥4,900', '15.000 KWD')
    >>> amount_text(None, "EUR"), amount_text(-5, "EUR", 0)
    ('–', '-€5')
    """
    if amount is None:
        return MISSING
    decimals = exponent(currency or "")
    text = f"{abs(amount):,.{decimals if digits is None else min(digits, decimals)}f}"
    symbol = _SYMBOLS.get(currency or "")
    sign = "-" if amount < 0 else ""
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency}" if currency else f"{sign}{text}"


def count_text(count: int, singular: str) -> str:
    """Format a count with its noun.

    >>> count_text(1, "day"), count_text(1204, "event")
    ('1 day', '1,204 events')
    """
    return f"{count:,} {singular}{'' if count == 1 else 's'}"


def minute_text(time: str) -> str:
    """Format an RFC 3339 time in UTC to the minute.

    >>> minute_text("2024-03-05T12:34:56.789Z")
    '2024-03-05 12:34 UTC'
    """
    return f"{time[:16].replace('T', ' ')} UTC"


def date_text(day: int) -> str:
    """Format a day since 1970-01-01 as a date.

    >>> date_text(0)
    '1970-01-01'
    """
    return rfc3339(day * DAY_MS)[:10]
