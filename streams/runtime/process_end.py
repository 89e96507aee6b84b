"""End a process within 9 s of SIGTERM, whatever its threads, event loops and Kafka clients are waiting for.

1. SIGTERM, SIGINT or `Countdown.begin` starts the countdown, on a thread of its own.
2. The process stops by itself, within limits of its own, and exits (`streams.logs.exit_now`).
3. A process that is still there after 9 s logs one line that names what has not ended, and exits with 75.

Threads that may outlive the main one: `consumer` (abandoned after 2 s), `http` (joined for 2 s), `readiness`, and those
of executors, for computing, explaining and host names. None is joined at the exit, which Python would do.

Tested by tests/streams/runtime/test_process_end.py and tests/crash/test_ending.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from streams.errors import ChurnSignalsError, OwnershipLost
from streams.logs import flush_output, get_logger, handle_orphaned_error

log = get_logger(__name__)
_T = TypeVar("_T")

# Prevents a supervisor's SIGKILL, which usually follows after 10 s.
END_WITHIN_S: Final = 9.0
# A program that has not returned this long after the signal is cancelled, so that its `finally` blocks run ...
CANCEL_AFTER_S: Final = 8.0
# ... for this long.
_CANCELLED_WITHIN_S: Final = 0.5
# Prevents work that ignores its cancellation from delaying a stop: it is abandoned, and its clients with it.
_ABANDON_AFTER_S: Final = 0.5
# Prevents a full pipe behind standard error from blocking the exit.
_LOG_WITHIN_S: Final = 0.5
# Prevents a line of hundreds of names.
_TASKS_MAX: Final = 12

# Exit code of a stop that was cut short. It is the code of an unknown outcome: the next start continues from the last
# committed transaction, and nothing is lost or applied twice.
CUT_SHORT: Final = OwnershipLost.exit_code
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequested(ChurnSignalsError):
    """You see this if SIGTERM or Ctrl-C arrives while a process starts. It is a clean end."""

    exit_code = 0


class StopCutShort(ChurnSignalsError):
    """You see this if a requested stop did not complete in time. The next start continues from the last commit."""

    exit_code = CUT_SHORT


class Countdown:
    """Ends the process some time after `begin`, unless it has ended by itself.

    The thread is started here and not by `begin`: a signal handler may interrupt the main thread while that holds the
    locks that starting a thread needs.

    Args:
        within_s: from `begin` to the exit.
        leave: ends the process.
    """

    def __init__(self, within_s: float = END_WITHIN_S, leave: Callable[[int], object] = os._exit) -> None:
        self._within_s, self._leave = within_s, leave
        self._begun: SimpleQueue[int | None] = SimpleQueue()  # its `put` may interrupt itself, in a signal handler
        self._cancelled = threading.Event()
        threading.Thread(target=self._run, name="countdown", daemon=True).start()

    def begin(self, code: int = CUT_SHORT) -> None:
        """Start the countdown, with the exit code of its end. Only the first call has an effect."""
        self._begun.put(code)

    def cancel(self) -> None:
        """End nothing: the process has stopped by itself, or goes on."""
        self._cancelled.set()
        self._begun.put(None)

    def _run(self) -> None:
        code = self._begun.get()
        if code is None or self._cancelled.wait(self._within_s):
            return
        # On another thread: the main thread may hold the lock of the log handler, or the pipe behind it may be full.
        logging = threading.Thread(target=self._report, name="last line", daemon=True)
        logging.start()
        logging.join(_LOG_WITHIN_S)
        self._leave(code)

    def _report(self) -> None:
        log.error("the process did not end within %.0f s and ends now; still running: %s", self._within_s, unfinished())
        flush_output()


def unfinished() -> str:
    """Name the threads that are running, each with the function that it is in."""
    frames = sys._current_frames()
    ours = ("countdown", "last line")
    threads = [thread for thread in threading.enumerate() if thread.name not in ours]
    return ", ".join(f"thread {thread.name} ({_place(frames.get(thread.ident or 0))})" for thread in threads)


def unfinished_tasks() -> str:
    """Name the tasks of the running event loop, except the current one."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    names = sorted({getattr(task.get_coro(), "__qualname__", task.get_name()) for task in tasks})
    return ", ".join(names[:_TASKS_MAX])


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return "unknown"
    code = frame.f_code
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{frame.f_lineno} {code.co_name}"


class SignalAction:
    """What a signal does in a program without an event loop, for `on_signal`: at first it interrupts the main thread.

    Attributes:
        handle: called by the signal handler; None to ignore further signals.
    """

    def __init__(self) -> None:
        self.handle: Callable[[], object] | None = self._interrupt

    def __call__(self) -> None:
        if self.handle is not None:
            self.handle()

    def _interrupt(self) -> None:
        self.handle = None  # a second one would interrupt the clean-up
        raise KeyboardInterrupt


@contextmanager
def on_signal(handle: Callable[[], object]) -> Iterator[Countdown]:
    """Call `handle` at every SIGINT and SIGTERM, the first of which starts the countdown that is yielded.

    Leaving the context cancels the countdown: enter it around everything that must end.
    """
    countdown = Countdown()

    def signalled(_signal: int, _frame: FrameType | None) -> None:
        countdown.begin()
        handle()

    # Not loop.add_signal_handler: the event loop may be blocked.
    previous = {number: signal.signal(number, signalled) for number in _SIGNALS}
    try:
        yield countdown
    finally:
        countdown.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run `main` on uvloop until SIGINT or SIGTERM sets its event; returns the exit code and logs an error in one line.

    The exit code is that of the error that ended `main`. After a signal it is 0, or 75 if `main` had to be cancelled:
    errors of a stop are logged as warnings, because a broker that is away is no reason to report a failed stop.

    Tasks that are left in the loop are not awaited, because some tasks of Kafka clients ignore their cancellation. The
    caller ends the process (`streams.logs.exit_now`).
    """
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # the consumer's thread creates its loop from it too
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    stop = asyncio.Event()

    def handle_orphan(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not stop.is_set():  # what is abandoned by a stop may fail
            handle_orphaned_error(loop, context)

    loop.set_exception_handler(handle_orphan)
    with on_signal(lambda: loop.call_soon_threadsafe(stop.set)) as countdown:
        return loop.run_until_complete(_guarded(main, stop, countdown))


async def _guarded(main: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event, countdown: Countdown) -> int:
    work = asyncio.ensure_future(main(stop))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        await asyncio.wait({work}, timeout=CANCEL_AFTER_S)
    if not work.done():
        log.warning("the process did not stop within %.0f s and is ended: %s", CANCEL_AFTER_S, unfinished_tasks())
        work.cancel()
        await asyncio.wait({work}, timeout=_CANCELLED_WITHIN_S)
        return CUT_SHORT
    stopping.cancel()
    return _report_stop(_error_of(work)) if stop.is_set() else _report_end(_error_of(work))


def _error_of(work: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if work.cancelled() else work.exception()


def _report_stop(error: BaseException | None) -> int:
    """Report how a requested stop ended; returns the exit code."""
    if error is None or isinstance(error, StopRequested):
        return 0
    if isinstance(error, StopCutShort):
        log.warning("%s", error)
        return error.exit_code
    if isinstance(error, ChurnSignalsError | KafkaError | TimeoutError | asyncio.CancelledError):
        log.warning("stopped; not everything was closed cleanly: %r", error)
        return 0
    log.error("the stop failed because of an error of this program: %r", error, exc_info=error)
    return 1


def _report_end(error: BaseException | None) -> int:
    """Report what ended the program; returns the exit code."""
    if isinstance(error, ChurnSignalsError):
        log.error("%s", error)
    elif isinstance(error, KafkaError):
        log.error("Kafka: %r (see CHURN_KAFKA_BOOTSTRAP_SERVERS and the security settings)", error)
    elif isinstance(error, asyncio.CancelledError):
        log.error("stopped, because a Kafka client cancelled its work; start again")
    elif error is not None:
        log.error("stopped by an error of this program: %r", error, exc_info=error)
    return exit_code_of(error)


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code of a process that an error has ended; 0 for none.

    >>> exit_code_of(None), exit_code_of(OwnershipLost()), exit_code_of(KeyError())
    (0, 75, 1)
    """
    if error is None:
        return 0
    if isinstance(error, asyncio.CancelledError):
        return CUT_SHORT
    return error.exit_code if isinstance(error, ChurnSignalsError) else 1


async def unless_stopped(stop: asyncio.Event, work: Awaitable[_T]) -> _T:
    """Return the result of `work`, which a process awaits while it starts, or end it when `stop` is set.

    Raises:
        StopRequested: `stop` was set first. The work is cancelled, and abandoned if it ignores that.
    """
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_ABANDON_AFTER_S)
    if stop.is_set() and (not task.done() or task.cancelled() or task.exception() is not None):
        raise StopRequested("stopped while starting")
    return task.result()
