"""Tokens that are easy to guess are refused, random ones are not."""

from __future__ import annotations

import doctest
import random
import secrets

import pytest

from streams.console import token_strength
from streams.console.security import ConsoleSecurity
from streams.console.token_strength import MIN_BITS, token_bits
from streams.errors import SettingsError


@pytest.mark.parametrize(
    "token",
    [
        "a" * 16, "t" * 64, "abababababababab", "abcabcabcabcabcabc", "1234567890123456", "0987654321098765",
        "abcdefghijklmnop", "qwertyuiopasdfgh", "passwordpassword", "changeme-changeme", "churn-signals-console",
        "adminadminadmin1", "0000000000000001", "111122223333444455556666", "letmeinletmein!!", " " * 20,
        "password12345678",
    ],
)  # fmt: skip
def test_token_that_is_easy_to_guess_is_refused_in_one_sentence(token: str) -> None:
    with pytest.raises(SettingsError, match="CHURN_CONSOLE_TOKEN is too easy to guess") as refused:
        ConsoleSecurity("127.0.0.1", token)
    assert "\n" not in str(refused.value)
    assert token not in str(refused.value)


def test_random_tokens_are_accepted() -> None:
    """Rule: the outputs of the documented commands, and 20 random letters."""
    rng = random.Random(1)
    for _ in range(300):
        for token in (
            secrets.token_hex(16),
            secrets.token_urlsafe(16),
            "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20)),
        ):
            assert token_bits(token) >= MIN_BITS, token


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(token_strength).failed == 0
