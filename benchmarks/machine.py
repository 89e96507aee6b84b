"""Describe the machine that a benchmark runs on, and print progress."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

# Above this load, other programs compete with the measured ones. Starting an interpreter alone causes 0.3.
_QUIET_LOAD = 0.5


def machine() -> dict[str, Any]:
    """Processor, memory, versions, and load average before the run."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    jars = (Path(__file__).parents[1] / "streams" / "devbroker" / "jgo.toml").read_text()
    kafka_version = re.search(r"kafka_2\.13:([\d.]+)", jars)
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30),
        "python": platform.python_version(),
        "kafka": kafka_version[1] if kafka_version else "unknown",
        "load_before": round(os.getloadavg()[0], 1),
    }


def describe(found: dict[str, Any]) -> str:
    """Describe the machine in one line, with a warning if it was busy before the run."""
    # next to other programs, short runs get a larger share of the machine than long ones
    busy = "" if found["load_before"] < _QUIET_LOAD else ": NOT IDLE, trust only ratios of CPU time"
    return (
        f"{found['cores']} cores of {found['processor']}, {found['memory_gib']} GiB, Python {found['python']},"
        f" Apache Kafka {found['kafka']} on the same machine; load before the run {found['load_before']}{busy}"
    )


def progress(text: str, end: str = "\n") -> None:
    """Print progress to standard error if it is a terminal; standard output has only the result."""
    if sys.stderr.isatty():
        print(text, end=end, file=sys.stderr, flush=True)
