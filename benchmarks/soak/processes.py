"""The product's processes of one run, with the broker: start, health, resources and end of each."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

from benchmarks.soak.usage import Usage, disk_use, usage_of
from benchmarks.throughput import kafka
from streams.demo.processes import ChildProcess, exit_description, last_lines
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.settings import Settings

BROKER = "broker"
ARGUMENTS = {
    "worker": ("worker",),
    "trainer": ("trainer",),
    "console": ("console", "--port", "0"),
    "notify": ("notify",),
}
# What each process logs or prints once it works.
_READY = {"worker": r"took over", "console": r"The console is at (\S+)"}
_READY_WITHIN_S, _POLL_S = 120.0, 0.2
# Each process ends within 10 s of SIGTERM; the rest is for a machine that is busy.
_STOP_WITHIN_S = 15.0


class Processes:
    """Everything that a run observes. Nothing is restarted: each end is a problem with its last log line.

    Attributes:
        problems: One sentence per process that ended, or ended wrongly.
        console_url: Address of the console once it is ready.
    """

    def __init__(self, broker: EmbeddedBroker, settings: Settings, directory: Path) -> None:
        self.problems: list[str] = []
        self.console_url = ""
        self._broker, self._directory = broker, directory
        self._ended: set[str] = set()
        self._data = {name: directory / f"{name}-data" for name in ARGUMENTS} | {BROKER: broker.data_dir}
        self._children = {
            name: ChildProcess(name, arguments, self._environment(settings, name), directory)
            for name, arguments in ARGUMENTS.items()
        }
        self._waits: dict[str, asyncio.Task[int]] = {}

    async def start(self) -> None:
        """Start all processes and wait until worker and console are ready.

        Raises:
            TimeoutError: A process is not ready in time.
        """
        for name, child in self._children.items():
            await child.start()
            self._waits[name] = asyncio.create_task(child.ended())
        for name, words in _READY.items():
            found = await self._logged(name, words)
            if found is not None and name == "console":
                self.console_url = found[1]

    def pids(self) -> dict[str, int]:
        """Return the process ids of broker and processes."""
        found = {name: child.pid for name, child in self._children.items()} | {BROKER: self._broker.pid}
        return {name: pid for name, pid in found.items() if pid is not None}

    def check(self) -> bool:
        """Note each process that has ended. Return whether all run."""
        for name, wait in self._waits.items():
            if wait.done() and name not in self._ended:
                self._note(name, f"{exit_description(wait.result())}; its last log line: {self._last_line(name)}")
        if BROKER not in self._ended and (self._broker.pid is None or usage_of(self._broker.pid) is None):
            self._note(BROKER, f"ended; its last log line: {_last_line(self._broker.log_file)}")
        return not self._ended

    def usage(self) -> dict[str, tuple[Usage, int]]:
        """Return the resources and the disk use of every running process."""
        return {
            name: (used, disk_use(self._data[name]))
            for name, pid in self.pids().items()
            if (used := usage_of(pid)) is not None
        }

    async def stop(self) -> None:
        """Stop all processes with SIGTERM. An exit code other than 0, or a late end, is a problem."""
        running = {name: wait for name, wait in self._waits.items() if not wait.done()}
        for name in running:
            if (pid := self._children[name].pid) is not None:
                os.kill(pid, signal.SIGTERM)
        if running:
            await asyncio.wait(running.values(), timeout=_STOP_WITHIN_S)
        for name, wait in running.items():
            if not wait.done():
                self._note(name, f"was still there {_STOP_WITHIN_S:.0f} s after SIGTERM: {self._last_line(name)}")
                await self._children[name].kill()
            elif code := wait.result():
                self._note(name, f"{exit_description(code)} after SIGTERM: {self._last_line(name)}")

    def _environment(self, settings: Settings, name: str) -> dict[str, str]:
        """Give the process a data directory of its own, with its temporary files: the console's database is one."""
        directory = self._data[name]
        directory.mkdir(parents=True)
        return kafka.environment(replace(settings, data_dir=str(directory))) | {"TMPDIR": str(directory)}

    async def _logged(self, name: str, words: str) -> re.Match[str] | None:
        async with asyncio.timeout(_READY_WITHIN_S):
            while not (found := re.search(words, self._children[name].log_file.read_text(errors="replace"))):
                if not self.check():
                    return None
                await asyncio.sleep(_POLL_S)
        return found

    def _note(self, name: str, what: str) -> None:
        self._ended.add(name)
        self.problems.append(f"{name} {what}")

    def _last_line(self, name: str) -> str:
        return _last_line(self._children[name].log_file)


def _last_line(file: Path) -> str:
    return next(iter(last_lines(file, 1)), "(empty)")
