"""Processes as the kernel lists them in /proc: whole command lines, whatever the width of a terminal (Linux)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.waiting import WAIT_S, until, wait_until


def children_of(pid: int) -> dict[int, str]:
    """The running processes that this one has started, each with its command line, by process id."""
    return {
        int(process.name): command
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _parent_of(process) == pid and (command := _command_of(process))
    }


def runs(pid: int) -> bool:
    """Whether the process exists and has not ended. An ended one stays in the list until its parent collects it."""
    fields = _stat_of(Path(f"/proc/{pid}"))
    return bool(fields) and fields[0] not in ("Z", "X")


async def ended(*pids: int, within_s: float = WAIT_S) -> None:
    """Wait until none of the processes runs."""
    await until(f"the end of {pids}", lambda: not any(map(runs, pids)), within_s=within_s, context=lambda: _left(pids))


def wait_ended(pids: Iterable[int], within_s: float = WAIT_S) -> None:
    """`ended`, without an event loop."""
    pids = list(pids)
    wait_until(f"the end of {pids}", lambda: not any(map(runs, pids)), within_s=within_s, context=lambda: _left(pids))


def _left(pids: Iterable[int]) -> list[str]:
    return [_command_of(Path(f"/proc/{pid}")) for pid in pids if runs(pid)]


def _stat_of(process: Path) -> list[str]:
    """State, parent and the fields that follow; empty if the process is gone. The command before may hold spaces."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _parent_of(process: Path) -> int:
    fields = _stat_of(process)
    return int(fields[1]) if fields else 0


def _command_of(process: Path) -> str:
    """The arguments, with a space between them; empty if the process has ended."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
