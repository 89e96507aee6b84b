"""Files and modules that documents and docstrings name exist."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Final

from tests.language.test_words import files
from tests.paths import ROOT

PATH: Final = re.compile(
    r"(?<![\w/.-])(?:models|streams|tools|tests|benchmarks|docs|ops)/[\w/.-]*\w\.(?:py|md|toml|yml|json|png)\b"
)
MODULE: Final = re.compile(r"`((?:models|streams|tools|benchmarks)(?:\.\w+)+)`")
# Paths that the reader of a recipe writes.
WRITTEN: Final = ("tests/formats/format3.json",)


def texts() -> Iterator[tuple[str, str]]:
    for name in files():
        if name.endswith((".md", ".py", "Makefile", ".toml", ".yml")) and not name.startswith("tests/browser/vendor/"):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def test_named_files_exist() -> None:
    """Rule: a path that a document or a comment names can be opened."""
    missing = {
        (name, path)
        for name, text in texts()
        for path in PATH.findall(text)
        if not (ROOT / path).exists() and not path.startswith(WRITTEN)
    }
    assert missing == set()


def test_named_modules_exist() -> None:
    """Rule: a module, or a name in one, that a docstring names in backticks is there."""
    missing = {
        (name, dotted)
        for name, text in texts()
        for dotted in MODULE.findall(text)
        if not dotted.endswith(".NAME") and not _exists(dotted)
    }
    assert missing == set()


def _exists(dotted: str) -> bool:
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if source.is_file():
            if end == len(parts):
                return True
            names = set(re.findall(r"\b\w+\b", source.read_text(encoding="utf-8")))
            return all(part in names for part in parts[end:])
    return importlib.util.find_spec(parts[0]) is None
