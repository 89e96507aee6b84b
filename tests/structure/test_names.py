"""One name means one thing: classes, functions and modules of the two trees."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

TREES: Final = ("models", "streams")
LINES_MAX: Final = 400

# Names that occur more than once because they are the same concept, with that concept.
SHARED: Final = {
    "StateStore": "the committed state that the fold reads; the engine's has the next deadline besides",
}


def modules() -> Iterator[Path]:
    for tree in TREES:
        yield from sorted((ROOT / tree).rglob("*.py"))


def defined(path: Path) -> Iterator[str]:
    """Names of the classes, and of the public functions, that a module defines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        ):
            yield node.name


def places() -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in modules():
        for name in defined(path):
            found[name].append(str(path.relative_to(ROOT)))
    return found


def test_no_name_means_two_things() -> None:
    """Rule: a class or public function that shares its name with another is the same concept, and is listed."""
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
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                assert len(names) == len(set(names)), path


def _lines(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)
