"""What a process says about itself: whether it lives, whether it serves, and why not if it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

# A batch holds the loop for some 0.5 s, one in which a bad record is searched for some 5 s: nothing ordinary takes 30.
SILENT_MAX_S = 30.0


class Check(NamedTuple):
    """One condition. `why` is a sentence for people, also when all is well."""

    name: str
    ok: bool
    why: str


Checks = Callable[[], Iterable[Check]]


class Pulse:
    """Whether an event loop of another thread still turns: it is asked, and answers when it comes to it.

    Args:
        name: of the loop, for people.
        loop: the loop; None while it does not run yet, which is no fault.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        loop: Callable[[], asyncio.AbstractEventLoop | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._loop = loop
        self._clock = clock
        self._asked_at: float | None = None

    def ask(self) -> None:
        """Ask, unless an earlier question is still open. Never waits."""
        loop = self._loop()
        if loop is not None and loop.is_running() and self._asked_at is None:
            self._asked_at = self._clock()
            loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._asked_at = None

    @property
    def silent_s(self) -> float:
        """How long the open question has waited; 0 if there is none."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else self._clock() - asked_at

    def check(self) -> Check:
        """Dead if the loop has ended, or has not answered for 30 s."""
        loop, silent_s = self._loop(), self.silent_s
        if loop is None:
            return Check(self.name, True, "not started yet")
        if not loop.is_running():
            return Check(self.name, False, f"the {self.name} has ended")
        if silent_s > SILENT_MAX_S:
            return Check(self.name, False, f"the {self.name} has stood still for {silent_s:.0f} s")
        return Check(self.name, True, "turns" if silent_s < 1 else f"busy for {silent_s:.0f} s")


class Health:
    """Everything that `/healthz` and `/readyz` say of a process.

    Attributes:
        role: worker, trainer or notify.
        pulses: loops that must turn.
        readiness: conditions of serving; those of a part that has not started yet are not there, `started` says so.
        started: all parts that have conditions were added.
        stop: set when the process was told to stop: not ready from then on, and loops may end.
    """

    def __init__(self, role: str, stop: asyncio.Event) -> None:
        self.role = role
        self.stop = stop
        self.started = False
        self.pulses: list[Pulse] = []
        self.readiness: list[Checks] = []

    def alive(self) -> list[Check]:
        """What `/healthz` says: a process of which one fails must be killed and started again."""
        if self.stop.is_set():
            return [Check("stopping", True, "was told to stop")]
        return [pulse.check() for pulse in self.pulses]

    def ready(self) -> list[Check]:
        """What `/readyz` says. Lag is no part of it: a worker that is behind serves as well as any other would."""
        if self.stop.is_set():
            return [Check("stopping", False, "was told to stop: commits what it has and leaves")]
        start = Check("started", self.started, "started" if self.started else "starting: looking at the topics")
        return [start, *(check for checks in self.readiness for check in checks())]
