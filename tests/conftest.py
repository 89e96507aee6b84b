"""Which tests `make unit` and `make laws` run, which have to run in one process, and which cases laws draw."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings

LAWS = tuple(Path(__file__).parent / folder for folder in ("laws", "packaging"))


settings.register_profile("same", derandomize=True)
settings.register_profile("new")
settings.load_profile("same")  # a check of a change fails because of that change; `--hypothesis-profile=new` overrides


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law: a property over many cases or a whole log; `make laws` runs it, not unit")


def pytest_collection() -> None:
    """Modules stay until the end: looking for garbage among them takes a third of their collection."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in LAWS):
            item.add_marker(pytest.mark.law)
        if (shared := _shared_by_module(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {shared}"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop if groups have no effect: expensive fixtures would silently be made once per process."""
    gc.freeze()
    gc.enable()
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
