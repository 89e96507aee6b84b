"""Run a coroutine that uses Kafka clients to its end, and turn the first Ctrl-C or SIGTERM into an event."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from streams.errors import ChurnSignalsError
from streams.settings import variable

if TYPE_CHECKING:
    from streams.runtime.process_end import Countdown

T = TypeVar("T")

# Of the command that runs: it must end although a Kafka client waits for a broker that is away.
_countdown: ContextVar[Countdown | None] = ContextVar("countdown", default=None)


def run_client(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine in a new event loop and return its result.

    Unless logging is configured, aiokafka logs only critical messages: its failure is reported once, as the exception.

    Raises:
        ChurnSignalsError: a Kafka operation failed; the message names the error and the settings to check.
    """
    from aiokafka.errors import KafkaError

    from streams.runtime.process_end import Countdown

    if not logging.root.handlers:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    countdown = Countdown()
    _countdown.set(countdown)
    try:
        return asyncio.run(work)
    except KafkaError as failure:
        address = variable("kafka_bootstrap_servers")
        raise ChurnSignalsError(f"Kafka: {failure!r}. Check {address} and the security settings.") from failure
    finally:
        countdown.cancel()


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Inside a coroutine, yield an event that the first SIGINT or SIGTERM sets; the second ends the process at once.

    A command of `run_client` that has not ended 9 s after the signal is ended.
    """
    stop, loop, countdown = asyncio.Event(), asyncio.get_running_loop(), _countdown.get()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if countdown is not None:
            countdown.begin()
        loop.call_soon_threadsafe(stop.set)

    # Not loop.add_signal_handler: the loop may be blocked in a read of standard input.
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
