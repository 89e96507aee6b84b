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
# Words in names of settings with a listening address. The broker's address is for connections, and loopback too.
ADDRESS_WORDS = ("host", "bind", "listen")


def test_address_settings_default_to_loopback() -> None:
    names = [f for f in dataclasses.fields(Settings) if set(f.name.split("_")) & set(ADDRESS_WORDS)]
    assert [f.name for f in names if f.type == "str" and str(f.default).rpartition(":")[0] not in LOOPBACK
            and f.default not in LOOPBACK] == []  # fmt: skip
    assert Settings().kafka_bootstrap_servers.startswith("127.0.0.1:")


def test_embedded_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    """Rule: both listeners and the advertised listener."""
    broker = EmbeddedBroker(tmp_path)
    broker._choose_ports()
    lines = dict(line.split("=", 1) for line in broker._write_configuration().read_text().splitlines())
    listeners = [url for name in ("listeners", "advertised.listeners") for url in lines[name].split(",")]
    assert len(listeners) == 3
    for url in listeners:
        assert ipaddress.ip_address(url.partition("://")[2].rpartition(":")[0]).is_loopback, url


@pytest.mark.parametrize("text", ["web.TCPSite(runner, host)", "socket.create_server(('', 0))", "s.bind(('', 1))"])
def test_search_detects_listening_calls(text: str) -> None:
    assert listening(ast.parse(text))


def test_nothing_listens_on_all_addresses() -> None:
    """Rule: no constant of the program is a wildcard address. A module that opens a port uses loopback, or an address
    from a setting or an option."""
    wildcards = {"0.0.0.0", "::", "[::]", "*:", "0.0.0.0:0"}
    modules: dict[str, str] = {}
    for path, tree in trees("streams"):
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str}
        assert not texts & wildcards, path
        for call in listening(tree):
            modules[path] = modules.get(path, "") + call
            assert "('', " not in call, f"{path}: {call}"
    assert "streams/devbroker/embedded_broker.py" in modules
    assert "127.0.0.1" in modules["streams/devbroker/embedded_broker.py"]


def test_faust_web_server_is_disabled() -> None:
    from streams.engine import faust_app

    assert not faust_app._Boot.enable_web
    assert "web_enabled=False" in inspect.getsource(faust_app.EngineApp.__init__)
