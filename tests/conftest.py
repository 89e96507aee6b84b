"""Which tests `make unit` and `make laws` run, and which tests have to run in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

LAWS = tuple(Path(__file__).parent / folder for folder in ("laws", "packaging"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law: a property over many cases or a whole log; `make laws` runs it, not unit")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in LAWS):
            item.add_marker(pytest.mark.law)
        if (shared := _shared_by_module(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {shared}"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop if groups have no effect: expensive fixtures would silently be made once per process."""
    if session.config.getoption("loadgroup", default=False):
        grouped = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group")]
        if any("@" not in nodeid for nodeid in grouped):
            raise pytest.UsageError("this version of pytest-xdist does not group tests with this version of pytest")


def _shared_by_module(item: pytest.Item) -> str | None:
    """The module's fixture that this test needs, if any: with `--dist loadgroup` one process makes it, and only once.

    Of fixtures that need each other it is the one that needs no other.
    """
    found = None
    if isinstance(item, pytest.Function):
        for name in item.fixturenames:
            definitions = item._fixtureinfo.name2fixturedefs.get(name)
            if definitions and definitions[-1].scope == "module":
                found = name
    return found
