"""Child processes of the demo: start with their own settings, stop, and report the last lines of their logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.errors import ChurnSignalsError
from streams.rendering.terminal import printable
from streams.runtime.search_paths import without_working_directory

# A worker stops in 0.1-0.4 s, or in some 4 s if the broker does not answer. The demo itself has 9 s to end, and nothing
# is lost by a kill: its data is removed.
STOP_TIMEOUT_S = 5.0
LAST_LINES = 10
_TAIL_BYTES = 16 * 1024
_LINE_CHARACTERS = 300


class ChildProcess:
    """One `churn-signals` command in its own process.

    Ctrl-C in the terminal does not reach it, so that the parent decides the shutdown order.

    Args:
        name: Shown to people; the log file is `<name>.log`.
        arguments: Arguments of the command line.
        settings: `CHURN_` variables. Those of the parent's environment are not passed on.
        directory: Directory of the log file.
    """

    def __init__(self, name: str, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        self._arguments = arguments
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("CHURN_")}
        self._environment = without_working_directory(inherited) | dict(settings)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process. It is not ready to work yet when this returns."""
        with self.log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # do not import a `streams` package from the working directory
                "-m",
                "streams.demo.child",
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    async def ended(self) -> int:
        """Wait for the exit and return its status, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop with SIGTERM, or with SIGKILL after 5 s. Does nothing if the process does not run."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL and wait for the exit."""
        self.send_kill()
        if self._process is not None:
            await self._process.wait()

    def send_kill(self) -> None:
        """Send SIGKILL without waiting."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


class ChildExited(ChurnSignalsError):
    """A process that the demo needs has exited. The message has its name, its status and the last lines of its log."""

    def __init__(self, name: str, status: int, log_file: Path) -> None:
        lines = last_lines(log_file)
        text = "".join(f"\n  {line}" for line in lines) if lines else " (empty)"
        super().__init__(f"the {name} {exit_description(status)}. The last lines of its log ({log_file}):{text}")


def exit_description(status: int) -> str:
    """Describe an exit status.

    >>> exit_description(-9), exit_description(1)
    ('was killed by SIGKILL', 'exited with status 1')
    """
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def last_lines(log_file: Path, count: int = LAST_LINES) -> list[str]:
    """Return the last non-empty lines of a log, without control characters."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [printable(line.rstrip())[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()][-count:]
