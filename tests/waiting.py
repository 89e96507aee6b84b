"""Wait for a condition instead of a fixed time: tests pass on a slow machine and are quick on a fast one."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

T = TypeVar("T")

WAIT_S: Final = 120.0
"""What takes seconds on a quiet machine takes twenty times as long on a busy one; a test ends at 300 s."""
_POLL_S: Final = 0.05


def wait_until(
    what: str,
    condition: Callable[[], T | None],
    *,
    within_s: float = WAIT_S,
    every_s: float = _POLL_S,
    context: Callable[[], object] = str,
) -> T:
    """Call the condition until its result is true, and return that result.

    Args:
        what: What is waited for, for the message.
        context: Called for the message if the wait fails: a log, or the last state.

    Raises:
        AssertionError: The condition is still false after `within_s`.

    >>> wait_until("a digit", iter(["", "7"]).__next__)
    '7'
    >>> wait_until("a digit", str, within_s=0.0, context=lambda: "only letters")
    Traceback (most recent call last):
    AssertionError: waited 0 s for a digit: only letters
    """
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        _check(what, deadline, within_s, context)
        time.sleep(every_s)
    return found


@overload
async def until(
    what: str,
    condition: Callable[[], Awaitable[T | None]],
    *,
    within_s: float = WAIT_S,
    every_s: float = _POLL_S,
    context: Callable[[], object] = str,
) -> T: ...
@overload
async def until(
    what: str,
    condition: Callable[[], T | None],
    *,
    within_s: float = WAIT_S,
    every_s: float = _POLL_S,
    context: Callable[[], object] = str,
) -> T: ...
async def until(
    what: str,
    condition: Callable[[], object],
    *,
    within_s: float = WAIT_S,
    every_s: float = _POLL_S,
    context: Callable[[], object] = str,
) -> object:
    """`wait_until` for a running event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        _check(what, deadline, within_s, context)
        await asyncio.sleep(every_s)


def _check(what: str, deadline: float, within_s: float, context: Callable[[], object]) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"waited {within_s:.0f} s for {what}: {context()}")
