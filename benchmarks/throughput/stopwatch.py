"""CPU time by stage, where every moment of a thread belongs to exactly one stage."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

REST = "event loop and Kafka client"


class Renamed(Exception):
    """A function that is looked at is not there any more; the message says which, and what it was taken for."""


class _Own(threading.local):
    """What each thread has for itself: the stages that it is in, and what they have taken of it."""

    def __init__(self, clock: Callable[[], int], all_spent: list[Counter[str]]) -> None:
        self.stack = [REST]
        self.since_ns = clock()
        self.round = 0
        self.spent_ns: Counter[str] = Counter()
        all_spent.append(self.spent_ns)


class Stopwatch:
    """Puts clocks around functions. What a function calls, and has a clock of its own, does not count for the caller.

    All clocks tell the CPU time of the thread that they run on, so waiting costs nothing and what runs in
    between on the same thread is not counted twice. What a thread that met a clock does outside of any is `REST`.

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
        """By stage, of all threads, as far as they have come to a clock."""
        return sum(self._all_spent, Counter())

    def restart(self) -> None:
        """Forget what was measured so far."""
        for spent_ns in self._all_spent:
            spent_ns.clear()
        self.calls.clear()
        self._round += 1

    def settle(self) -> None:
        """Credit the time of this thread up to now to the stage that it is in."""
        own, now_ns = self._own, self._clock()
        if own.round == self._round:
            own.spent_ns[own.stack[-1]] += now_ns - own.since_ns
        own.since_ns, own.round = now_ns, self._round

    def around(self, owner: Any, name: str, stage: str, *, every: int = 1, steps: bool = False) -> None:
        """Put a clock around `owner.name`.

        Args:
            every: time only every so many calls and take the others to be alike, for what is called per event.
            steps: it is a coroutine function; its steps are timed, not the time that it waits.

        Raises:
            Renamed: there is no such function.
        """
        function = getattr(owner, name, None)
        if not callable(function):
            where = getattr(owner, "__qualname__", None) or owner.__name__
            raise Renamed(f"{where}.{name}, which was {stage!r}, is gone: say in `CLOCKS` what does that now")
        if steps:
            timed = self._timed_steps(stage, function)
        elif every > 1:
            timed = self._sampled(stage, function, every)
        else:
            timed = self.timed(stage, function)
        setattr(owner, name, timed)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a clock around it."""

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
                own.spent_ns[own.stack[-1]] -= moved_ns  # whose clock runs on meanwhile

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
    """Awaits a coroutine with the clock running only while it runs."""

    def __init__(self, watch: Stopwatch, stage: str, coroutine: Any) -> None:
        self._watch, self._stage, self._coroutine = watch, stage, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        go, argument = steps.send, None
        while True:
            self._watch._enter(self._stage)
            try:
                waits_for = go(argument)
            except StopIteration as end:
                return end.value
            finally:
                self._watch._leave()
            try:
                argument = yield waits_for
                go = steps.send
            except BaseException as error:  # a cancellation belongs to the coroutine
                go, argument = steps.throw, error
