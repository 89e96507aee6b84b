"""Read amounts of money with their currency, in the formats that shops, billing systems and trackers send.

An amount is stored in minor units of its currency, next to the currency's code: 1,500 JPY are 1500 minor units, 15 KWD
are 15000. `major_units` converts back. A currency that is not stated has the code "" and two decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, DecimalException
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

from models.events.amount_text import plain_number, split_amount
from models.events.coercion import NUMBER, as_number

MAX_MINOR_UNITS: Final = 10**15
"""Ten trillion in a currency with two decimals. A thousand such amounts still fit a signed 64-bit integer."""

CURRENCY_DECIMALS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""ISO 4217 (list one) currencies without exactly two decimals. Any other code, known or not, has two."""

_CODES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW "
    "KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD "
    "NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE "
    "SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED "
    "VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG ZWL"
)

ISO_4217: Final = frozenset(_CODES.split())
"""Codes of money in use. Any other code of three letters is a currency too, but not one of a country."""

CURRENCY_NAMES: Final = ("currency", "currency_code", "currencyCode", "currency_iso_code")
"""Properties that state the currency of the other properties, in this order."""

_SYMBOLS: Final[dict[str, tuple[str, ...]]] = {
    "€": ("EUR",), "EURO": ("EUR",), "EUROS": ("EUR",), "£": ("GBP",), "₹": ("INR",),
    "RS": ("INR", "PKR", "LKR", "NPR"),
    "₩": ("KRW",), "₽": ("RUB",), "₺": ("TRY",), "TL": ("TRY",), "₴": ("UAH",), "₫": ("VND",), "₪": ("ILS",),
    "₱": ("PHP",), "฿": ("THB",), "₦": ("NGN",), "₵": ("GHS",), "₸": ("KZT",), "₡": ("CRC",), "₲": ("PYG",),
    "ZŁ": ("PLN",), "KČ": ("CZK",), "FT": ("HUF",), "LEI": ("RON",), "ЛВ": ("BGN",), "R$": ("BRL",), "US$": ("USD",),
    "C$": ("CAD",), "CA$": ("CAD",), "A$": ("AUD",), "AU$": ("AUD",), "NZ$": ("NZD",), "HK$": ("HKD",),
    "S$": ("SGD",), "NT$": ("TWD",), "MX$": ("MXN",), "SFR": ("CHF",), "FR": ("CHF",),
    "$": ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "MXN", "CLP", "COP", "ARS", "UYU", "BSD", "BBD", "JMD"),
    "¥": ("JPY", "CNY"), "￥": ("JPY", "CNY"), "KR": ("SEK", "NOK", "DKK", "ISK"),
}  # fmt: skip
"""Symbols, in upper case, with the currencies that use them. One that several use does not state the currency."""

_MINOR_SUFFIXES: Final = ("_cents", "_in_cents", "_minor", "Cents", "InCents")
_MINOR_NAMES: Final = ("unit_amount", "unit_amount_decimal")
_OBJECT_MAJOR: Final = ("amount", "value")
_OBJECT_MINOR: Final = ("centAmount", "amount_cents", "amount_minor", "unit_amount")
_UNITS: Final = Decimal(1)


class Money(NamedTuple):
    """An amount in minor units of its currency; see the module."""

    amount: int
    currency: str
    """ISO 4217 code, "" if it is not stated."""


class Reading(NamedTuple):
    """What `read_money` found."""

    amount: int | None
    """Minor units of `currency`; None for no readable amount."""
    currency: str
    unreadable: str | None
    """The first property that is present and cannot be read."""


def exponent(code: str) -> int:
    """Return the decimals of a currency, two if the code is empty or unknown.

    >>> exponent("EUR"), exponent("JPY"), exponent("KWD"), exponent("")
    (2, 0, 3, 2)
    """
    return CURRENCY_DECIMALS.get(code, 2)


def major_units(amount: float, code: str) -> float:
    """Convert minor units to units of the currency.

    >>> major_units(4900, "EUR"), major_units(4900, "JPY"), major_units(4900, "KWD")
    (49.0, 4900.0, 4.9)
    """
    return amount / 10 ** CURRENCY_DECIMALS.get(code, 2)


def hundredths(amount: int, code: str) -> int:
    """Convert minor units to hundredths of a unit of the currency, rounding half to even.

    >>> hundredths(4900, "EUR"), hundredths(4900, "JPY"), hundredths(4905, "KWD")
    (4900, 490000, 490)
    """
    decimals = CURRENCY_DECIMALS.get(code, 2)
    return amount if decimals == 2 else round(amount * 100 / 10**decimals)


def round_major(amount: float, code: str) -> float:
    """Round an amount in units of the currency to its decimals.

    >>> round_major(49.126, "EUR"), round_major(4900.4, "JPY"), round_major(4.9004, "KWD")
    (49.13, 4900.0, 4.9)
    """
    return round(amount, CURRENCY_DECIMALS.get(code, 2))


def read_currency(value: object) -> str | None:
    """Read a currency as a code of three letters in upper case; "" if it is not stated, None if it is unreadable.

    A symbol that several currencies share ("$") is readable, but does not state the currency.

    >>> read_currency("eur"), read_currency(None), read_currency("€"), read_currency("$"), read_currency("credits")
    ('EUR', '', 'EUR', '', None)
    """
    if value is None:
        return ""
    return _code(value) if type(value) is str and len(value) <= 16 else None


@lru_cache(maxsize=512)
def _code(text: str) -> str | None:
    mark = text.strip().upper()
    if not mark:
        return ""
    candidates = _SYMBOLS.get(mark.rstrip("."))
    if candidates is not None:
        return candidates[0] if len(candidates) == 1 else ""
    return mark if len(mark) == 3 and mark.isascii() and mark.isalpha() else None


def minor_units(amount: object, currency: object = None) -> int | None:
    """Convert an amount of money to minor units of its currency, rounding half to even.

    Rounding uses the decimal text of the amount: 1.005 is exactly 1.005, not the nearest double.
    `currency` is an ISO 4217 code in any case. None or an unknown code means two decimals.

    >>> minor_units(11.77, "USD"), minor_units(1.005), minor_units("1500", "jpy"), minor_units(1.2345, "KWD")
    (1177, 100, 1500, 1234)
    >>> minor_units("1.234,50 €"), minor_units("(5.00)"), minor_units("1,234", "JPY"), minor_units("1,234")
    (123450, -500, 1234, None)
    """
    money = money_of(amount, read_currency(currency) or "")
    return None if money is None else money.amount


def money_of(value: object, code: str = "") -> Money | None:
    """Read an amount: a number, a text, or an object with its own currency. None if it cannot be read.

    Args:
        value: The amount as sent.
        code: The currency that other properties state. An amount that states another one cannot be read.

    >>> money_of("59,90 EUR"), money_of({"amount": "59.90", "currency": "EUR"}), money_of("$5", "EUR")
    (Money(amount=5990, currency='EUR'), Money(amount=5990, currency='EUR'), None)
    """
    if isinstance(value, str):
        return _from_text(value, code)
    if isinstance(value, dict):
        return _from_object(value, code)
    units = _scaled(value, CURRENCY_DECIMALS.get(code, 2))
    return None if units is None else Money(units, code)


def read_money(properties: Mapping[str, Any], names: tuple[str, ...]) -> Reading:
    """Read an amount from the first of several properties that is readable.

    A missing, null or empty property is absent. After `names`, their variants in minor units are read: `NAME_cents`,
    `NAME_in_cents`, `NAME_minor`, `NAMECents` and `NAMEInCents`, and beside `amount` Stripe's `unit_amount` and
    `unit_amount_decimal`.

    >>> read_money({"revenue": "N/A", "total": "59.90", "currency": "EUR"}, ("revenue", "total"))
    Reading(amount=5990, currency='EUR', unreadable='revenue')
    >>> read_money({"amount_cents": 4900, "currency": "jpy"}, ("amount",))
    Reading(amount=4900, currency='JPY', unreadable=None)
    """
    stated, stated_by = _stated_currency(properties)
    unreadable = None
    for name in names:
        value = properties.get(name)
        if value is None or value == "":
            continue
        if stated is None:
            return Reading(None, "", stated_by)
        money = money_of(value, stated)
        if money is not None:
            return Reading(*money, unreadable)
        unreadable = unreadable or name
    for name in _minor_names(names):
        value = properties.get(name)
        if value is None or value == "":
            continue
        if stated is None:
            return Reading(None, "", stated_by)
        units = _scaled(value, 0)
        if units is not None:
            return Reading(units, stated, unreadable)
        unreadable = unreadable or name
    return Reading(None, "", unreadable)


def _stated_currency(properties: Mapping[str, Any]) -> tuple[str | None, str]:
    """The code that the properties state, None if it is unreadable, and the name of the property."""
    for name in CURRENCY_NAMES:
        value = properties.get(name)
        if value is not None and value != "":
            return read_currency(value), name
    return "", ""


@lru_cache(maxsize=64)
def _minor_names(names: tuple[str, ...]) -> tuple[str, ...]:
    stripe = _MINOR_NAMES if "amount" in names else ()
    return (*(name + suffix for name in names for suffix in _MINOR_SUFFIXES), *stripe)


def _from_text(text: str, code: str) -> Money | None:
    found = split_amount(text)
    if found is None:
        return None
    for mark in found.marks:
        candidates = _SYMBOLS.get(mark) or ((mark,) if len(mark) == 3 and mark.isascii() and mark.isalpha() else None)
        if candidates is None or (code and code not in candidates):
            return None
        if len(candidates) == 1:
            code = candidates[0]
    decimals = CURRENCY_DECIMALS.get(code, 2)
    number = plain_number(found.number, decimals)
    units = None if number is None else _scaled(number, decimals)
    return None if units is None else Money(-units if found.negative else units, code)


def _from_object(value: dict[Any, Any], code: str) -> Money | None:
    inner = value.get("shop_money")  # Shopify's money in the currency of the shop, beside that of the customer
    if isinstance(inner, dict):
        value = inner
    stated, _ = _stated_currency(value)
    if stated is None or (stated and code and stated != code):
        return None
    code = stated or code
    for name in _OBJECT_MAJOR:
        amount = value.get(name)
        if amount is not None:
            return None if isinstance(amount, dict) else money_of(amount, code)
    for name in _OBJECT_MINOR:
        amount = value.get(name)
        if amount is not None:
            units = _scaled(amount, 0)
            return None if units is None else Money(units, code)
    return None


def _scaled(amount: object, decimals: int) -> int | None:
    """Scale a number by its decimals to an integer within `MAX_MINOR_UNITS`."""
    if type(amount) is str and NUMBER.fullmatch(amount.strip()) is None:
        return None
    value = as_number(amount)
    if value is None:
        return None
    scaled = value * 10.0**decimals
    if not -MAX_MINOR_UNITS <= scaled <= MAX_MINOR_UNITS or not isfinite(scaled):
        return None
    if type(amount) is int:
        return amount * int(10**decimals)
    if type(amount) is float and -1e9 < scaled < 1e9:
        units = round(scaled)
        if -0.49 < scaled - units < 0.49:  # the product's error is below 1e-6 here, so this is not a tie
            return units
    try:
        exact = Decimal(amount.strip() if isinstance(amount, str) else repr(amount)).scaleb(decimals)
        units = int(exact.quantize(_UNITS, rounding=ROUND_HALF_EVEN))
    except (DecimalException, ValueError, OverflowError):
        return None
    return units if -MAX_MINOR_UNITS <= units <= MAX_MINOR_UNITS else None


__all__ = [
    "CURRENCY_DECIMALS",
    "CURRENCY_NAMES",
    "ISO_4217",
    "MAX_MINOR_UNITS",
    "Money",
    "Reading",
    "exponent",
    "major_units",
    "minor_units",
    "money_of",
    "read_currency",
    "read_money",
    "round_major",
]
