"""One broker for all crash tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.harness import Run


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def new_run(request: pytest.FixtureRequest, broker: EmbeddedBroker, tmp_path: Path) -> Callable[..., Run]:
    """Create a run with topics and a group for this test only."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:50]}-{crc32(request.node.nodeid.encode()):08x}"  # truncated names may be equal
    return lambda **changes: Run(name, broker.address, tmp_path, **changes)
