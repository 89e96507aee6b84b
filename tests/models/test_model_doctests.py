"""The figures in the docstrings of the model are those that the code gives."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "bayes",
    "challenger",
    "champion",
    "ensemble",
    "journal",
    "linear",
    "model",
    "prior",
    "scaler",
    "scoring",
    "snapshot",
    "space",
)


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_is_true(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"models.{name}"), optionflags=doctest.ELLIPSIS)
    assert failed == 0
