"""The one processor that a worker's threads share, chosen and kept by the worker itself.

Threads of Python take turns at computing. On two processors each turn begins with a cache that holds nothing of what
the other thread touched, and with waiting until the system has let the other one run: at half of its peak rate a worker
needs three times as long for an event as on one processor. What computes outside of Python's lock stays free to run
anywhere: RocksDB's threads, and the process that explains scores, which leaves this processor alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from streams.errors import ConfigurationError
from streams.logs import get_logger
from streams.processors import allowed, use
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
# In Linux's abstract namespace: nothing stays behind on a disk.
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

    Raises:
        ConfigurationError: there is no such processor for us.
    """

    def __init__(self, settings: Settings, changed: Callable[[Collection[int]], None]) -> None:
        self._wanted, self._changed = settings.cpu, changed
        self.allowed = allowed()
        if self._wanted not in (AUTO, NONE) and int(self._wanted) not in self.allowed:
            told = ", ".join(map(str, sorted(self.allowed)))
            raise ConfigurationError(f"{variable('cpu')}={self._wanted}: this process may use the processors {told}")
        self.processor: int | None = None
        """The one that we share; None for none."""
        self._claim: socket.socket | None = None
        self._placed: set[int] = set()

    def begin(self) -> None:
        """Take a processor, if there is more than one, and bind every thread to it."""
        if self._wanted not in (AUTO, NONE):
            self._bind(int(self._wanted))
        elif self._chooses:
            self._take(random.sample(sorted(self.allowed), len(self.allowed)))

    @property
    def _chooses(self) -> bool:
        return self._wanted == AUTO and len(self.allowed) > 1 and _TASKS.is_dir()

    async def keep(self) -> None:
        """Bind new threads as they come, and move when others take much of our processor; runs until cancelled."""
        if self.processor is None and not self._chooses:
            return
        loads = Loads(self.allowed) if self._chooses else None
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
            log.warning("processors are left as they are from now on: %s", failure)

    def close(self) -> None:
        """Leave the processor to another worker; threads stay where they are."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.close()

    def _judge(self, loads: Loads) -> None:
        busy, own = loads.since_last()
        if self.processor is None:
            self._take(sorted(busy, key=busy.__getitem__))
        elif (better := better_of(self.processor, own, busy)) is not None:
            self._take([better])

    def _take(self, numbers: Collection[int]) -> None:
        """The first of them that no other worker has."""
        for number in numbers:
            if (claim := claimed(number)) is not None:
                released, self._claim = self._claim, claim
                self._bind(number)
                if released is not None:
                    released.close()
                return

    def _bind(self, number: int) -> None:
        log.info("bound to processor %d", number)
        self.processor = number
        self._placed.clear()
        use([number])
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
    """

    def __init__(self, numbers: Collection[int]) -> None:
        self._numbers = numbers
        self._before, self._own_s = _read(numbers), time.process_time()
        self._at_s = time.monotonic()

    def since_last(self) -> tuple[Mapping[int, float], float]:
        """The busy share of each, 0 to 1 (empty where that is not told), and how many processors we used ourselves."""
        now, own_s, at_s = _read(self._numbers), time.process_time(), time.monotonic()
        own = (own_s - self._own_s) / max(at_s - self._at_s, 1e-9)
        busy = {
            number: (now[number][0] - busy_before) / max(now[number][1] - all_before, 1)
            for number, (busy_before, all_before) in self._before.items()
            if number in now
        }
        self._before, self._own_s, self._at_s = now, own_s, at_s
        return busy, own


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


def better_of(ours: int, own: float, busy: Mapping[int, float]) -> int | None:
    """The processor that is so much less used by others that it is worth moving there.

    Args:
        ours: where we are.
        own: how much of it we use ourselves.
        busy: busy share of each.

    >>> better_of(0, 0.5, {0: 0.9, 1: 0.3}), better_of(0, 0.5, {0: 1.0, 1: 0.1}), better_of(0, 0.5, {})
    (None, 1, None)
    """
    others = {number: share for number, share in busy.items() if number != ours}
    if ours not in busy or not others:
        return None
    least = min(others, key=others.__getitem__)
    return least if busy[ours] - min(own, 1.0) - others[least] > WORTH else None


def claimed(number: int) -> socket.socket | None:
    """What says that a worker of this machine has this processor, until closed or its process ends; None if one has."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(CLAIM.format(number))
    except OSError:
        claim.close()
        return None
    return claim
