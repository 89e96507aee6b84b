"""The processors (cores) of the machine that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable

from streams.errors import ConfigurationError
from streams.settings import variable


def several() -> bool:
    """Whether there is more than one."""
    return len(allowed()) > 1


def bind(number: int) -> None:
    """Run this thread, and those that it starts from now on, on one of them only.

    Threads of Python take turns at computing. On two processors each turn begins with a cache that holds nothing of
    what the other one touched.

    Raises:
        ConfigurationError: there is no such processor for us.
    """
    if number not in allowed():
        told = ", ".join(map(str, sorted(allowed())))
        raise ConfigurationError(f"{variable('cpu')}={number}: this process may use the processors {told}")
    use([number])


def use(numbers: Iterable[int]) -> None:
    """Run this thread, and those that it starts from now on, on these."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)


def allowed() -> set[int]:
    """Their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
