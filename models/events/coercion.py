"""Tolerant readers for values that other people's programs wrote: a number, money, a text, a moment, or nothing.

Every reader returns None for what it cannot use and never raises: a property of an odd type is a missing property,
not an error. The results are bounded, so that sums over them stay exact and small.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, DecimalException
from math import isfinite
from typing import Final

import msgspec

MIN_TIME_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z: customer logs worth replaying begin in the nineties; earlier is a unit or clock error.
It also keeps seconds and milliseconds apart: 2100 in seconds is far below 1990 in milliseconds."""

MAX_TIME_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00:00Z, exclusive: later is a unit error (microseconds) or a placeholder such as 9999-12-31."""

MAX_NUMBER_CHARS: Final = 64
"""A numeric string longer than this is not a quantity; bounds the work of parsing (a double needs 24)."""

MAX_MINOR_UNITS: Final = 10**15
"""Ten trillion in a currency of two decimals. A thousand of these still add up exactly in a signed 64-bit integer."""

CURRENCY_DECIMALS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Minor units of ISO 4217 (list one) where they are not two; every other currency, known or not, has two decimals."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_MOMENT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,18}))?)?"
    r" ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,  # what the strict parser refuses: dates, leap seconds, no seconds, a blank or hours alone as the offset
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()
_UNITS: Final = Decimal(1)


def as_number(value: object) -> float | None:
    """Read a finite number from a JSON number or a numeric string; a boolean is not a number.

    >>> as_number("12.50"), as_number(3), as_number(True), as_number("1_000"), as_number("nan"), as_number(10**400)
    (12.5, 3.0, None, None, None, None)
    """
    if type(value) is float:
        return value if isfinite(value) else None
    if isinstance(value, str):
        value = value.strip() if len(value) <= MAX_NUMBER_CHARS else ""
        if _NUMBER.fullmatch(value) is None:
            return None
    elif not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if isfinite(result) else None


def minor_units(amount: object, currency: object = None) -> int | None:
    """Convert an amount of money to the minor units of its currency, rounding half to even.

    The amount is taken as it is written: 1.005 is a thousand and five thousandths, not the double next to it.
    `currency` is an ISO 4217 code in any case; None or an unknown one counts two decimals.

    >>> minor_units(11.77, "USD"), minor_units(1.005), minor_units("1500", "jpy"), minor_units(1.2345, "KWD")
    (1177, 100, 1500, 1234)
    """
    decimals = 2
    if type(currency) is str and currency != "USD":
        decimals = CURRENCY_DECIMALS.get(
            currency if len(currency) == 3 and currency.isupper() else currency[:8].strip().upper(), 2
        )
    value = as_number(amount)
    if value is None:
        return None
    scaled = value * 10.0**decimals
    if not -MAX_MINOR_UNITS <= scaled <= MAX_MINOR_UNITS:
        return None
    if type(amount) is int:
        return amount * int(10**decimals)
    if type(amount) is float and -1e9 < scaled < 1e9:
        units = round(scaled)
        if -0.49 < scaled - units < 0.49:  # the error of the product is below 1e-6 here: no tie is near
            return units
    try:
        exact = Decimal(amount.strip() if isinstance(amount, str) else repr(amount)).scaleb(decimals)
        units = int(exact.quantize(_UNITS, rounding=ROUND_HALF_EVEN))
    except (DecimalException, ValueError, OverflowError):
        return None
    return units if -MAX_MINOR_UNITS <= units <= MAX_MINOR_UNITS else None


def text(value: object, limit: int) -> str | None:
    """Read a text without blanks around it, cut to `limit` characters; a number is written out, empty is None.

    >>> text("  gold ", 10), text(42, 10), text("premium", 4), text("", 4), text(False, 4), text([], 4)
    ('gold', '42', 'prem', None, None, None)
    """
    if isinstance(value, str):
        result = value[: 4 * limit + 64].strip()[:limit].rstrip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        figure = as_number(value)
        if figure is None or (isinstance(value, int) and value.bit_length() > 64):
            return None
        result = (str(value) if isinstance(value, int) or not figure.is_integer() else f"{figure:.0f}")[:limit]
    else:
        return None
    if not result.isascii():
        result = result.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate could not be written anywhere
    return result or None


def time_ms(value: object) -> int | None:
    """Read a moment as epoch milliseconds within MIN_TIME_MS..MAX_TIME_MS, by the rules of `moment_ms`.

    >>> time_ms("2013-03-10T00:00:00Z"), time_ms(1362873600), time_ms("1362873600000"), time_ms("9999-12-31")
    (1362873600000, 1362873600000, 1362873600000, None)
    """
    moment = moment_ms(value)
    return moment if moment is not None and MIN_TIME_MS <= moment < MAX_TIME_MS else None


def moment_ms(value: object) -> int | None:
    """Read an RFC 3339 text, a `datetime` or epoch seconds or milliseconds as epoch milliseconds, whatever the year.

    A text without an offset is UTC, a date is its first moment, a leap second is the second after, a fraction is cut
    to milliseconds. Epoch numbers tell their unit by their size, hence lie within 1990..2100.
    """
    if isinstance(value, datetime):
        return _of_datetime(value)
    if isinstance(value, str):
        value = value.strip() if len(value) <= MAX_NUMBER_CHARS else ""
        try:
            return _of_datetime(msgspec.convert(value, datetime))  # the same C parser that reads an event's timestamp
        except msgspec.ValidationError:
            if _MOMENT.match(value) is not None:
                return _of_text(value)
    return _of_epoch(value)


def _of_datetime(value: datetime) -> int:
    since = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _of_text(value: str) -> int | None:
    parts = _MOMENT.fullmatch(value)
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
    away = 0
    if offset[0] in "+-":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        if int(digits[:2]) > 23 or int(digits[2:]) > 59:
            return None
        away = (int(digits[:2]) * 60 + int(digits[2:])) * (1 if offset[0] == "+" else -1)
    milliseconds = int(fraction[:3].ljust(3, "0"))
    return days * 86_400_000 + ((h * 60 + m - away) * 60 + s) * 1000 + milliseconds


def _of_epoch(value: object) -> int | None:
    figure = as_number(value)
    if figure is None:
        return None
    if MIN_TIME_MS <= figure < MAX_TIME_MS:
        return int(figure)
    if MIN_TIME_MS <= figure * 1000 < MAX_TIME_MS:
        return round(figure * 1000)
    return None


__all__ = ["MAX_TIME_MS", "MIN_TIME_MS", "as_number", "minor_units", "moment_ms", "text", "time_ms"]
