"""Private APIs of libraries are used with verified versions, and in four modules only."""

from __future__ import annotations

import ast

import aiokafka
import faust
import pytest

from streams.engine import faust_app
from streams.errors import ConfigurationError
from streams.kafka import aiokafka_internals
from tests.paths import ROOT
from tests.syntax_trees import syntax_tree

STREAMS = ROOT / "streams"


def test_unverified_version_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a new version must be reviewed and tested before it runs."""
    faust_app.check_faust_version()
    monkeypatch.setattr(faust, "__version__", "0.16.0")
    with pytest.raises(ConfigurationError, match=r"0\.16\.0 is installed, this program needs 0\.15\.3"):
        faust_app.check_faust_version()
    monkeypatch.setattr(aiokafka, "__version__", "0.15.0")
    with pytest.raises(ConfigurationError, match=r"aiokafka 0\.15\.0"):
        aiokafka_internals.check_aiokafka_version()


def test_private_apis_are_used_in_four_modules_only() -> None:
    """Rule: an upgrade of Faust or aiokafka requires a review of these modules only. Elsewhere, private attributes are
    accessed on `self` only."""
    allowed = {"faust_app.py", "consumer_thread.py", "aiokafka_internals.py", "aiokafka_records.py"}
    accesses = []
    for path in sorted(STREAMS.rglob("*.py")):
        for node in ast.walk(syntax_tree(path)):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            if node.attr in ("_replace", "_asdict", "_fields"):  # the public methods of a named tuple
                continue
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            inner = isinstance(node.value, ast.Attribute) and node.value.attr == "_loop"  # a listener's own object
            if owner in ("self", "cls", "settings", "run", "opened", "os", "sys") or inner:
                continue
            accesses.append((path.name, node.lineno, node.attr))
    assert [access for access in accesses if access[0] not in allowed] == []
