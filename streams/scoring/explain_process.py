"""Scores are put into words by a process of its own: Python computes on one core, and that is a third of the work.

    worker ── a batch's scores as data ──► this process ── their records ──► worker, which sends them in the transaction

What is asked is a function (`streams.scoring.explain_protocol.ExplainRequest.answer`), so nothing depends on who answers. If the process is
gone or says nothing, the worker does it itself and starts another one. It ends when its input does, so also with a
worker that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as release
from pathlib import Path
from typing import Final

from models.features.catalogue import CATALOGUE
from streams.logs import get_logger
from streams.runtime.cpus import allowed, several, use
from streams.scoring.explain_protocol import ExplainerLost, read
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
# Who asks has a transaction open, which the broker aborts after a time: no more of them wait than are answered soon.
ASKING_MAX: Final = 3
_STOP_S: Final = 2.0
_LENGTH: Final = struct.Struct("<I")
_TIME: Final = struct.Struct("ll")  # seconds and microseconds
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
    "OPENBLAS_NUM_THREADS",
)

# -P: a module of the working directory is not ours, whatever its name.
_COMMAND: Final = (sys.executable, "-P", "-m", "streams.scoring.explain_process")
# A release that was installed meanwhile could say other things, or other things differently.
_GREETING: Final = f"{release('churn-signals')} {CATALOGUE}".encode()


def renders_in_process(settings: Settings) -> bool:
    """Whether a worker is to have such a process."""
    if settings.explain_process == "auto":
        return several()
    return settings.explain_process == "on"


class Explainer:
    """The process, and the thread that talks to it; one question after the other.

    Args:
        command: What to start.
    """

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self._command = list(command)
        self._processors: Collection[int] = allowed()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._not_before_s, self._wait_s = 0.0, RESTART_S
        self._stopped = False
        self.places = asyncio.Semaphore(ASKING_MAX)
        """Held by who begins a transaction in which it is asked."""
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
        """The answers to questions (`streams.scoring.explain_protocol.ExplainRequest`).

        Raises:
            ExplainerLost: there is no answer; the process is ended, another one is started by and by.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, questions)

    def run_on(self, processors: Collection[int]) -> None:
        """Have it use these processors from now on."""
        self._processors = set(processors)
        self._place()

    def cpu_s(self) -> float:
        """Seconds that it has computed so far; 0 where that is not told."""
        process = self._process
        try:
            ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13] if process else []
        except OSError:
            return 0.0
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def _place(self) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):  # it is ending, or the system forbids it
                use(self._processors, process.pid)

    async def stop(self) -> None:
        """End it."""
        self._stopped = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            self._line, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    self._command, env=environment, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
                )
            self._place()  # a thread of a worker that is bound has started it
            [greeting] = self._exchange([_GREETING], START_S)
            if greeting != _GREETING:
                raise ExplainerLost("another release answers")
        except (ExplainerLost, OSError) as failure:
            log.warning("no process to explain scores: %s; the worker does it", failure)
            self._end()
            return
        self.ready = True
        self._not_before_s = time.monotonic() + self._wait_s
        log.info("scores are explained by process %d", self._process.pid)

    def _ask(self, questions: Sequence[bytes]) -> list[bytes]:
        try:
            answers = self._exchange(questions, SILENCE_S)
        except (ExplainerLost, OSError) as failure:
            self._end()
            raise ExplainerLost(f"the process that explains scores was given up: {failure}") from failure
        if not all(answers):
            raise ExplainerLost("a score cannot be explained")
        return answers

    def _exchange(self, questions: Sequence[bytes], patience_s: float) -> list[bytes]:
        """One after the other: each side reads a whole message before it writes one, so none waits for the other.

        A message is one call of the system however long it is, and Python's lock is free meanwhile: every time that
        this thread wakes, the one that computes has to give it the lock.
        """
        line = self._line
        if line is None:
            raise ExplainerLost("it does not run")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.pack(int(patience_s), int(patience_s % 1 * 1e6)))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIME.pack(int(patience_s), int(patience_s % 1 * 1e6)))
        answers = []
        try:
            for question in questions:
                send(line, question)
                answer = receive(line)
                if answer is None:
                    raise ExplainerLost("it has ended")
                answers.append(answer)
        except BlockingIOError:
            raise ExplainerLost(f"it has said nothing for {patience_s:g} s") from None
        return answers

    def _end(self) -> None:
        self.ready = False
        process, self._process = self._process, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is None:
            return
        try:
            process.wait(_STOP_S if self._stopped else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def send(line: socket.socket, message: bytes) -> None:
    """Writes a message with its length in front."""
    line.sendall(_LENGTH.pack(len(message)))
    line.sendall(message)


def receive(line: socket.socket) -> bytes | None:
    """Reads a message; None if there are no more.

    Raises:
        BlockingIOError: nothing came for as long as the socket waits.
    """
    head = _take(line, _LENGTH.size)
    return None if head is None else _take(line, _LENGTH.unpack(head)[0])


def _take(line: socket.socket, count: int) -> bytes | None:
    got = line.recv(count, socket.MSG_WAITALL)
    while len(got) < count:  # a signal, or the end
        more = line.recv(count - len(got), socket.MSG_WAITALL)
        if not more:
            return None
        got += more
    return got


def answer(question: bytes) -> bytes:
    """What the process says to a frame; nothing if it cannot."""
    try:
        return read(question).answer()
    except Exception:
        return b""  # the worker tries it itself, finds out which record is at fault, and says so where that belongs


def serve(line: socket.socket) -> None:
    """Answer until there are no more questions. The first is a greeting, answered with our own."""
    reply = _GREETING
    while (question := receive(line)) is not None:
        send(line, reply or answer(question))
        reply = b""


def main() -> None:
    """The process: its standard input is a socket."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker finishes its batch; then our input ends
    with contextlib.suppress(ConnectionError):  # nobody listens any more
        serve(socket.socket(fileno=sys.stdin.fileno()))


if __name__ == "__main__":
    main()
