"""Start a process, sample its CPU time and memory from outside, and stop it."""

from __future__ import annotations

import bisect
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# CPU time is counted in ticks of 10 ms. A sample costs 0.1 ms, or 2 ms for a broker with a hundred threads.
SAMPLE_EVERY_S = 0.05
_STOP_TIMEOUT_S = 15.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A measured process failed or timed out; the message quotes its last output."""


class CpuTrace:
    """CPU seconds of a process and its children over time, sampled by a thread."""

    def __init__(self, pid: int, every_s: float = SAMPLE_EVERY_S) -> None:
        self.peak_bytes = 0
        self._every_s = every_s
        self._pid = pid
        self._times: list[float] = []
        self._spent: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> CpuTrace:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop sampling."""
        self._end.set()
        self._thread.join()

    def between(self, start_s: float, end_s: float) -> float:
        """CPU seconds between two wall-clock times."""
        return self._at(end_s) - self._at(start_s)

    def _at(self, when_s: float) -> float:
        i = bisect.bisect_left(self._times, when_s)
        if i == 0 or i == len(self._times):
            return self._spent[min(i, len(self._spent) - 1)] if self._spent else 0.0
        share = (when_s - self._times[i - 1]) / (self._times[i] - self._times[i - 1])
        return self._spent[i - 1] + share * (self._spent[i] - self._spent[i - 1])

    def _run(self) -> None:
        known: dict[int, tuple[int, int]] = {}  # ticks and peak of each process, including exited ones
        while not self._end.is_set():
            try:
                started = [each.read_text().split() for each in Path(f"/proc/{self._pid}/task").glob("*/children")]
                for pid in (self._pid, *map(int, itertools.chain.from_iterable(started))):
                    known[pid] = _ticks_and_peak(pid)
            except OSError:
                if not Path(f"/proc/{self._pid}/stat").exists():
                    return
            self._times.append(time.time())
            self._spent.append(sum(ticks for ticks, _ in known.values()) / _TICKS_PER_S)
            self.peak_bytes = max(self.peak_bytes, sum(peak for _, peak in known.values()))
            self._end.wait(self._every_s)


def _ticks_and_peak(pid: int) -> tuple[int, int]:
    """CPU time in ticks and peak resident memory in bytes, so far."""
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    status = (process / "status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024 if "VmHWM:" in status else 0
    return int(fields[11]) + int(fields[12]), peak


class Child:
    """A measured process and its CPU trace. Its output goes to a file, which errors quote."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, every_s: float = SAMPLE_EVERY_S
    ) -> None:
        self._log = log
        with log.open("wb") as file:
            # in the current working directory, so that `-m` finds the same benchmark
            self.process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self.cpu = CpuTrace(self.process.pid, every_s)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu.stop()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Raise Failed if the process has exited."""
        if (code := self.process.poll()) is not None:
            raise Failed(f"exited with {code}: {self._last_line()}")

    def finish(self, timeout_s: float) -> str:
        """Wait until the process exits and return the last line of its output.

        Raises:
            Failed: The process exited with an error or not in time.
        """
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"did not exit within {timeout_s:.0f} s: {self._last_line()}") from None
        if code:
            raise Failed(f"exited with {code}: {self._last_line()}")
        return self._last_line()

    def stop(self) -> None:
        """Terminate the process and wait for it."""
        self.cpu.stop()
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"
