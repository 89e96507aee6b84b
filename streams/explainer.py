"""Scores are put into words by a process of its own: Python computes on one core, and that is a third of the work.

    worker ── a batch's scores as data ──► this process ── their values ──► worker, which writes them in the transaction

What is asked is a function (`models.telling.Telling.values`), so nothing depends on who answers. If the process is gone
or says nothing, the worker does it itself and starts another one. It ends when its input does, so also with a worker
that was killed.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as release
from typing import BinaryIO, Final

import msgspec

from models.features import CATALOGUE
from models.telling import read
from streams.errors import ChurnSignalsError
from streams.logs import get_logger
from streams.settings import Settings

log = get_logger(__name__)

# What the thread is called.
THREAD: Final = "explaining"
# A batch's scores take 0.1 s; who says nothing for so long never will.
SILENCE_S: Final = 10.0
# Until it has loaded its modules: 0.4 s of CPU.
START_S: Final = 30.0
# Before a process that was lost is started again; twice as long each time, at most a quarter of an hour.
RESTART_S: Final = 5.0
RESTART_MAX_S: Final = 900.0
_STOP_S: Final = 2.0
_LENGTH: Final = struct.Struct("<I")
_PIPE_BYTES: Final = 1 << 20  # Linux's limit for everybody; its default of 64 KB would be handed over in many steps
_F_SETPIPE_SZ: Final = 1031
_READ_BYTES: Final = 1 << 20
# What it needs to find Python and our modules; it talks to nobody, so it gets no setting and no secret.
_ENVIRONMENT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
)

# A release that was installed meanwhile could say other things, or other things differently.
_GREETING: Final = f"{release('churn-signals')} {CATALOGUE}".encode()

_decode_values = msgspec.msgpack.Decoder(list[bytes]).decode
_encode_values = msgspec.msgpack.Encoder().encode


class ExplainerLost(ChurnSignalsError):
    """The process has ended, says nothing or cannot say it: who asked does it without."""


def explains_elsewhere(settings: Settings) -> bool:
    """Whether a worker is to have such a process."""
    if settings.explain_process == "auto":
        return len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) > 1
    return settings.explain_process == "on"


class Explainer:
    """The process, and the thread that talks to it; one question after the other.

    Args:
        command: What to start.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "streams.explainer")) -> None:
        self._command = command
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before_s, self._wait_s = 0.0, RESTART_S
        self._stopped = False
        self.ready = False
        """It can be asked."""

    def available(self) -> bool:
        """Whether it can be asked now; if not, it is started, and can be asked later."""
        if not self.ready and not self._stopped and time.monotonic() >= self._not_before_s:
            self._not_before_s = time.monotonic() + START_S + self._wait_s
            self._wait_s = min(2 * self._wait_s, RESTART_MAX_S)
            self._thread.submit(self._start)
        return self.ready

    async def ask(self, questions: Sequence[bytes]) -> list[bytes]:
        """The values of tellings (`models.telling.write`), all in one list.

        Raises:
            ExplainerLost: there is no answer; the process is ended, another one is started by and by.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, questions)

    async def stop(self) -> None:
        """End it."""
        self._stopped = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            self._process = process = subprocess.Popen(
                self._command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                _widen(pipe.fileno())
            [greeting] = self._exchange([_GREETING], START_S)
            if greeting != _GREETING:
                raise ExplainerLost("another release answers")
        except (ExplainerLost, OSError) as failure:
            log.warning("no process to explain scores: %s; the worker does it", failure)
            self._end()
            return
        self.ready = True
        self._not_before_s = time.monotonic() + self._wait_s

    def _ask(self, questions: Sequence[bytes]) -> list[bytes]:
        try:
            answers = self._exchange(questions, SILENCE_S)
        except (ExplainerLost, OSError) as failure:
            self._end()
            raise ExplainerLost(f"the process that explains scores was given up: {failure}") from failure
        if not all(answers):
            raise ExplainerLost("a score cannot be explained")
        return [value for answer in answers for value in _decode_values(answer)]

    def _exchange(self, questions: Sequence[bytes], patience_s: float) -> list[bytes]:
        """Writes while it reads, or both sides would wait for each other with full pipes."""
        process = self._process
        if process is None:
            raise ExplainerLost("it does not run")
        assert process.stdin is not None
        assert process.stdout is not None
        given, taken = process.stdin.fileno(), process.stdout.fileno()
        pieces = iter([piece for question in questions for piece in (_LENGTH.pack(len(question)), question)])
        left = memoryview(next(pieces))
        answers: list[bytes] = []
        got = bytearray()
        poll = select.poll()
        poll.register(given, select.POLLOUT)
        poll.register(taken, select.POLLIN)
        while len(answers) < len(questions):
            events = poll.poll(patience_s * 1000)
            if not events:
                raise ExplainerLost(f"it has said nothing for {patience_s:.0f} s")
            for file, _ in events:
                if file == given:
                    left = left[os.write(given, left) :] or memoryview(next(pieces, b""))
                    if not left:
                        poll.unregister(given)
                    continue
                piece = os.read(taken, _READ_BYTES)
                if not piece:
                    raise ExplainerLost(f"it ended with exit code {process.wait(_STOP_S)}")
                got += piece
                answers += _frames(got)
        return answers

    def _end(self) -> None:
        self.ready = False
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_STOP_S if self._stopped else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _frames(got: bytearray) -> list[bytes]:
    """Takes whole answers out of what was read."""
    found, at = [], 0
    while len(got) - at >= _LENGTH.size:
        [length] = _LENGTH.unpack_from(got, at)
        end = at + _LENGTH.size + length
        if len(got) < end:
            break
        found.append(bytes(got[at + _LENGTH.size : end]))
        at = end
    del got[:at]
    return found


def _widen(file: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(file, _F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, OSError):
        pass  # smaller pieces take longer, and that is all


def answer(question: bytes) -> bytes:
    """What the process says to a frame; nothing if it cannot."""
    try:
        return _encode_values(read(question).values())
    except Exception:
        return b""  # the worker tries it itself, finds out which record is at fault, and says so where that belongs


def serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until there are no more questions. The first is a greeting, answered with our own."""
    greeted = False
    while len(head := asked.read(_LENGTH.size)) == _LENGTH.size:
        question = asked.read(_LENGTH.unpack(head)[0])
        reply = answer(question) if greeted else _GREETING
        greeted = True
        told.write(_LENGTH.pack(len(reply)))
        told.write(reply)
        told.flush()


def main() -> None:
    """The process: its standard input asks, its standard output tells."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker finishes its batch; then our input ends
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more


if __name__ == "__main__":
    main()
