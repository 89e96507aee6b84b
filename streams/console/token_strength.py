"""Estimate how hard a login token is to guess. Tested by tests/streams/console/test_token_strength.py."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Final

# At the limit of 60 attempts a minute, 32 bits take 136 years. The estimate for 16 random hexadecimal digits, which
# have 64 bits, is lower than this once in 10,000 times.
MIN_BITS: Final = 32.0
# Texts that people type when they need a long password. Each counts as one character.
_COMMON: Final = (
    "password", "passwort", "changeme", "letmein", "welcome", "default", "example", "secret", "console", "signals",
    "churn", "admin", "token", "login", "test",
)  # fmt: skip
_ROWS: Final = ("abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_NEXT: Final = {pair for row in _ROWS for text in (row, row[::-1]) for pair in pairwise(text)}
_WORDS: Final = re.compile("|".join(_COMMON))
# A text of this length that occurred before is a repetition.
_REPEAT_CHARACTERS: Final = 3
# The first neighbours of a run may be chance: "ab" occurs in random tokens.
_RUN_CHARACTERS: Final = 2


def token_bits(token: str) -> float:
    """Estimate the entropy of a token, in bits.

    Counts log2 of the number of different characters for each character that does not follow from the ones before it:
    by repetition, by the order of the alphabet or the keyboard, or as part of a common word.

    >>> [round(token_bits(token)) for token in ("a" * 40, "passwordpassword", "1234567890123456", "0f9c2e5b7d1a8346")]
    [0, 6, 13, 64]
    """
    text = _WORDS.sub("\\0", token.lower())
    unpredictable, run = 0, 0
    for i, character in enumerate(text):
        follows = i > 0 and (character == text[i - 1] or (text[i - 1], character) in _NEXT)
        run = run + 1 if follows else 0
        start = i - _REPEAT_CHARACTERS + 1
        repeats = start > 0 and text[start : i + 1] in text[:i]
        unpredictable += not (run >= _RUN_CHARACTERS or repeats)
    return unpredictable * math.log2(max(len(set(token.lower())), 1))
