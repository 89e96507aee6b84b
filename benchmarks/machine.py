"""What figures were measured on, and words on the way to them."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

# Other programs take turns with what is measured; a bare interpreter's start alone makes 0.3.
_QUIET_LOAD = 0.5


def machine() -> dict[str, Any]:
    """Processor, memory, versions, and how busy it was before."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    jars = (Path(__file__).parents[1] / "streams" / "jgo.toml").read_text()
    kafka_version = re.search(r"kafka_2\.13:([\d.]+)", jars)
    return {
        "processor": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30),
        "python": platform.python_version(),
        "kafka": kafka_version[1] if kafka_version else "unknown",
        "load_before": round(os.getloadavg()[0], 1),
    }


def told(found: dict[str, Any]) -> str:
    """The machine, for a person; a machine that was busy before says so."""
    # beside other programs short runs get more of a machine than long ones do
    busy = "" if found["load_before"] < _QUIET_LOAD else ": NOT QUIET, trust ratios of CPU time"
    return (
        f"{found['cores']} cores of {found['processor']}, {found['memory_gib']} GiB, Python {found['python']},"
        f" Apache Kafka {found['kafka']} beside the measured process; load before {found['load_before']}{busy}"
    )


def say(text: str, end: str = "\n") -> None:
    """Progress, on a terminal; the result alone is on standard output."""
    if sys.stderr.isatty():
        print(text, end=end, file=sys.stderr, flush=True)
