"""Claim 3: servers listen on loopback by default."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import ipaddress
from pathlib import Path

import pytest

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.settings import Settings
from tests.security.sources import listening, trees

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Settings that name an address to listen on; a broker's address is one to connect to, and loopback all the same.
ADDRESS_WORDS = ("host", "bind", "listen")


def test_every_setting_of_an_address_is_loopback_by_default() -> None:
    names = [f for f in dataclasses.fields(Settings) if set(f.name.split("_")) & set(ADDRESS_WORDS)]
    assert [f.name for f in names if f.type == "str" and str(f.default).rpartition(":")[0] not in LOOPBACK
            and f.default not in LOOPBACK] == []  # fmt: skip
    assert Settings().kafka_bootstrap_servers.startswith("127.0.0.1:")


def test_the_embedded_broker_offers_loopback_only(tmp_path: Path) -> None:
    """Rule: both of its listeners, and the address that it tells its clients."""
    broker = EmbeddedBroker(tmp_path)
    broker._choose_ports()
    lines = dict(line.split("=", 1) for line in broker._write_configuration().read_text().splitlines())
    offered = [one for name in ("listeners", "advertised.listeners") for one in lines[name].split(",")]
    assert len(offered) == 3
    for one in offered:
        assert ipaddress.ip_address(one.partition("://")[2].rpartition(":")[0]).is_loopback, one


@pytest.mark.parametrize("text", ["web.TCPSite(runner, host)", "socket.create_server(('', 0))", "s.bind(('', 1))"])
def test_the_search_finds(text: str) -> None:
    assert listening(ast.parse(text))


def test_nothing_listens_on_every_address() -> None:
    """Rule: no default, argument or constant of the program is an address that means all of them, and a module that
    opens a port names loopback or takes its address from a setting or an option."""
    everywhere = {"0.0.0.0", "::", "[::]", "*:", "0.0.0.0:0"}
    modules = {}
    for path, tree in trees("streams"):
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str}
        assert not texts & everywhere, path
        for call in listening(tree):
            modules[path] = modules.get(path, "") + call
            assert "('', " not in call, f"{path}: {call}"
    assert "streams/devbroker/embedded_broker.py" in modules
    assert "127.0.0.1" in modules["streams/devbroker/embedded_broker.py"]


def test_a_worker_opens_no_port_by_itself() -> None:
    """Rule: Faust's own web server stays off."""
    from streams.engine import faust_app as faust_private

    assert not faust_private._Boot.enable_web
    assert "web_enabled=False" in inspect.getsource(faust_private.EngineApp.__init__)
