"""Processes of the demo: started with settings of their own, stopped, and asked for their last words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.cli.ask import plain
from streams.errors import ChurnSignalsError

# A worker that was told to stop takes 0.1-0.4 s, and 9 s at the most: then it gives up by itself.
STOP_TIMEOUT_S = 12.0
LAST_LINES = 10
_TAIL_BYTES = 16 * 1024
_LINE_CHARACTERS = 300


class ChildProcess:
    """One command of `churn-signals` in a process of its own.

    Ctrl-C in the terminal does not reach it, so that the parent decides the order of the end.

    Args:
        name: for people; its log is `<name>.log`.
        arguments: of the command line.
        settings: `CHURN_` variables; those of the parent's environment are not handed on.
        directory: where the log is written.
    """

    def __init__(self, name: str, arguments: Sequence[str], settings: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        self._arguments = arguments
        self._environment = {n: v for n, v in os.environ.items() if not n.startswith("CHURN_")} | dict(settings)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start it; that it runs does not mean yet that it works."""
        with self.log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a directory `streams` where somebody happens to stand is not this program
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
        """Wait for its end; its exit status, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """A clean stop, or kill -9 after 12 s. Does nothing when it does not run."""
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """kill -9."""
        self.send_kill()
        if self._process is not None:
            await self._process.wait()

    def send_kill(self) -> None:
        """kill -9, without waiting for its end."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


class ChildDied(ChurnSignalsError):
    """Something that the demo needs has ended; the message says what, how, and what it last wrote."""

    def __init__(self, name: str, status: int, log_file: Path) -> None:
        lines = last_lines(log_file)
        words = "".join(f"\n  {line}" for line in lines) if lines else " it has none"
        super().__init__(f"the {name} {exit_description(status)}; the last lines of its log ({log_file}):{words}")


def exit_description(status: int) -> str:
    """An exit status in words.

    >>> exit_description(-9), exit_description(1)
    ('was killed by SIGKILL', 'ended by itself with status 1')
    """
    if status >= 0:
        return f"ended by itself with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def last_lines(log_file: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log, as text that a terminal can be given."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [plain(line.rstrip())[:_LINE_CHARACTERS] for line in text.splitlines() if line.strip()][-count:]
