"""Run a coroutine that uses Kafka clients to its end, and turn the first Ctrl-C or SIGTERM into an event."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from streams.errors import ChurnSignalsError
from streams.settings import variable

T = TypeVar("T")


def run_client(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine in a new event loop and return its result.

    Unless logging is configured, aiokafka logs only critical messages: its failure is reported once, as the exception.

    Raises:
        ChurnSignalsError: a Kafka operation failed; the message names the error and the settings to check.
    """
    from aiokafka.errors import KafkaError

    if not logging.root.handlers:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(work)
    except KafkaError as failure:
        address = variable("kafka_bootstrap_servers")
        raise ChurnSignalsError(f"Kafka: {failure!r}. Check {address} and the security settings.") from failure


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Inside a coroutine, yield an event that the first SIGINT or SIGTERM sets; the second ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    # Not loop.add_signal_handler: the loop may be blocked in a read of standard input.
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
