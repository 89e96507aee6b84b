"""Asking Kafka from a command: errors become one sentence, Ctrl-C ends in order, other people's text stays text."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from streams.errors import ChurnSignalsError
from streams.settings import variable

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

# Wide enough for the longest names that topics and groups have in practice.
PIPED_COLUMNS = 200


def ask(question: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what aiokafka logs meanwhile is not shown, because what came of it is said once, at the end.

    Raises:
        ChurnSignalsError: whatever Kafka had against it, in a sentence.
    """
    from aiokafka.errors import KafkaError

    if not logging.root.handlers:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(question)
    except KafkaError as failure:
        address = variable("kafka_bootstrap_servers")
        raise ChurnSignalsError(f"Kafka: {failure!r} (see {address} and the security settings)") from failure


@contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """Inside a coroutine: an event that the first Ctrl-C (or SIGTERM) sets. The second one ends the program at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    # Not the loop's own handlers: those wait for the loop, which may be reading standard input.
    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def plain(text: str) -> str:
    """Text that somebody else wrote, without what would command a terminal.

    >>> plain("caf\u00e9 \x1b[2J\u202e")
    'café .[2J.'
    """
    return "".join(c if c.isprintable() else "." for c in text)


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough. What it prints is text, not markup."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS, highlight=False, markup=False)
