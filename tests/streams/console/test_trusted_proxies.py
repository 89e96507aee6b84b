"""Headers of reverse proxies count only if the proxy is trusted, and are ignored by default."""

from __future__ import annotations

import doctest

import pytest

from streams.console import trusted_proxies
from streams.console.trusted_proxies import TrustedProxies
from streams.errors import SettingsError

HEADERS = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7", "X-Forwarded-Proto": "https"}


def test_headers_are_ignored_without_the_setting() -> None:
    proxies = TrustedProxies()
    assert proxies.client("127.0.0.1", HEADERS) == "127.0.0.1"
    assert not proxies.secure("127.0.0.1", HEADERS)


def test_client_cannot_forge_its_address() -> None:
    """Rule: of the forwarded addresses, only those count that trusted proxies appended."""
    proxies = TrustedProxies("127.0.0.1, 10.0.0.0/8, ::1")
    assert proxies.client("127.0.0.1", HEADERS) == "192.0.2.7"
    assert proxies.client("::1", {"X-Forwarded-For": "1.1.1.1, 192.0.2.7, 10.1.1.1"}) == "192.0.2.7"
    assert proxies.client("::ffff:10.0.0.1", HEADERS) == "192.0.2.7"
    assert proxies.client("192.0.2.1", HEADERS) == "192.0.2.1"
    assert proxies.client("127.0.0.1", {}) == "127.0.0.1"
    assert proxies.client("127.0.0.1", {"X-Forwarded-For": "10.0.0.1"}) == "10.0.0.1"
    assert proxies.client(None, HEADERS) == ""


@pytest.mark.parametrize(
    ("protocol", "secure"), [("https", True), ("http, HTTPS ", True), ("https, http", False), ("", False)]
)
def test_the_last_protocol_counts(protocol: str, secure: bool) -> None:
    assert TrustedProxies("10.0.0.1").secure("10.0.0.1", {"X-Forwarded-Proto": protocol}) is secure


@pytest.mark.parametrize("names", ["proxy.example", "10.0.0.0/99", "10.0.0.1;10.0.0.2"])
def test_names_that_are_no_addresses_are_refused(names: str) -> None:
    with pytest.raises(SettingsError, match="CHURN_CONSOLE_TRUSTED_PROXIES"):
        TrustedProxies(names)


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(trusted_proxies).failed == 0
