"""Render scores in a separate process: Python computes on one core at a time, and rendering is a third of the work.

    worker ── a batch's scores as data ──► this process ── encoded records ──► worker, which sends them in a transaction

A reply is a pure function of its request (`streams.scoring.explain_protocol.ExplainRequest.reply`), so outputs do not
depend on which process renders them. If the process exits or does not reply, the worker renders the batch itself and
starts another process. The process exits when its input closes, so also after the worker was killed.

Tested by tests/crash/test_explainer.py.
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
from streams.errors import DeferredOutputsLost
from streams.logs import get_logger
from streams.runtime.cpus import allowed, several, use
from streams.runtime.search_paths import without_working_directory
from streams.scoring.explain_protocol import decode_request
from streams.settings import Settings

log = get_logger(__name__)

# Name of the thread that talks to the process.
THREAD: Final = "explaining"
# Prevents a process that hangs from holding a transaction open until the broker aborts it. A batch's scores take 0.1 s.
REPLY_TIMEOUT_S: Final = 10.0
# Prevents a process that never becomes ready from blocking the thread. Loading its modules takes 0.4 s of CPU.
START_TIMEOUT_S: Final = 30.0
# Prevents a process that always fails from being started in a loop: the delay doubles each time, up to 15 minutes.
RESTART_AFTER_S: Final = 5.0
RESTART_AFTER_MAX_S: Final = 900.0
# Requests wait inside open transactions, which the broker aborts after a timeout: allow as many as get a reply soon.
REQUESTS_MAX: Final = 3
# After this a process that ignores the end of its input is killed.
_STOP_TIMEOUT_S: Final = 2.0
_LENGTH: Final = struct.Struct("<I")
_TIMEVAL: Final = struct.Struct("ll")  # seconds and microseconds
# What it needs to find Python and our modules. It has no network connections, so it gets no settings and no secrets.
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
# A release that was installed after the worker started could render differently.
_GREETING: Final = f"{release('churn-signals')} {CATALOGUE}".encode()


def child_environment() -> dict[str, str]:
    """Return the environment of the process."""
    return without_working_directory({name: os.environ[name] for name in _ENVIRONMENT if name in os.environ})


def renders_in_process(settings: Settings) -> bool:
    """Return whether a worker with these settings starts the process."""
    if settings.explain_process == "auto":
        return several()
    return settings.explain_process == "on"


class Explainer:
    """The worker's side: starts the process and sends it one request at a time, from a thread of its own.

    Args:
        command: starts the process.

    Attributes:
        slots: one is held by every transaction that waits for a reply; see `streams.engine.contract.Deferred.slot`.
        ready: the process accepts requests.
    """

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self.slots = asyncio.Semaphore(REQUESTS_MAX)
        self.ready = False
        self._command = list(command)
        self._cpus: Collection[int] = allowed()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._not_before_s, self._restart_after_s = 0.0, RESTART_AFTER_S
        self._stopped = False

    def available(self) -> bool:
        """Return whether it accepts requests now. If not, start the process in the background when a start is due."""
        if not self.ready and not self._stopped and time.monotonic() >= self._not_before_s:
            self._not_before_s = time.monotonic() + START_TIMEOUT_S + self._restart_after_s
            self._restart_after_s = min(2 * self._restart_after_s, RESTART_AFTER_MAX_S)
            self._thread.submit(self._start)
        return self.ready

    async def request(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests (`streams.scoring.explain_protocol.ExplainRequest`) and return their replies.

        Raises:
            DeferredOutputsLost: there is no reply. If the process is at fault, it is stopped and replaced later.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._request, requests)

    def run_on(self, cpus: Collection[int]) -> None:
        """Bind the process to these CPUs."""
        self._cpus = set(cpus)
        self._bind()

    def cpu_s(self) -> float:
        """CPU seconds that the process has used so far; 0 on systems that do not report it."""
        process = self._process
        try:
            ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13] if process else []
        except OSError:
            return 0.0
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def _bind(self) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):  # it is exiting, or the system forbids it
                use(self._cpus, process.pid)

    async def stop(self) -> None:
        """Stop the process for good."""
        self._stopped = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        try:
            self._socket, child_socket = socket.socketpair()
            with child_socket:
                self._process = subprocess.Popen(
                    self._command,
                    env=child_environment(),
                    cwd="/",  # nothing in the working directory is ours
                    stdin=child_socket.fileno(),
                    stdout=subprocess.DEVNULL,
                )
            self._bind()  # it inherits the CPU of the thread that starts it
            [greeting] = self._exchange([_GREETING], START_TIMEOUT_S)
            if greeting != _GREETING:
                raise DeferredOutputsLost("it is another release")
        except (DeferredOutputsLost, OSError) as failure:
            log.warning("the explain process did not start: %s; the worker renders scores itself", failure)
            self._end()
            return
        self.ready = True
        self._not_before_s = time.monotonic() + self._restart_after_s
        log.info("scores are rendered in process %d", self._process.pid)

    def _request(self, requests: Sequence[bytes]) -> list[bytes]:
        try:
            replies = self._exchange(requests, REPLY_TIMEOUT_S)
        except (DeferredOutputsLost, OSError) as failure:
            self._end()
            raise DeferredOutputsLost(f"the explain process was stopped: {failure}") from failure
        if not all(replies):
            raise DeferredOutputsLost("a score cannot be explained")
        return replies

    def _exchange(self, requests: Sequence[bytes], timeout_s: float) -> list[bytes]:
        """Send one request after the other: each side reads a whole message before it writes one, so neither blocks.

        A message is one system call whatever its length, and releases Python's lock meanwhile. Each time this thread
        wakes up, the thread that computes must release the lock.
        """
        connection = self._socket
        if connection is None:
            raise DeferredOutputsLost("it is not running")
        timeout = _TIMEVAL.pack(int(timeout_s), int(timeout_s % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        replies = []
        try:
            for request in requests:
                send(connection, request)
                reply = receive(connection)
                if reply is None:
                    raise DeferredOutputsLost("it exited")
                replies.append(reply)
        except BlockingIOError:
            raise DeferredOutputsLost(f"no reply within {timeout_s:g} s") from None
        return replies

    def _end(self) -> None:
        self.ready = False
        process, self._process = self._process, None
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if process is None:
            return
        try:
            process.wait(_STOP_TIMEOUT_S if self._stopped else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def send(connection: socket.socket, message: bytes) -> None:
    """Write a message with its length in front."""
    connection.sendall(_LENGTH.pack(len(message)))
    connection.sendall(message)


def receive(connection: socket.socket) -> bytes | None:
    """Read a message; returns None at the end of the stream.

    Raises:
        BlockingIOError: nothing arrived within the socket's timeout.
    """
    head = _read_exactly(connection, _LENGTH.size)
    return None if head is None else _read_exactly(connection, _LENGTH.unpack(head)[0])


def _read_exactly(connection: socket.socket, count: int) -> bytes | None:
    data = connection.recv(count, socket.MSG_WAITALL)
    while len(data) < count:  # interrupted by a signal, or the end of the stream
        more = connection.recv(count - len(data), socket.MSG_WAITALL)
        if not more:
            return None
        data += more
    return data


def reply_to(request: bytes) -> bytes:
    """Render a request; returns nothing if that fails."""
    try:
        return decode_request(request).reply()
    except Exception:
        return b""  # the worker renders the batch itself, finds the record at fault and reports it


def serve_requests(connection: socket.socket) -> None:
    """Reply to requests until the stream ends. The first message is a greeting, answered with our own."""
    greeting = _GREETING
    while (request := receive(connection)) is not None:
        send(connection, greeting or reply_to(request))
        greeting = b""


def main() -> None:
    """Run the process; its standard input is a socket."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker finishes its batch and then closes the socket
    with contextlib.suppress(ConnectionError):  # the worker is gone
        serve_requests(socket.socket(fileno=sys.stdin.fileno()))


if __name__ == "__main__":
    main()
