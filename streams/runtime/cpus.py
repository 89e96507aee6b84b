"""The processors (cores) of the machine that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable


def several() -> bool:
    """Whether there is more than one."""
    return len(allowed()) > 1


def use(numbers: Iterable[int], process: int = 0) -> None:
    """Run this thread, or the first one of another process, and those that it starts from now on, on these."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, numbers)


def allowed() -> set[int]:
    """Their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
