"""How a process ends: within a time and with a documented code, whatever its threads, tasks and clients do."""

from __future__ import annotations

import asyncio
import doctest
import logging
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.errors import BrokerUnreachable, ConfigurationError, OwnershipLost
from streams.runtime import process_end
from streams.runtime.process_end import (
    Countdown,
    SignalAction,
    StopCutShort,
    StopRequested,
    on_signal,
    run_until_signal,
    unless_stopped,
)
from tests.waiting import WAIT_S

Main = Callable[[asyncio.Event], Awaitable[None]]

LEFT_BEHIND = """
import asyncio
from streams.errors import OwnershipLost
from streams.logs import exit_now
from streams.runtime.process_end import run_until_signal

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main(stop):
    main.left = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    raise OwnershipLost("fenced; start again")

exit_now(run_until_signal(main))
"""

BLOCKED = """
import threading, time
from streams.logs import exit_now
from streams.runtime import process_end

process_end.Countdown.__init__.__defaults__ = (0.3, process_end.os._exit)

async def main(stop):
    threading.Thread(target=time.sleep, args=(60,), name="waits for a broker").start()
    print("blocked", flush=True)
    while True:
        time.sleep(60)

exit_now(process_end.run_until_signal(main))
"""


def test_docstring_examples_hold() -> None:
    ran = doctest.testmod(process_end)
    assert (ran.failed, ran.attempted > 0) == (0, True)


def test_a_task_that_ignores_cancellation_does_not_keep_the_process_alive() -> None:
    """Rule: after logging one line a process exits at once (a fenced one with 75), so that it can be restarted."""
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 75
    assert "fenced; start again" in done.stderr


def test_a_blocked_event_loop_and_a_waiting_thread_do_not_keep_the_process_alive() -> None:
    """Rule: the countdown needs neither the event loop nor the end of other threads, and names what is left."""
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "blocked\n"
        began = time.monotonic()
        process.terminate()
        assert process.wait(WAIT_S) == 75
        assert time.monotonic() - began < 5
        text = process.stderr.read()
    assert "still running: thread MainThread" in text
    assert "thread waits for a broker" in text
    assert "Traceback" not in text


def test_countdown_ends_a_process_once_and_only_after_it_has_begun() -> None:
    """Rule: the first cause decides the exit code."""
    codes: queue.SimpleQueue[int] = queue.SimpleQueue()
    countdown = Countdown(0.02, codes.put)
    with pytest.raises(queue.Empty):
        codes.get(timeout=0.05)
    countdown.begin(1)
    countdown.begin()
    assert codes.get(timeout=WAIT_S) == 1
    with pytest.raises(queue.Empty):
        codes.get(timeout=0.05)


def test_cancelled_countdown_ends_nothing() -> None:
    codes: queue.SimpleQueue[int] = queue.SimpleQueue()
    for begun in (True, False):
        countdown = Countdown(0.02, codes.put)
        if begun:
            countdown.begin()
        countdown.cancel()
    with pytest.raises(queue.Empty):
        codes.get(timeout=0.06)


def code_of(main: Main) -> int:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    code = run_until_signal(main)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    return code


def stopped_with(error: BaseException | None) -> Main:
    """Return a program that ends with an error after a SIGTERM."""

    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        if error is not None:
            raise error

    return main


def ended_with(error: BaseException) -> Main:
    async def main(_stop: asyncio.Event) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    "error",
    [None, StopRequested(), BrokerUnreachable("no broker"), KafkaConnectionError(), TimeoutError(), OwnershipLost("?")],
    ids=repr,
)
def test_requested_stop_is_a_success_although_the_broker_is_away(
    error: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: what is not committed is applied by the next start, so SIGTERM ends with 0 and without a traceback."""
    assert code_of(stopped_with(error)) == 0
    assert all(record.levelno <= logging.WARNING and record.exc_info is None for record in caplog.records)


def test_cancelled_client_is_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: aiokafka may raise CancelledError when it closes; before a signal the process is restarted."""
    assert code_of(stopped_with(asyncio.CancelledError())) == 0
    assert code_of(ended_with(asyncio.CancelledError())) == 75
    assert all(record.exc_info is None for record in caplog.records)


def test_error_before_a_signal_has_its_own_code() -> None:
    for error, code in (
        (OwnershipLost("?"), 75),
        (ConfigurationError("?"), 2),
        (KafkaConnectionError(), 1),
        (KeyError(), 1),
    ):
        assert code_of(ended_with(error)) == code


def test_stop_that_was_cut_short_has_the_code_of_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: 75 after SIGTERM means that something was abandoned; the log names it."""
    assert code_of(stopped_with(StopCutShort("the worker did not stop in time"))) == 75
    monkeypatch.setattr(process_end, "CANCEL_AFTER_S", 0.02)
    monkeypatch.setattr(process_end, "_CANCELLED_WITHIN_S", 0.02)

    async def stubborn(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _attempt in range(3):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    assert code_of(stubborn) == 75
    assert "stubborn" in caplog.text


def test_start_ends_when_a_stop_is_requested() -> None:
    """Rule: a start that waits for a broker neither delays the end nor hides an error of its own."""

    async def body() -> None:
        stop = asyncio.Event()
        assert await unless_stopped(stop, asyncio.sleep(0, "result")) == "result"
        with pytest.raises(BrokerUnreachable):
            await unless_stopped(stop, ended_with(BrokerUnreachable("?"))(stop))
        asyncio.get_running_loop().call_later(0.01, stop.set)
        with pytest.raises(StopRequested):
            await unless_stopped(stop, asyncio.sleep(60))

    asyncio.run(body())


def test_only_the_first_signal_interrupts_a_program_without_an_event_loop() -> None:
    """Rule: a second SIGTERM does not interrupt the clean-up after the first."""
    action = SignalAction()
    with on_signal(action):
        with pytest.raises(KeyboardInterrupt):
            terminate_this_process()
        terminate_this_process()


def terminate_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)  # the handler runs here at the latest
