"""One broker, worker, trainer, console and browser for all tests in this folder, skipped without Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import chromium
from tests.browser.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if missing := chromium.missing():
        pytest.skip(f"no {missing} on this machine: make debian-tools")
    with Stage(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(scope="session")
def window(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def browser(window: chromium.Chromium) -> chromium.Chromium:
    """Set desktop width and light colours."""
    window.look()
    return window
