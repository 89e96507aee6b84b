"""One broker for all tests in this folder. The crash tests' harness gives each run its own topics and group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.harness import Run

# The slowest tests run first, so that no test process is left with one of them at the end.
LONGEST = (
    "test_pipeline", "test_throughput_benchmark", "test_procedures", "test_rules_fire", "test_notify", "test_exposure",
    "test_demo", "test_lag", "test_commands", "test_input_topic", "test_poison", "test_embedded_broker", "test_reset",
    "test_formats", "test_health",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def new_run(request: pytest.FixtureRequest, broker: EmbeddedBroker, tmp_path: Path) -> Callable[..., Run]:
    """Create a run with topics and a group for this test only.

    Workers render scores themselves, which costs half as many starts of Python; tests of that process set it to "on".
    """
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:50]}-{crc32(request.node.nodeid.encode()):08x}"  # truncated names may be equal
    return lambda **changes: Run(name, broker.address, tmp_path, **{"explain_process": "off", **changes})
