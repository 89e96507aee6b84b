"""The one processor that a worker's threads share, chosen and kept by the worker itself.

Threads of Python take turns at computing. On two processors each turn begins with a cache that holds nothing of what
the other thread touched, and with waiting until the system has let the other one run: at half of its peak rate an alert
takes more than twice as long as on one (docs/scaling.md). What computes outside of Python's lock stays free to run
anywhere: RocksDB's threads, and the process that explains scores, which leaves this processor alone.
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
# Threads that are new, as RocksDB's, are put where they belong after this.
LOOK_S: Final = 1.0
# How busy the processors are is judged over this.
JUDGE_S: Final = 5.0
# Worth moving: others take so much more of our processor than of another one.
WORTH: Final = 0.3
# In Linux's abstract namespace, one for each network namespace: nothing stays behind on a disk.
CLAIM: Final = "\0churn-signals/processor/{}"
# Of RocksDB, as they call themselves.
_FREE_THREADS: Final = "rocksdb"
_TASKS: Final = Path("/proc/self/task")
_LOADS: Final = Path("/proc/stat")


class Affinity:
    """Keeps the threads of this process on one processor while `keep` runs.

    Args:
        settings: of the process; what `CHURN_CPU` says.
        changed: told which processors are left to others, now and whenever that changes.
        aside_s: CPU time (s) so far of a process of ours that uses those.

    Raises:
        ConfigurationError: there is no such processor for us.
    """

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[Collection[int]], None],
        aside_s: Callable[[], float] = float,
    ) -> None:
        self._wanted, self._changed, self._aside_s = settings.cpu, changed, aside_s
        self.allowed = allowed()
        if self._wanted not in (AUTO, NONE) and int(self._wanted) not in self.allowed:
            told = ", ".join(map(str, sorted(self.allowed)))
            raise ConfigurationError(f"{variable('cpu')}={self._wanted}: this process may use the processors {told}")
        self.processor: int | None = None
        """The one that we share; None for none."""
        self._claim: socket.socket | None = None
        self._placed: set[int] = set()

    def begin(self) -> None:
        """Take a processor, if there is more than one, and bind every thread to it.

        Raises:
            ConfigurationError: the system does not let us use the one that was asked for.
        """
        if self._wanted not in (AUTO, NONE):
            number = int(self._wanted)
            self._claim = claimed(number)  # so that others choose another one
            try:
                self._bind(number)
            except OSError as failure:
                raise ConfigurationError(f"{variable('cpu')}={number}: the system refuses it: {failure}") from failure
        elif self._chooses:
            try:
                self._take(random.sample(sorted(self.allowed), len(self.allowed)))
            except OSError as failure:
                self._give_up(failure)

    @property
    def _chooses(self) -> bool:
        return self._wanted == AUTO and len(self.allowed) > 1 and _TASKS.is_dir()

    async def keep(self) -> None:
        """Bind new threads as they come, and move when others take much of our processor; runs until cancelled."""
        if self.processor is None and not self._chooses:
            return
        loads = Loads(self.allowed, self._aside_s) if self._chooses else None
        judge_s = time.monotonic() + JUDGE_S
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self._place()
                if loads is not None and time.monotonic() > judge_s:
                    self._judge(loads)
                    # Workers that were started together do not move together.
                    judge_s = time.monotonic() + JUDGE_S * random.uniform(0.5, 1.5)
        except OSError as failure:
            self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        log.warning("threads are not bound to a processor from now on: %s", failure)
        self._wanted = NONE

    def close(self) -> None:
        """Leave the processor to another worker; threads stay where they are."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.close()

    def _judge(self, loads: Loads) -> None:
        busy, own, aside = loads.since_last()
        if self.processor is None:
            self._take(sorted(busy, key=busy.__getitem__))
        elif (better := better_of(self.processor, own, busy, aside)) is not None:
            self._take([better])

    def _take(self, numbers: Collection[int]) -> None:
        """The first of them that no other worker has."""
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
        log.info("bound to processor %d", number)
        self.processor = number
        self._placed.clear()
        self._place()
        self._changed(self.allowed - {number} or self.allowed)

    def _place(self) -> None:
        """Put threads that are not where they belong there."""
        if self.processor is None:
            return
        try:
            threads = {int(each.name) for each in _TASKS.iterdir()}
            for thread in threads - self._placed:
                free = (_TASKS / str(thread) / "comm").read_text().startswith(_FREE_THREADS)
                os.sched_setaffinity(thread, self.allowed if free else [self.processor])
            self._placed = threads
        except OSError:
            return  # a thread has ended meanwhile, or there is no such list here: all that matter have inherited it


class Loads:
    """How busy processors were since one asked last.

    Args:
        numbers: of these.
        aside_s: as of `Affinity`.
    """

    def __init__(self, numbers: Collection[int], aside_s: Callable[[], float] = float) -> None:
        self._numbers, self._read_aside_s = numbers, aside_s
        self._before, self._own_s, self._aside_s = _read(numbers), time.process_time(), aside_s()
        self._at_s = time.monotonic()

    def since_last(self) -> tuple[Mapping[int, float], float, float]:
        """The busy share of each, 0 to 1 (empty where that is not told); how many processors this process used, and how
        many the one of ours beside it."""
        now, own_s, aside_s, at_s = _read(self._numbers), time.process_time(), self._read_aside_s(), time.monotonic()
        passed_s = max(at_s - self._at_s, 1e-9)
        own, aside = (own_s - self._own_s) / passed_s, max(aside_s - self._aside_s, 0.0) / passed_s
        busy = {
            number: (now[number][0] - busy_before) / max(now[number][1] - all_before, 1)
            for number, (busy_before, all_before) in self._before.items()
            if number in now
        }
        self._before, self._own_s, self._aside_s, self._at_s = now, own_s, aside_s, at_s
        return busy, own, aside


def _read(numbers: Collection[int]) -> dict[int, tuple[int, int]]:
    """Clock ticks that each processor was busy, and all of them, since the system began."""
    try:
        lines = _LOADS.read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for name, *ticks in map(str.split, lines):
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in numbers:
            spent = [int(each) for each in ticks[:8]]  # guests' time is in user's already
            found[int(name[3:])] = sum(spent) - spent[3] - spent[4], sum(spent)
    return found


def better_of(ours: int, own: float, busy: Mapping[int, float], aside: float = 0.0) -> int | None:
    """The processor that is so much less used by others that it is worth moving there.

    Args:
        ours: where we are.
        own: how much of it we use ourselves.
        busy: busy share of each.
        aside: how much a process of ours uses of the others together; it would make room.

    >>> better_of(0, 0.5, {0: 0.9, 1: 0.3}), better_of(0, 0.5, {0: 0.9, 1: 0.3}, 0.3), better_of(0, 0.5, {})
    (None, 1, None)
    """
    others = {number: share for number, share in busy.items() if number != ours}
    if ours not in busy or not others:
        return None
    least = min(others, key=others.__getitem__)
    there = max(others[least] - aside / len(others), 0.0)
    return least if busy[ours] - min(own, 1.0) - there > WORTH else None


def claimed(number: int) -> socket.socket | None:
    """What says that a worker of this machine has this processor, until closed or its process ends; None if one has."""
    with contextlib.ExitStack() as stack:
        try:
            claim = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            claim.bind(CLAIM.format(number))
        except OSError:
            return None
        stack.pop_all()
    return claim
