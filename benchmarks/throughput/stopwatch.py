"""CPU time by stage, where each moment of a thread belongs to exactly one stage."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

REST = "event loop and Kafka client"


class Renamed(Exception):
    """A timed function no longer exists; the message names the function and its stage."""


class _Own(threading.local):
    """Thread-local state: the current stages of the thread, and the time spent in each."""

    def __init__(self, clock: Callable[[], int], all_spent: list[Counter[str]]) -> None:
        self.stack = [REST]
        self.since_ns = clock()
        self.round = 0
        self.spent_ns: Counter[str] = Counter()
        all_spent.append(self.spent_ns)


class Stopwatch:
    """Puts timers around functions. Time in a timed callee does not count for the caller.

    Timers measure the CPU time of their thread, so waiting costs nothing, and work in between on the same thread is not
    counted twice. The time that a thread spends outside of all timed functions is `REST`.

    >>> watch = Stopwatch(clock=iter(range(0, 100, 10)).__next__)
    >>> inner = watch.timed("inner", lambda: None)
    >>> watch.timed("outer", inner)()
    >>> [watch.spent_ns[stage] for stage in ("outer", "inner", REST)]
    [20, 10, 10]
    """

    def __init__(self, clock: Callable[[], int] = time.thread_time_ns) -> None:
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._all_spent: list[Counter[str]] = []
        self._own = _Own(clock, self._all_spent)
        self._round = 0

    @property
    def spent_ns(self) -> Counter[str]:
        """Time by stage over all threads, up to the latest timer call of each thread."""
        return sum(self._all_spent, Counter())

    def restart(self) -> None:
        """Discard all measurements so far."""
        for spent_ns in self._all_spent:
            spent_ns.clear()
        self.calls.clear()
        self._round += 1

    def settle(self) -> None:
        """Add this thread's time up to now to its current stage."""
        own, now_ns = self._own, self._clock()
        if own.round == self._round:
            own.spent_ns[own.stack[-1]] += now_ns - own.since_ns
        own.since_ns, own.round = now_ns, self._round

    def around(self, owner: Any, name: str, stage: str, *, every: int = 1, steps: bool = False) -> None:
        """Put a timer around `owner.name`.

        Args:
            owner: Class or module of the function.
            name: Name of the function.
            stage: Stage that the time counts for.
            every: Time only one in `every` calls and extrapolate, for functions that are called per event.
            steps: The function is a coroutine function. Time its steps, not its waits.

        Raises:
            Renamed: There is no such function.
        """
        function = getattr(owner, name, None)
        if not callable(function):
            where = getattr(owner, "__qualname__", None) or owner.__name__
            raise Renamed(f"{where}.{name}, which was {stage!r}, no longer exists: update `CLOCKS`")
        if steps:
            timed = self._timed_steps(stage, function)
        elif every > 1:
            timed = self._sampled(stage, function, every)
        else:
            timed = self.timed(stage, function)
        setattr(owner, name, timed)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a timer around it."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        return timed

    def _sampled(self, stage: str, function: Callable[..., Any], every: int) -> Callable[..., Any]:
        clock, calls, own = self._clock, self.calls, self._own

        def sampled(*args: Any, **kwargs: Any) -> Any:
            calls[stage] += 1
            if calls[stage] % every:
                return function(*args, **kwargs)
            start_ns = clock()
            try:
                return function(*args, **kwargs)
            finally:
                moved_ns = (clock() - start_ns) * every
                own.spent_ns[stage] += moved_ns
                own.spent_ns[own.stack[-1]] -= moved_ns  # whose timer includes this time

        return sampled

    def _timed_steps(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            return await _Steps(self, stage, function(*args, **kwargs))

        return timed

    def _enter(self, stage: str) -> None:
        self.settle()
        self.calls[stage] += 1
        self._own.stack.append(stage)

    def _leave(self) -> None:
        self.settle()
        self._own.stack.pop()


class _Steps:
    """Awaits a coroutine and times it only while it runs."""

    def __init__(self, watch: Stopwatch, stage: str, coroutine: Any) -> None:
        self._watch, self._stage, self._coroutine = watch, stage, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        resume, argument = steps.send, None
        while True:
            self._watch._enter(self._stage)
            try:
                awaited = resume(argument)
            except StopIteration as end:
                return end.value
            finally:
                self._watch._leave()
            try:
                argument = yield awaited
                resume = steps.send
            except BaseException as error:  # a cancellation belongs to the coroutine
                resume, argument = steps.throw, error
