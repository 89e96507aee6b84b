"""A console without a broker, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from streams.console.security import ConsoleSecurity
from streams.console.server import Console
from streams.settings import Settings

TOKEN = "a-token-that-is-long-enough"


@asynccontextmanager
async def opened(
    directory: Path, token: str = "", proxies: str = ""
) -> AsyncIterator[tuple[TestClient[Any, Any], Console]]:
    """Start a console without a broker."""
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    console = Console(settings, ConsoleSecurity("127.0.0.1", token, proxies=proxies), directory)
    async with TestClient(TestServer(console.app())) as client:
        client.session.cookie_jar._unsafe = True  # type: ignore[attr-defined]  # 127.0.0.1
        yield client, console
