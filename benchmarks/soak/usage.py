"""Resources of a process and its descendants, as the kernel reports them (Linux), and sizes of directories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Usage(NamedTuple):
    """Sums over a process and its descendants. Memory that they share counts once for each."""

    rss: int  # bytes
    descriptors: int
    threads: int
    cpu_s: float


def usage_of(pid: int) -> Usage | None:
    """Return the usage of a process with its descendants; None if it has ended."""
    own = _usage(pid)
    if own is None:
        return None
    tree = [own, *(found for child in _children(pid) if (found := usage_of(child)) is not None)]
    return Usage(
        rss=sum(one.rss for one in tree),
        descriptors=sum(one.descriptors for one in tree),
        threads=sum(one.threads for one in tree),
        cpu_s=sum(one.cpu_s for one in tree),
    )


def disk_use(directory: Path) -> int:
    """Return the bytes that the files of a directory occupy; files may disappear meanwhile."""
    found = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                found += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return found


def _usage(pid: int) -> Usage | None:
    directory = _PROC / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines() if ":" in line)
        if "VmRSS" not in status:  # a zombie
            return None
        fields = (directory / "stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        descriptors = len(os.listdir(directory / "fd"))
    except OSError:
        return None
    return Usage(int(status["VmRSS"].split()[0]) * 1024, descriptors, int(status["Threads"]), cpu_s)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        return found
    return found
