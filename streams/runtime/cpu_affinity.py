"""Bind a worker's threads to one CPU, which the worker chooses and changes itself.

Python threads compute in turns. On two CPUs, each turn starts with a cold cache and with waiting until the system runs
the other thread: at half of the peak rate an alert takes more than twice as long as on one CPU (docs/scaling.md). Work
outside of Python's lock may run anywhere: RocksDB's threads, and the explain process, which uses the other CPUs.

Tested by tests/streams/runtime/test_cpu_affinity.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from streams.errors import ConfigurationError
from streams.logs import get_logger
from streams.runtime.cpus import allowed, use
from streams.settings import Settings, variable

log = get_logger(__name__)

AUTO: Final = "auto"
NONE: Final = "none"
# New threads, such as those of RocksDB, are bound after this time at the latest.
BIND_EVERY_S: Final = 1.0
# Interval over which the load of the CPUs is measured.
REVIEW_EVERY_S: Final = 5.0
# Move to another CPU if other processes use this much less of it than of ours.
MOVE_THRESHOLD: Final = 0.3
# A name in Linux's abstract socket namespace, of which there is one per network namespace: it leaves no file behind.
CLAIM: Final = "\0churn-signals/processor/{}"
# Prefix of the names of RocksDB's threads.
_FREE_THREADS: Final = "rocksdb"
_TASKS: Final = Path("/proc/self/task")
_LOADS: Final = Path("/proc/stat")


class Affinity:
    """Keeps the threads of this process on one CPU while `keep` runs.

    Args:
        settings: of the process, with `CHURN_CPU`.
        on_change: called with the other CPUs, at the start and at every change.
        aside_s: returns the CPU seconds used so far by a process of ours on the other CPUs.

    Raises:
        ConfigurationError: this process may not use the CPU of the settings.

    Attributes:
        cpu: the CPU that the threads share; None for none.
    """

    def __init__(
        self,
        settings: Settings,
        on_change: Callable[[Collection[int]], None],
        aside_s: Callable[[], float] = float,
    ) -> None:
        self._wanted, self._on_change, self._aside_s = settings.cpu, on_change, aside_s
        self.allowed = allowed()
        if self._wanted not in (AUTO, NONE) and int(self._wanted) not in self.allowed:
            cpus = ", ".join(map(str, sorted(self.allowed)))
            raise ConfigurationError(f"{variable('cpu')}={self._wanted}: this process may use the CPUs {cpus}")
        self.cpu: int | None = None
        self._claim: socket.socket | None = None
        self._bound: set[int] = set()

    def begin(self) -> None:
        """Choose a CPU, if there is more than one, and bind every thread to it.

        Raises:
            ConfigurationError: the system rejects the CPU of the settings.
        """
        if self._wanted not in (AUTO, NONE):
            number = int(self._wanted)
            self._claim = claimed(number)  # so that other workers choose another CPU
            try:
                self._bind(number)
            except OSError as failure:
                raise ConfigurationError(f"{variable('cpu')}={number}: the system rejects it: {failure}") from failure
        elif self._chooses:
            try:
                self._take(random.sample(sorted(self.allowed), len(self.allowed)))
            except OSError as failure:
                self._stop_binding(failure)

    @property
    def _chooses(self) -> bool:
        return self._wanted == AUTO and len(self.allowed) > 1 and _TASKS.is_dir()

    async def keep(self) -> None:
        """Bind new threads, and move to another CPU when other processes use much of ours; runs until cancelled."""
        if self.cpu is None and not self._chooses:
            return
        loads = Loads(self.allowed, self._aside_s) if self._chooses else None
        review_s = time.monotonic() + REVIEW_EVERY_S
        try:
            while True:
                await asyncio.sleep(BIND_EVERY_S)
                self._bind_threads()
                if loads is not None and time.monotonic() > review_s:
                    self._review(loads)
                    # Random, so that workers that were started together do not move together.
                    review_s = time.monotonic() + REVIEW_EVERY_S * random.uniform(0.5, 1.5)
        except OSError as failure:
            self._stop_binding(failure)

    def _stop_binding(self, failure: OSError) -> None:
        log.warning("threads are no longer bound to a CPU: %s", failure)
        self._wanted = NONE

    def close(self) -> None:
        """Release the claim on the CPU; threads stay bound to it."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.close()

    def _review(self, loads: Loads) -> None:
        busy, own, aside = loads.since_last()
        if self.cpu is None:
            self._take(sorted(busy, key=busy.__getitem__))
        elif (better := better_of(self.cpu, own, busy, aside)) is not None:
            self._take([better])

    def _take(self, numbers: Collection[int]) -> None:
        """Bind to the first of these CPUs that no other worker has claimed."""
        for number in numbers:
            if (claim := claimed(number)) is not None:
                try:
                    self._bind(number)
                except OSError:
                    claim.close()
                    raise
                self.close()
                self._claim = claim
                return

    def _bind(self, number: int) -> None:
        use([number])
        log.info("bound to CPU %d", number)
        self.cpu = number
        self._bound.clear()
        self._bind_threads()
        self._on_change(self.allowed - {number} or self.allowed)

    def _bind_threads(self) -> None:
        """Bind threads that are not bound yet."""
        if self.cpu is None:
            return
        try:
            threads = {int(path.name) for path in _TASKS.iterdir()}
            for thread in threads - self._bound:
                free = (_TASKS / str(thread) / "comm").read_text().startswith(_FREE_THREADS)
                os.sched_setaffinity(thread, self.allowed if free else [self.cpu])
            self._bound = threads
        except OSError:
            return  # a thread has ended, or the system has no such list: new threads have inherited the binding


class Loads:
    """Measures the load of CPUs between two calls.

    Args:
        numbers: of the CPUs.
        aside_s: as in `Affinity`.
    """

    def __init__(self, numbers: Collection[int], aside_s: Callable[[], float] = float) -> None:
        self._numbers, self._read_aside_s = numbers, aside_s
        self._before, self._own_s, self._aside_s = _read_ticks(numbers), time.process_time(), aside_s()
        self._at_s = time.monotonic()

    def since_last(self) -> tuple[Mapping[int, float], float, float]:
        """Return the load since the last call.

        Returns:
            The busy share of each CPU, 0 to 1 (empty on systems that do not report it); the CPUs that this process
            used; and the CPUs that our process on the other CPUs used.
        """
        now, own_s, aside_s, at_s = (
            _read_ticks(self._numbers),
            time.process_time(),
            self._read_aside_s(),
            time.monotonic(),
        )
        elapsed_s = max(at_s - self._at_s, 1e-9)
        own, aside = (own_s - self._own_s) / elapsed_s, max(aside_s - self._aside_s, 0.0) / elapsed_s
        busy = {
            number: (now[number][0] - busy_before) / max(now[number][1] - all_before, 1)
            for number, (busy_before, all_before) in self._before.items()
            if number in now
        }
        self._before, self._own_s, self._aside_s, self._at_s = now, own_s, aside_s, at_s
        return busy, own, aside


def _read_ticks(numbers: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return the busy and the total clock ticks of each CPU since the system started."""
    try:
        lines = _LOADS.read_text().splitlines()
    except OSError:
        return {}
    counts = {}
    for name, *ticks in map(str.split, lines):
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in numbers:
            spent = [int(tick) for tick in ticks[:8]]  # the time of guests is part of user time
            counts[int(name[3:])] = sum(spent) - spent[3] - spent[4], sum(spent)
    return counts


def better_of(ours: int, own: float, busy: Mapping[int, float], aside: float = 0.0) -> int | None:
    """Return the CPU to move to, because other processes use much less of it than of ours; None to stay.

    Args:
        ours: the CPU that we use.
        own: the share of it that we use ourselves.
        busy: busy share of each CPU.
        aside: how much a process of ours uses of the other CPUs together; it would make room.

    >>> better_of(0, 0.5, {0: 0.9, 1: 0.3}), better_of(0, 0.5, {0: 0.9, 1: 0.3}, 0.3), better_of(0, 0.5, {})
    (None, 1, None)
    """
    others = {number: share for number, share in busy.items() if number != ours}
    if ours not in busy or not others:
        return None
    least = min(others, key=others.__getitem__)
    busy_there = max(others[least] - aside / len(others), 0.0)
    return least if busy[ours] - min(own, 1.0) - busy_there > MOVE_THRESHOLD else None


def claimed(number: int) -> socket.socket | None:
    """Claim a CPU among the workers of this machine, until the socket is closed; returns None if another one has it."""
    with contextlib.ExitStack() as stack:
        try:
            claim = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            claim.bind(CLAIM.format(number))
        except OSError:
            return None
        stack.pop_all()
    return claim
