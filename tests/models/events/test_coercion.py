"""Tolerant readers of numbers, texts and times. Each docstring states the rule under test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from models.events.coercion import (
    MAX_TIME_MS,
    MIN_TIME_MS,
    as_number,
    moment_ms,
    text,
    time_ms,
)

ODD: list[Any] = [None, True, False, [], {}, [1], {"a": 1}, b"1", object(), float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (-0.5, -0.5), ("12.50", 12.5), (" 7 ", 7.0), ("-1e3", -1000.0), (".5", 0.5), ("5.", 5.0), ("+4", 4.0)],
)
def test_numbers_and_numeric_texts_are_read(value: Any, expected: float) -> None:
    """Rule: a JSON number and a numeric text are both read."""
    assert as_number(value) == expected
    assert type(as_number(value)) is float


@pytest.mark.parametrize(
    "value", [*ODD, "", " ", "nan", "inf", "-Infinity", "1_000", "1,5", "0x10", "١٢", "$5", "1e999", 10**400, "1" * 65]
)
def test_value_that_is_not_a_finite_number_is_missing(value: Any) -> None:
    """Rule: thousands separators, currency signs, non-ASCII digits and overflows read as missing."""
    assert as_number(value) is None


def test_texts_are_trimmed_and_never_cut() -> None:
    """Rule: a text is stripped; an empty one, and one above the limit in bytes, is missing."""
    assert text("  gold plan ", 9) == "gold plan"
    assert text("gold plan", 8) is None
    assert text("🌱" * 3, 12) == "🌱" * 3
    assert text("🌱" * 3, 11) is None
    assert text("x" * 256) == "x" * 256
    assert text("x" * 257) is None
    assert text(" \n\t", 9) is None
    assert text("x", 0) is None
    assert text(" " * 10_000 + "x", 9) is None


def test_numbers_are_read_as_texts() -> None:
    """Rule: a number is read as its text, since plans and ids are often numbers; a boolean or a list is missing."""
    assert (text(42, 9), text(-1, 9), text(2.0, 9), text(2.5, 9)) == ("42", "-1", "2", "2.5")
    for value in (*ODD, 10**400):
        assert text(value, 9) is None


def test_lone_surrogates_in_texts_are_replaced() -> None:
    """Rule: each text that a reader returns can be encoded in UTF-8."""
    assert text("a\ud800b", 9) == "a?b"


def test_times_are_read_as_epoch_milliseconds() -> None:
    """Rule: RFC 3339, dates, epoch seconds, epoch milliseconds and datetimes are read as epoch milliseconds."""
    moment = datetime(2025, 3, 10, 12, 0, 0, 250_999, tzinfo=UTC)
    expected = 1_741_608_000_250
    for value in (
        moment,
        moment.replace(tzinfo=None),
        moment.astimezone(timezone(timedelta(hours=-7))),
        "2025-03-10T12:00:00.250Z",
        " 2025-03-10T12:00:00.250Z ",
        "2025-03-10T12:00:00,25+00",
        expected,
        float(expected),
        expected / 1000,
        str(expected),
    ):
        assert time_ms(value) == expected, value


def test_unit_of_an_epoch_number_is_unambiguous() -> None:
    """Rule: 1990 to 2100 in seconds and in milliseconds do not overlap; other numbers are missing."""
    for moment in (MIN_TIME_MS, MAX_TIME_MS - 1000):
        assert time_ms(moment) == moment
        assert time_ms(moment // 1000) == moment
    for value in (MIN_TIME_MS - 1, MAX_TIME_MS, MIN_TIME_MS // 1000 - 1, MAX_TIME_MS // 1000, 0, -1, 1e300):
        assert time_ms(value) is None


@pytest.mark.parametrize("value", [*ODD, "", "soon", "2025-02-30", "1989-12-31", "2100-01-01", "2025-03-10T1:00Z"])
def test_value_that_is_not_a_time_is_missing(value: Any) -> None:
    """Rule: a time that does not exist or lies outside 1990 to 2100 reads as missing."""
    assert time_ms(value) is None


def test_moment_of_any_year_is_read_for_clamping() -> None:
    """Rule: `moment_ms` reads a year outside the range, so that a far future time can be clamped."""
    assert moment_ms("9999-12-31T23:59:60Z") == 253_402_300_800_000
    assert moment_ms("0001-01-01") == -62_135_596_800_000
