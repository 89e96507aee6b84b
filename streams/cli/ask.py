"""Asking Kafka from a command: its errors become one sentence, and tables are not cut when they are piped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from streams.errors import ChurnSignalsError
from streams.settings import variable

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

# Wide enough for the longest names that topics and groups have in practice.
PIPED_COLUMNS = 200


def ask(question: Coroutine[Any, Any, T]) -> T:
    """Run to the end.

    Raises:
        ChurnSignalsError: whatever Kafka had against it, in a sentence.
    """
    from aiokafka.errors import KafkaError

    try:
        return asyncio.run(question)
    except KafkaError as failure:
        address = variable("kafka_bootstrap_servers")
        raise ChurnSignalsError(f"Kafka: {failure!r} (see {address} and the security settings)") from failure


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough. What it prints is text, not markup."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False, markup=False)
