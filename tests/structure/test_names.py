"""One name means one thing: classes, functions and modules of the two trees."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT
from tests.syntax_trees import syntax_tree

TREES: Final = ("models", "streams")
LINES_MAX: Final = 400

# Names that occur more than once because they are the same concept, with that concept.
SHARED: Final = {
    "StateStore": "the committed state that the fold reads; the engine's has the next deadline besides",
    "add": "adds a number to sums that readers add up",
    "as_data": "a report as plain data for JSON",
    "build": "a report from sums",
    "decode": "bytes of the module's noun to the noun: an event, a profile, a subscription record",
    "fit": "maximum-likelihood parameters of the module's model",
    "log_loss": "the same measure, of one label and of many",
    "main": "the entry point of a program",
    "matches": "whether properties satisfy a condition of churn.toml, alone and within a definition",
    "metric_key": "key of a block of sums on churn-metrics",
    "metric_value": "value of a block of sums on churn-metrics",
    "pack": "the module's noun to bytes with a checksum or a version",
    "read_metric": "a block of sums from churn-metrics",
    "unpack": "bytes to the module's noun, validated",
}


def modules() -> Iterator[Path]:
    for tree in TREES:
        yield from sorted((ROOT / tree).rglob("*.py"))


def defined(path: Path) -> Iterator[str]:
    """Names of the classes, and of the public functions, that a module defines."""
    for node in syntax_tree(path).body:
        if isinstance(node, ast.ClassDef) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        ):
            yield node.name


@functools.cache
def places() -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in modules():
        for name in defined(path):
            found[name].append(str(path.relative_to(ROOT)))
    return found


def test_no_name_means_two_things() -> None:
    """Rule: a shared class or function name is one concept, and the list states it."""
    twice = {name: where for name, where in places().items() if len(where) > 1 and name not in SHARED}
    assert twice == {}


@pytest.mark.parametrize("name", SHARED)
def test_every_shared_name_is_still_shared(name: str) -> None:
    assert len(places()[name]) > 1


def test_files_are_one_noun_long() -> None:
    """Rule: past 400 lines a file has a second noun."""
    long = {str(path.relative_to(ROOT)): lines for path in modules() if (lines := _lines(path)) > LINES_MAX}
    assert long == {}


def test_every_package_lists_its_contents() -> None:
    """Rule: a package states what it is for, and sorts the public names that it re-exports."""
    for path in modules():
        if path.name != "__init__.py":
            continue
        tree = syntax_tree(path)
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                assert len(names) == len(set(names)), path


def _lines(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)
