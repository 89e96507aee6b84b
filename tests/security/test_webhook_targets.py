"""Claim 11: webhooks reach no private address unless a route allows it."""

from __future__ import annotations

import asyncio
import doctest
import socket
from typing import Any

import pytest

from streams.notify import target
from streams.notify.routes import parse_routes
from tests.streams.notify.receiver import Receiver, delivering, records

ROUTE = '[routes.desk]\nurl = "https://desk.example.com/"\nunsigned = true\n'


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(target).failed == 0


@pytest.fixture
def resolves_to(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Answers of a name server that someone else runs."""
    answers: dict[str, list[str]] = {}
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in answers:
            return system(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


def deliver(host: str, **route: Any) -> tuple[int, list[bytes]]:
    """Deliver an event to a receiver on loopback under a name; returns its requests and the dead letters' messages."""

    async def body() -> tuple[int, list[bytes]]:
        async with Receiver(lambda request, count: 200).listening() as receiver:
            url = receiver.url.replace("127.0.0.1", host)
            async with delivering(url, **route) as (delivery, letters):
                assert await delivery.deliver(records("c-1")[0])
                return len(receiver.requests), [dict(letter.headers)["__streams.errors.message"] for letter in letters]

    return asyncio.run(body())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "hook.example"])
def test_loopback_receives_nothing_by_default(
    host: str, resolves_to: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: the address counts, not how it is written. The dead letter names the setting; the log names the route once,
    and not the receiver, which may be a secret."""
    resolves_to["hook.example"] = ["127.0.0.1"]
    requests, letters = deliver(host, allow_private=False)
    assert requests == 0
    [message] = letters
    assert b"set allow_private in the route" in message
    warnings = [record.getMessage() for record in caplog.records if "allow_private" in record.getMessage()]
    assert len(warnings) == 1
    assert "routes.desk" in warnings[0]
    assert host not in warnings[0]


def test_every_address_of_a_name_is_checked_when_it_is_connected_to(
    resolves_to: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setup: the first address counts as public, and nothing listens there. Rule: the second one is not tried."""
    monkeypatch.setattr(target, "is_public", lambda address: address == "127.0.0.2")
    resolves_to["hook.example"] = ["127.0.0.2", "127.0.0.1"]
    requests, letters = deliver("hook.example", allow_private=False)
    assert (requests, len(letters)) == (0, 1)


def test_route_can_allow_private_addresses(resolves_to: dict[str, list[str]]) -> None:
    resolves_to["hook.example"] = ["127.0.0.1"]
    assert deliver("hook.example", allow_private=True) == (1, [])
    assert [parse_routes(text, {})[0].allow_private for text in (ROUTE, ROUTE + "allow_private = true\n")] == [
        False,
        True,
    ]
