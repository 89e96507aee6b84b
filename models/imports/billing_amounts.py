"""Convert the amounts of billing systems: minor units to units of the currency, and prices to a month."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import Final

from models.events.money import exponent
from models.imports.source import Row

MONTHS_OF: Final[Mapping[str, Decimal]] = {
    "day": Decimal(12) / Decimal(365),
    "week": Decimal(12) / Decimal(52),
    "month": Decimal(1),
    "year": Decimal(12),
}
"""Billing interval to months. A year has 52 weeks, as in the MRR of billing systems."""


def code_of(currency: object) -> str | None:
    """Return a currency code in upper case, None for anything else.

    >>> code_of("eur"), code_of(None)
    ('EUR', None)
    """
    return currency.upper() if isinstance(currency, str) and len(currency) == 3 and currency.isalpha() else None


def major_amount(minor: object, currency: object, exponents: Mapping[str, int] | None = None) -> float | int | None:
    """Convert minor units to units of the currency by its ISO 4217 exponent; two decimals for an unknown one.

    Args:
        minor: A number, or a decimal in a text.
        currency: Its code in any case.
        exponents: Deviations of the sender from ISO 4217.

    >>> major_amount(4900, "eur"), major_amount(4900, "jpy"), major_amount("4900", "KWD"), major_amount(None, "EUR")
    (49.0, 4900, 4.9, None)
    """
    amount = decimal_of(minor)
    if amount is None:
        return None
    code = code_of(currency) or ""
    decimals = exponent(code)
    amount = amount.scaleb(-(exponents or {}).get(code, decimals))
    return round(float(amount), decimals) if decimals else round(amount)


def decimal_of(value: object) -> Decimal | None:
    """Read a number exactly, None for anything else.

    >>> decimal_of("12.5"), decimal_of(True), decimal_of("many")
    (Decimal('12.5'), None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except DecimalException:
        return None
    return number if number.is_finite() and abs(number) < 10**18 else None


def monthly(minor: Decimal, interval: object, count: object) -> Decimal | None:
    """Convert a price to a month, None for an unknown interval.

    >>> monthly(Decimal(12000), "year", 1), monthly(Decimal(3000), "month", 3), monthly(Decimal(1), "fortnight", 1)
    (Decimal('1000'), Decimal('1000'), None)
    """
    months = MONTHS_OF.get(interval) if isinstance(interval, str) else None
    periods = decimal_of(1 if count is None else count)
    if months is None or periods is None or periods <= 0:
        return None
    return minor / (months * periods)


def card_expiry(card: Row) -> str | None:
    """Return the first day after the month in which a card expires, from `exp_month` or `expiry_month`.

    >>> card_expiry({"exp_month": 12, "exp_year": 2027}), card_expiry({"last4": "4242"})
    ('2028-01-01', None)
    """
    month, year = (card.get(f"exp_{part}", card.get(f"expiry_{part}")) for part in ("month", "year"))
    if type(month) is not int or type(year) is not int or not 1 <= month <= 12 or not 1990 <= year < 2099:
        return None
    return f"{year + month // 12}-{month % 12 + 1:02d}-01"


__all__ = ["MONTHS_OF", "card_expiry", "code_of", "decimal_of", "major_amount", "monthly"]
