"""Private parts of libraries are touched for the versions they were read in, and in two modules only."""

from __future__ import annotations

import ast

import aiokafka
import faust
import pytest

from streams.engine import faust_app as faust_private
from streams.errors import ConfigurationError
from streams.kafka import aiokafka_internals as aiokafka_private
from tests.paths import ROOT

STREAMS = ROOT / "streams"


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an upgrade is read and tested before it runs."""
    faust_private.check_faust_version()
    monkeypatch.setattr(faust, "__version__", "0.16.0")
    with pytest.raises(ConfigurationError, match=r"0\.16\.0 is installed, this program needs 0\.15\.3"):
        faust_private.check_faust_version()
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    with pytest.raises(ConfigurationError, match=r"aiokafka 0\.15\.0"):
        aiokafka_private.check_aiokafka_version()


def test_private_parts_are_touched_in_two_modules_only() -> None:
    """Rule: whoever upgrades Faust or aiokafka knows what to read. Only `self` may have private attributes."""
    allowed = {"faust_app.py", "aiokafka_internals.py"}
    found = []
    for path in sorted(STREAMS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            if node.attr in ("_replace", "_asdict", "_fields"):  # the public methods of a named tuple
                continue
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            inner = isinstance(node.value, ast.Attribute) and node.value.attr == "_loop"  # a listener's own object
            if owner in ("self", "cls", "settings", "run", "opened", "os") or inner:
                continue
            found.append((path.name, node.lineno, node.attr))
    assert [entry for entry in found if entry[0] not in allowed] == []
