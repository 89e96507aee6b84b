"""Poll `/readyz` of every process a few times per second, and check that it reflects the injected faults."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from streams.monitoring.http_server import address_directory
from tests.crash.harness import Run

_EVERY_S = 0.25
# A suspended process does not respond, which counts as not ready.
_PATIENCE_S = 1.0
# The response to the last poll of an outage may arrive after it.
_LATE_MS = 2_000
# After the last event, processes only wait for the group.
_SETTLE_S = 60.0


@dataclass(frozen=True)
class Absence:
    """A time in which a process must be not ready."""

    name: str
    what: str
    since_ms: int
    until_ms: int


# (ms, ready) of one process at each change.
Changes = Sequence[tuple[int, bool]]


class Readiness:
    """Polls every process of a run.

    Attributes:
        changes: By process name. A process that does not run or does not respond is not ready.
        absences: Times that must show in the changes.
    """

    def __init__(self, run: Run) -> None:
        self.changes: dict[str, list[tuple[int, bool]]] = {}
        self.absences: list[Absence] = []
        self._run = run
        self._why: dict[str, str] = {}

    def away(self, names: Iterable[str], what: str, since_ms: int, until_ms: int) -> None:
        """Require that these processes are not ready at some point within this time."""
        self.absences += [Absence(name, what, since_ms, until_ms) for name in names]

    def running(self) -> list[str]:
        """Return the processes that currently run."""
        return [name for name, process in self._run.workers.items() if process.poll() is None]

    async def watch(self) -> None:
        """Poll until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as session:
            while True:
                await asyncio.gather(*(self._look(session, *one) for one in list(self._run.workers.items())))
                await asyncio.sleep(_EVERY_S)

    async def settled(self) -> list[str]:
        """Wait until all running processes are ready. Return one sentence for each that is not."""
        deadline = time.monotonic() + _SETTLE_S
        while not_ready := [name for name in self.running() if not self._is_ready(name)]:
            if time.monotonic() > deadline:
                return [f"{name} is not ready at the end: {self._why.get(name, '')}" for name in not_ready]
            await asyncio.sleep(_EVERY_S)
        return []

    def unseen(self) -> list[str]:
        """Return one sentence for each absence that readiness did not show."""
        return [
            f"{absence.name} never reported that it was not ready: {absence.what}"
            for absence in self.absences
            if not was_away(self.changes.get(absence.name, ()), absence.since_ms, absence.until_ms + _LATE_MS)
        ]

    def longest_s(self) -> float:
        """Return the longest time from not ready (or start) to ready."""
        return max((longest_away_s(changes) for changes in self.changes.values()), default=0.0)

    def _is_ready(self, name: str) -> bool:
        changes = self.changes.get(name)
        return changes[-1][1] if changes else False

    async def _look(self, session: aiohttp.ClientSession, name: str, process: subprocess.Popen[bytes]) -> None:
        ready = process.poll() is None and await self._ask(session, name, process.pid)
        changes = self.changes.setdefault(name, [])
        if self._run.workers[name] is process and (not changes or changes[-1][1] != ready):
            changes.append((int(time.time() * 1000), ready))

    async def _ask(self, session: aiohttp.ClientSession, name: str, pid: int) -> bool:
        files = list(address_directory(self._run.settings).glob(f"*-{pid}.json"))
        if not files:
            self._why[name] = "it has not written its address"
            return False
        [target] = orjson.loads(files[0].read_bytes())[0]["targets"]
        try:
            async with session.get(f"http://{target}/readyz") as answer:
                checks = (await answer.json())["checks"]
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            self._why[name] = f"no response: {failure!r}"
            return False
        self._why[name] = "; ".join(check["why"] for check in checks.values() if not check["ok"])
        return answer.status == 200


def was_away(changes: Changes, since_ms: int, until_ms: int) -> bool:
    """Whether the process was not ready at any time in the interval.

    >>> [was_away([(1, True), (5, False), (9, True)], *between) for between in ((2, 4), (2, 6), (6, 8), (9, 99))]
    [False, True, True, False]
    """
    before = [ready for at_ms, ready in changes if at_ms <= since_ms]
    between = [ready for at_ms, ready in changes if since_ms < at_ms <= until_ms]
    return not all([*before[-1:], *between])


def longest_away_s(changes: Changes) -> float:
    """Return the longest time from not ready to ready, s.

    >>> longest_away_s([(0, False), (2_000, True), (5_000, False), (5_500, True), (6_000, False)])
    2.0
    """
    spans = [later - at for (at, ready), (later, _) in itertools.pairwise(changes) if not ready]
    return max(spans, default=0) / 1000
