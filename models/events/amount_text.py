"""Split the text of an amount into sign, number and currency marks, and read its separators.

Grouping and decimal separators differ by country. A text is read only where they are unambiguous: "1,234.56" and
"1.234,56" are, "1,234" is not. A single point is the decimal point, as in JSON and in every programming language.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from models.events.coercion import MAX_NUMBER_CHARS, NUMBER

_SPACES: Final = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ")
_MARK: Final = (
    r"[^\W\d_]{1,8}\.?|(?:[^\W\d_]{1,2})?[^\w\s.,'’()+\-−]"  # letters ("USD", "Rs.") or a symbol ("€", "US$")
)
_AMOUNT: Final = re.compile(
    rf"(?P<sign>[+\-−]?) *(?P<before>{_MARK})? *(?P<inner>[+\-−]?) *"
    r"(?P<number>[0-9](?:[0-9.,'’ ]*[0-9])?|[.,][0-9]+)\.?(?P<end>-?)"
    rf" *(?P<after>{_MARK})?"
)
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:[ '’.,][0-9]{2,3})*[ '’.,][0-9]{3}")  # two digits in India's grouping


class AmountText(NamedTuple):
    """The parts of an amount's text."""

    negative: bool
    number: str
    marks: tuple[str, ...]
    """Currency codes or symbols, in upper case."""


def split_amount(text: str) -> AmountText | None:
    """Split the text of an amount; None if it has another form.

    >>> split_amount("(€ 5,00)"), split_amount("5 to 6")
    (AmountText(negative=True, number='5,00', marks=('€',)), None)
    """
    if len(text) > MAX_NUMBER_CHARS:
        return None
    text = text.strip()
    if NUMBER.fullmatch(text) is not None:
        return AmountText(False, text, ())
    text = text.translate(_SPACES).strip()
    parenthesized = text[:1] == "(" and text[-1:] == ")"  # bookkeeping's minus
    if parenthesized:
        text = text[1:-1].strip()
    parts = _AMOUNT.fullmatch(text)
    if parts is None:
        return None
    signs = [sign for sign in parts.group("sign", "inner", "end") if sign]
    if len(signs) + parenthesized > 1:
        return None
    marks = tuple(mark.upper().rstrip(".") for mark in parts.group("before", "after") if mark)
    return AmountText(parenthesized or bool(signs and signs[0] != "+"), parts["number"], marks)


def plain_number(number: str, decimals: int) -> str | None:
    """Return a number with a decimal point and without grouping; None if its separators are ambiguous or misplaced.

    Args:
        number: As in `AmountText`.
        decimals: Of the currency. Without decimals, three digits after a comma are a group.

    >>> [plain_number(n, 2) for n in ("59,90", "1,234.56", "1.234,56", "1 234,5", "1,234,567", "1,234", "1.234")]
    ['59.90', '1234.56', '1234.56', '1234.5', '1234567', None, '1.234']
    """
    if NUMBER.fullmatch(number) is not None:
        return number
    last = max(number.rfind("."), number.rfind(","))
    if last < 0:
        return _ungrouped(number)
    mark = number[last]
    whole, fraction = number[:last], number[last + 1 :]
    grouped = any(separator in whole for separator in " '’.,")
    if mark in whole:  # the same mark twice: it groups
        other = "." if mark == "," else ","
        return None if other in number else _ungrouped(number)
    if not fraction.isdigit():
        return None
    if not grouped and mark == "," and len(fraction) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0":
        return whole + fraction if decimals == 0 else None
    whole_digits = _ungrouped(whole) if grouped else whole
    return None if whole_digits is None else f"{whole_digits or '0'}.{fraction}"


def _ungrouped(number: str) -> str | None:
    """Remove one kind of grouping separator."""
    separators = {char for char in number if not char.isdigit()}
    if not separators:
        return number
    if len(separators) > 1 or _GROUPED.fullmatch(number) is None:
        return None
    return "".join(char for char in number if char.isdigit())
