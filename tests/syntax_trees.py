"""Syntax trees of the checkout's sources, each parsed once per process of the test run."""

from __future__ import annotations

import ast
import functools
from pathlib import Path


@functools.cache
def syntax_tree(path: Path) -> ast.Module:
    """Return the tree of a module; callers share it and do not change it."""
    return ast.parse(path.read_text(encoding="utf-8"))
