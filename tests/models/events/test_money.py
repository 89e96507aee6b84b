"""Amounts of money: currencies, formats and rounding. Each docstring states the rule under test."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from models.events.money import (
    MAX_MINOR_UNITS,
    Money,
    exponent,
    major_units,
    minor_units,
    money_of,
    read_currency,
    read_money,
)
from tests.models.events.test_coercion import ODD


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        (11.77, "USD", 1177),
        (19, "EUR", 1900),
        ("29.90", "eur", 2990),
        (-5.25, "GBP", -525),
        (1500, "JPY", 1500),
        (1500.4, "JPY", 1500),
        ("50000", "krw", 50000),
        (1.2345, "KWD", 1234),
        (1.2355, "BHD", 1236),
        (2.5, "CLF", 25000),
        (3.5, None, 350),
        (3.5, "", 350),
        (3.5, 978, 350),
        (3.5, "XYZ", 350),
        (3.5, " jpy ", 4),
        (0, "USD", 0),
        (-0.0, "USD", 0),
        (0.1 + 0.2, "USD", 30),
    ],
)
def test_money_is_read_in_the_minor_units_of_its_currency(amount: Any, currency: Any, units: int) -> None:
    """Rule: ISO 4217 defines the decimals of a currency; an unknown currency has two."""
    assert minor_units(amount, currency) == units


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (0.005, 0),
        (0.015, 2),
        (0.025, 2),
        (1.005, 100),
        (0.285, 28),
        (0.575, 58),
        (2.675, 268),
        ("1.005", 100),
        (-0.015, -2),
    ],
)
def test_half_a_minor_unit_rounds_to_even(amount: Any, units: int) -> None:
    """Rule: ties are ties of the decimal text, not of the nearest double, and round to even."""
    assert minor_units(amount) == units


def test_money_is_bounded() -> None:
    """Rule: an amount above ten trillion is missing, so sums fit 64 bits."""
    assert minor_units(MAX_MINOR_UNITS // 100) == MAX_MINOR_UNITS
    assert minor_units(-MAX_MINOR_UNITS // 100) == -MAX_MINOR_UNITS
    assert minor_units(MAX_MINOR_UNITS // 100 + 1) is None
    assert minor_units(MAX_MINOR_UNITS // 100 + 1, "JPY") == MAX_MINOR_UNITS // 100 + 1
    assert minor_units(f"{MAX_MINOR_UNITS // 100}.01") is None
    assert minor_units("1e-300") == 0
    for value in (*ODD, 1e300, "1e300", 10**50, "free"):
        assert minor_units(value, "USD") is None


def test_money_agrees_with_exact_decimal_arithmetic() -> None:
    """Rule: the float path to minor units equals decimal arithmetic, for each price up to 10.000 in mills."""
    for mills in range(10_001):
        assert minor_units(mills / 1000) == round(Decimal(mills) / 10)


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("59,90", "EUR", 5990),
        ("1,234.56", "USD", 123456),
        ("1.234,56", "EUR", 123456),
        ("1 234,56", "EUR", 123456),
        ("1\u202f234,56 €", None, 123456),
        ("1'234.50", "CHF", 123450),
        ("1,23,456.70", "INR", 12345670),
        ("1,234,567", "USD", 123456700),
        ("$59.90", "USD", 5990),
        ("US$59.90", None, 5990),
        ("59.90 USD", "USD", 5990),
        ("EUR 59,90", "EUR", 5990),
        ("€ 59,90", None, 5990),
        ("Rs. 500", "INR", 50000),
        ("kr 99,50", "SEK", 9950),
        ("(5.00)", "USD", -500),
        ("-$5.00", "USD", -500),
        ("$-5.00", "USD", -500),
        ("5.00-", "EUR", -500),
        ("\u22125,00", "EUR", -500),
        ("¥4,900", "JPY", 4900),
        ("0,500", "EUR", 50),
        ("1234,567", "EUR", 123457),
        ("15.250", "KWD", 15250),
        ("1,234.567", "KWD", 1234567),
        ({"amount": "59.90", "currency": "EUR"}, None, 5990),
        ({"value": 59.9}, "EUR", 5990),
        ({"amount": 4900, "currency_code": "JPY"}, None, 4900),
        ({"centAmount": 4200, "currencyCode": "EUR", "fractionDigits": 2}, None, 4200),
        ({"shop_money": {"amount": "11.50", "currency_code": "USD"}, "presentment_money": {"amount": "9"}}, None, 1150),
    ],
)
def test_formats_of_real_systems_are_read(amount: Any, currency: Any, units: int) -> None:
    """Rule: separators of each country, signs, codes, symbols and objects are read where they are unambiguous."""
    assert minor_units(amount, currency) == units


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("1,234", "USD"),
        ("1,234", None),
        ("15,250", "KWD"),
        ("12,34,5", "USD"),
        ("1.234.56", "USD"),
        ("1,234,56", "USD"),
        ("1.234,56,7", "EUR"),
        ("59.90 USD", "EUR"),
        ("€ 5", "USD"),
        ("$5", "EUR"),
        ("5 pieces", "EUR"),
        ("N/A", "EUR"),
        ("--5", "EUR"),
        ("(-5)", "EUR"),
        ("undefined", "EUR"),
        ("about 5", "EUR"),
        ("5 to 6", "EUR"),
        ({"amount": "5", "currency": "USD"}, "EUR"),
        ({"amount": {"amount": 5}}, "EUR"),
        ({"amount": True}, "EUR"),
        ({}, "EUR"),
    ],
)
def test_ambiguous_and_contradictory_amounts_are_missing(amount: Any, currency: Any) -> None:
    """Rule: no guess. A group of three digits after one comma may be thousands; two currencies contradict."""
    assert minor_units(amount, currency) is None


def test_currency_is_stated_by_code_or_symbol() -> None:
    """Rule: a shared symbol is no error, but states no currency. Anything else is unreadable."""
    found = [read_currency(value) for value in ("EUR", " jpy ", "€", "£", "US$", "$", "", None)]
    assert found == ["EUR", "JPY", "EUR", "GBP", "USD", "", "", ""]
    assert [read_currency(value) for value in ("points", 978, ["EUR"], "E1R", "x" * 99)] == [None] * 5


def test_first_readable_property_decides() -> None:
    """Rule: an empty property is absent, an unreadable one is reported, and the next one is read."""
    names = "revenue", "total"
    assert read_money({"revenue": "", "total": "59.90", "currency": "EUR"}, names) == (5990, "EUR", None)
    assert read_money({"revenue": "N/A", "total": 59.9, "currency": "EUR"}, names) == (5990, "EUR", "revenue")
    assert read_money({"revenue": "N/A"}, names) == (None, "", "revenue")
    assert read_money({"revenue": 0, "total": 5}, names) == (0, "", None)
    assert read_money({"revenue": 5, "currency": "points"}, names) == (None, "", "currency")
    assert read_money({"currency": "points"}, names) == (None, "", None)


@pytest.mark.parametrize("name", ["amount_cents", "amount_in_cents", "amount_minor", "amountCents", "unit_amount"])
def test_integers_in_minor_units_are_read_under_their_names_only(name: str) -> None:
    """Rule: Stripe sends 4900 for 49.00 EUR and for 4,900 JPY; `amount` itself is in units of the currency."""
    assert read_money({name: 4900, "currency": "eur"}, ("amount",)) == (4900, "EUR", None)
    assert read_money({name: 4900, "currency": "jpy"}, ("amount",)) == (4900, "JPY", None)
    assert read_money({"amount": 4900, "currency": "eur"}, ("amount",)) == (490000, "EUR", None)


def test_amounts_are_converted_back_by_the_decimals_of_their_currency() -> None:
    """Rule: reading and converting back gives the amount that was sent, in each currency."""
    for code in ("EUR", "JPY", "KWD", "CLF", "", "XYZ"):
        money = money_of("4900", code)
        assert money == Money(4900 * 10 ** exponent(code), code)
        assert major_units(money.amount, code) == 4900.0
