"""The CPUs of the machine that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable


def several() -> bool:
    """Return whether there is more than one."""
    return len(allowed()) > 1


def use(numbers: Iterable[int], process: int = 0) -> None:
    """Bind this thread, or the main thread of another process, and the threads that it starts later, to these CPUs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, numbers)


def allowed() -> set[int]:
    """Return their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
