"""Liveness and readiness of a process, with a reason for each check that fails.

Tested by tests/streams/test_health.py and tests/broker/test_health.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

# Starts, rebalances and recoveries take less, except the recovery of millions of customers.
UNREADY_LOG_EVERY_S = 60.0
# A batch blocks the loop for about 0.5 s; a batch that is searched for an invalid record, for about 5 s.
# Nothing ordinary takes 30 s.
BLOCKED_MAX_S = 30.0


class Check(NamedTuple):
    """One condition. `why` explains the result to an operator, also when `ok` is true."""

    name: str
    ok: bool
    why: str


Checks = Callable[[], Iterable[Check]]


class Pulse:
    """Detects whether an event loop of another thread is blocked: probes it and waits for the response.

    Args:
        name: of the loop, for messages.
        loop: returns the loop, or None while it has not started, which is no failure.
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
        self._probed_at: float | None = None

    def probe(self) -> None:
        """Send a probe unless one is pending. Never waits."""
        loop = self._loop()
        if loop is not None and loop.is_running() and self._probed_at is None:
            self._probed_at = self._clock()
            loop.call_soon_threadsafe(self._respond)

    def _respond(self) -> None:
        self._probed_at = None

    @property
    def blocked_s(self) -> float:
        """Seconds since the pending probe was sent; 0 if none is pending."""
        probed_at = self._probed_at
        return 0.0 if probed_at is None else self._clock() - probed_at

    def check(self) -> Check:
        """Fails if the loop has ended, or has been blocked for 30 s."""
        loop, blocked_s = self._loop(), self.blocked_s
        if loop is None:
            return Check(self.name, True, "not started yet")
        if not loop.is_running():
            return Check(self.name, False, f"the {self.name} has ended; restart the process")
        if blocked_s > BLOCKED_MAX_S:
            return Check(self.name, False, f"the {self.name} has been blocked for {blocked_s:.0f} s")
        return Check(self.name, True, "running" if blocked_s < 1 else f"busy for {blocked_s:.0f} s")


class Health:
    """State behind `/healthz` and `/readyz`.

    Attributes:
        role: worker, trainer, notify or console.
        pulses: of the event loops that must run.
        liveness: further conditions of `/healthz`, such as background tasks that must not have failed.
        readiness: conditions for serving. Parts add their conditions when they start.
        started: all parts have added their conditions.
        stop: set when the process shuts down. From then on it is not ready, and loops may end.
    """

    def __init__(self, role: str, stop: asyncio.Event) -> None:
        self.role = role
        self.stop = stop
        self.started = False
        self.pulses: list[Pulse] = []
        self.liveness: list[Checks] = []
        self.readiness: list[Checks] = []

    def alive(self) -> list[Check]:
        """Checks of `/healthz`. If one fails, the process must be killed and restarted."""
        if self.stop.is_set():
            return [Check("stopping", True, "shutting down")]
        return [*(pulse.check() for pulse in self.pulses), *(check for checks in self.liveness for check in checks())]

    def ready(self) -> list[Check]:
        """Checks of `/readyz`. Lag is not one of them: replacing a worker does not reduce it."""
        if self.stop.is_set():
            return [Check("stopping", False, "shutting down: commits the current batch and leaves the group")]
        start = Check("started", self.started, "started" if self.started else "starting: verifying topics")
        return [start, *(check for checks in self.readiness for check in checks())]


class UnreadyLog:
    """Decides when a process that is not ready reports what it waits for: after a minute, and then once a minute.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._report_s = 0.0

    def observe(self, checks: Iterable[Check]) -> str | None:
        """Return the sentence to log now, if any, given the current checks."""
        failing = [f"{check.name}: {check.why}" for check in checks if not check.ok]
        now_s = self._clock()
        if not failing:
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s, self._report_s = now_s, now_s + UNREADY_LOG_EVERY_S
        if now_s < self._report_s:
            return None
        self._report_s = now_s + UNREADY_LOG_EVERY_S
        return f"not ready for {now_s - self._since_s:.0f} s, waiting for {'; '.join(failing)}"
