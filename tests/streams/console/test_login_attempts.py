"""Failed logins: limited per address and in total, logged without the token."""

from __future__ import annotations

import doctest
import logging

import pytest

from streams.console import login_attempts
from streams.console.login_attempts import IN_TOTAL, LIMITED, PER_ADDRESS, WINDOW_S, WRONG, LoginAttempts


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def fail(attempts: LoginAttempts, address: str, times: int) -> list[float]:
    """The waiting times that the attempts get."""
    waits = []
    for _ in range(times):
        waits.append(attempts.begin(address))
        if not waits[-1]:
            attempts.failed(address)
    return waits


def test_an_address_may_fail_ten_times_in_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    attempts = LoginAttempts(clock)
    with caplog.at_level(logging.WARNING):
        waits = fail(attempts, "192.0.2.7", PER_ADDRESS + 3)
    assert waits == [0.0] * PER_ADDRESS + [WINDOW_S] * 3
    assert (attempts.outcomes[WRONG], attempts.outcomes[LIMITED]) == (PER_ADDRESS, 3)
    assert "login failed from 192.0.2.7: wrong token (attempt 10 within 5 minutes)" in caplog.text
    assert "login refused from 192.0.2.7" in caplog.text
    assert fail(attempts, "192.0.2.8", 1) == [0.0]
    clock.now_s += WINDOW_S
    assert fail(attempts, "192.0.2.7", 1) == [0.0]


def test_simultaneous_attempts_count_before_their_result() -> None:
    attempts = LoginAttempts(Clock())
    assert [bool(attempts.begin("192.0.2.7")) for _ in range(12)] == [False] * PER_ADDRESS + [True] * 2


def test_all_addresses_together_are_limited() -> None:
    """Rule: many addresses do not help."""
    clock = Clock()
    attempts = LoginAttempts(clock)
    waits = [fail(attempts, f"192.0.{i // 250}.{i % 250}", 1)[0] for i in range(IN_TOTAL + 5)]
    assert [bool(wait) for wait in waits] == [False] * IN_TOTAL + [True] * 5
    clock.now_s += WINDOW_S
    assert fail(attempts, "192.0.2.1", 1) == [0.0]


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    attempts = LoginAttempts(Clock())
    waits = [fail(attempts, f"2001:db8::{i:x}", 1)[0] for i in range(PER_ADDRESS + 1)]
    assert [bool(wait) for wait in waits] == [False] * PER_ADDRESS + [True]


def test_success_forgives_the_failures_of_the_address() -> None:
    attempts = LoginAttempts(Clock())
    fail(attempts, "192.0.2.7", PER_ADDRESS - 1)
    assert attempts.begin("192.0.2.7") == 0.0
    attempts.succeeded("192.0.2.7")
    assert fail(attempts, "192.0.2.7", PER_ADDRESS) == [0.0] * PER_ADDRESS


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_attempts, "_ADDRESSES_MAX", 50)
    attempts = LoginAttempts(Clock())
    for i in range(500):
        attempts.begin(f"10.0.{i // 250}.{i % 250}")
    assert len(attempts._by_address) == 50
    assert len(attempts._all) == IN_TOTAL


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(login_attempts).failed == 0
