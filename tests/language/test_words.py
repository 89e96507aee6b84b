"""Everything a person reads keeps to the word list: code, comments, test names, documents, pages and settings."""

from __future__ import annotations

import doctest
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from tests.language import words
from tests.paths import ROOT

READ: Final = (
    ".py",
    ".md",
    ".html",
    ".js",
    ".css",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".example",
    "Makefile",
    "Dockerfile",
)

# Each with its reason. A path ends where a folder is meant; words are compared in lower case.
ALLOWED: Final[tuple[tuple[str, frozenset[str], str], ...]] = (
    ("tests/language/", frozenset({"*"}), "holds the list itself"),
    ("tests/browser/vendor/", frozenset({"*"}), "third-party text"),
    ("tests/tools/docs/schemas/", frozenset({"*"}), "third-party text"),
    ("tests/ops/schemas/", frozenset({"*"}), "third-party text"),
    ("tests/javascript/package-lock.json", frozenset({"*"}), "third-party text"),
    ("models/backtesting/alert_quality.py", frozenset({"told"}), "a field of `backtest --json`"),
    ("tests/models/backtesting/test_alert_quality.py", frozenset({"told"}), "a field of `backtest --json`"),
    ("models/value/repurchase_backtest.py", frozenset({"foretold"}), "a field of `purchases --json`"),
    ("streams/scoring/fold_metrics.py", frozenset({"told"}), "the metric scores_told"),
    ("streams/monitoring/metric_catalogue.py", frozenset({"told"}), "the metric scores_told"),
    ("tests/streams/engine/test_batch_metrics.py", frozenset({"told"}), "the metric scores_told"),
    ("tests/models/definition/test_churn_definition.py", frozenset({"0 %"}), "a share in churn.toml may have a space"),
    ("streams/input_file.py", frozenset({"tell"}), "the file method of Python"),
    ("streams/rendering/backtest.py", frozenset({"told"}), "a field of backtest --json"),
    ("streams/rendering/purchases.py", frozenset({"foretold"}), "a field of purchases --json"),
)


def files() -> Iterator[str]:
    """Tracked text files, by their path in the checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    yield from (name for name in listed.split("\0") if name.endswith(READ) and (ROOT / name).is_file())


def allowed(name: str, word: str) -> bool:
    return any(name.startswith(path) and (word.lower() in some or "*" in some) for path, some, _ in ALLOWED)


def test_the_examples_of_the_list_hold() -> None:
    assert doctest.testmod(words).failed == 0


def test_no_discouraged_word_is_left() -> None:
    """Rule: the field's term, not a translation of it."""
    found = []
    for name in files():
        if allowed(name, "*"):
            continue
        # names of code read like words too: `test_who_is_told` has "told" in it
        text = (ROOT / name).read_text(encoding="utf-8")
        plain = text.replace("_", " ") if name.endswith(".py") else text
        found += [
            f"{name}:{line}: {word!r}: write {instead}"
            for line, word, instead in words.findings(plain)
            if not allowed(name, word)
        ]
    assert not found, f"{len(found)} places\n" + "\n".join(found[:200])


@pytest.mark.parametrize(("path", "some", "reason"), ALLOWED, ids=lambda value: value if isinstance(value, str) else "")
def test_every_exception_is_argued_and_in_use(path: str, some: frozenset[str], reason: str) -> None:
    """Rule: the allow list is short, and nothing stands on it for longer than it is needed."""
    assert len(reason.split()) >= 2
    named = [name for name in files() if name.startswith(path)]
    assert named
    if "*" not in some:
        text = "\n".join((ROOT / name).read_text(encoding="utf-8").replace("_", " ") for name in named)
        used = {word.lower() for _, word, _ in words.findings(text)}
        assert some <= used
